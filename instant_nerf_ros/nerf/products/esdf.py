"""ESDF: the Euclidean signed distance to obstacles and unknown space, and its gradient."""
import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf.products.grids import VoxelGrid


@dataclasses.dataclass(frozen=True)
class EsdfSlice:
    """The Euclidean signed distance field at known voxels of one layer."""

    positions: NDArray[np.float64]  # (N, 3) metres, world: centers of free and occupied voxels
    distances: NDArray[np.float32]  # (N,) metres: positive where free, negative where occupied
    gradients: NDArray[np.float32]  # (N, 3) unit vectors


def esdf_slice(voxels: VoxelGrid, height: float) -> EsdfSlice:
    """Return the distances in the layer of a VoxelGrid at a height [m, world], exact in 3D.

    The distance of a free voxel is that to the center of the nearest voxel that is not free:
    unknown counts as occupied. That of an occupied voxel is to the nearest free one, negative. The
    result is empty where nothing is free, or at a height outside of the grid.
    """
    # Outside of the grid all is unknown.
    states = np.pad(voxels.states, 1, constant_values=UNKNOWN)
    level = int(np.floor((height - voxels.origin[2]) / voxels.voxel_size)) + 1
    free = states == FREE
    parts = []
    if 0 < level < states.shape[2] - 1 and free.any():
        for here, others, sign in (
                (free[:, :, level], ~free, 1), (states[:, :, level] == OCCUPIED, free, -1)):
            index = np.argwhere(here)
            index = np.column_stack([index, np.full(len(index), level)])
            columns = _nearest_in_columns(others, level)
            length, nearest = cKDTree(columns).query(index)
            away = sign * (index - columns[nearest]) / length[:, None].clip(1e-9)
            parts.append((index, sign * length, away))
    index, lengths, gradients = (
        np.concatenate(values) for values in (zip(*parts) if parts else (
            [np.empty((0, 3))], [np.empty(0)], [np.empty((0, 3))])))
    positions = voxels.origin + (index - 0.5) * voxels.voxel_size
    return EsdfSlice(
        positions, (lengths * voxels.voxel_size).astype(np.float32),
        gradients.astype(np.float32))


def _nearest_in_columns(mask: NDArray[np.bool_], level: int) -> NDArray[np.int64]:
    """Return the index (N, 3) of the voxel of a mask in each column that is nearest to a level.

    For any position in that level, no other voxel of the column is nearer.
    """
    above, below = mask[:, :, level:], mask[:, :, level::-1]
    up, down = above.argmax(axis=2), below.argmax(axis=2)
    far = mask.shape[2]
    up[~np.take_along_axis(above, up[:, :, None], 2)[:, :, 0]] = far
    down[~np.take_along_axis(below, down[:, :, None], 2)[:, :, 0]] = far
    x, y = np.nonzero(np.minimum(up, down) < far)
    up, down = up[x, y], down[x, y]
    return np.column_stack([x, y, np.where(up <= down, level + up, level - down)])
