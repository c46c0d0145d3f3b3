"""ESDF: the Euclidean signed distance to obstacles and unknown space, and its gradient."""
import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf.products.grids import VoxelGrid


@dataclasses.dataclass(frozen=True)
class EsdfSlice:
    """The Euclidean signed distance field at the N known voxels of one layer."""

    positions: NDArray[np.float64]  # (N, 3) metres, world: centers of free and occupied voxels
    distances: NDArray[np.float32]  # (N,) metres: positive where free, negative where occupied
    gradients: NDArray[np.float32]  # (N, 3) unit vectors


def esdf_slice(voxels: VoxelGrid, height: float) -> EsdfSlice:
    """Return the distances in the layer of a VoxelGrid at a height [m, world].

    They are exact and three-dimensional. The distance of a free voxel is that to the center of the
    nearest voxel that is occupied or unknown. The distance of an occupied voxel is that to the
    nearest free voxel, negative. The result is empty if nothing is free, or if the height is
    outside of the grid.
    """
    # Everything outside of the grid is unknown.
    states = np.pad(voxels.states, 1, constant_values=UNKNOWN)
    layer = int(np.floor((height - voxels.origin[2]) / voxels.voxel_size)) + 1
    free = states == FREE
    indices = [np.empty((0, 3), int)]
    lengths, gradients = [np.empty(0)], [np.empty((0, 3))]
    if 0 < layer < states.shape[2] - 1 and free.any():
        for mask, targets, sign in (
                (free[:, :, layer], ~free, 1), (states[:, :, layer] == OCCUPIED, free, -1)):
            index = np.argwhere(mask)
            index = np.column_stack([index, np.full(len(index), layer)])
            candidates = _nearest_in_columns(targets, layer)
            length, nearest = cKDTree(candidates).query(index)
            indices.append(index)
            lengths.append(sign * length)
            gradients.append(sign * (index - candidates[nearest]) / length[:, None].clip(1e-9))
    positions = voxels.origin + (np.concatenate(indices) - 0.5) * voxels.voxel_size
    return EsdfSlice(
        positions, (np.concatenate(lengths) * voxels.voxel_size).astype(np.float32),
        np.concatenate(gradients).astype(np.float32))


def _nearest_in_columns(mask: NDArray[np.bool_], layer: int) -> NDArray[np.int64]:
    """Return the index (N, 3) of the voxel of a mask in each column that is nearest to a layer.

    For any position in that layer, no other voxel of the column is nearer.
    """
    above, below = mask[:, :, layer:], mask[:, :, layer::-1]
    up, down = above.argmax(axis=2), below.argmax(axis=2)
    none = mask.shape[2]  # more than any distance in a column
    up[~np.take_along_axis(above, up[:, :, None], 2)[:, :, 0]] = none
    down[~np.take_along_axis(below, down[:, :, None], 2)[:, :, 0]] = none
    x, y = np.nonzero(np.minimum(up, down) < none)
    up, down = up[x, y], down[x, y]
    return np.column_stack([x, y, np.where(up <= down, layer + up, layer - down)])
