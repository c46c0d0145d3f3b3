"""Distances: how far a place is from what a robot may not touch, and in which direction."""
import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from instant_nerf_ros.nerf.products.grids import FREE, OCCUPIED, UNKNOWN


@dataclasses.dataclass(frozen=True)
class Distances:
    """The Euclidean signed distance field at known voxels of one layer."""

    positions: np.ndarray  # (N, 3) float32 metres, world: the middles of free and occupied voxels
    distances: np.ndarray  # (N,) float32 metres: positive where free, negative where occupied
    gradients: np.ndarray  # (N, 3) float32, unit: where the distance grows fastest


def layer(voxels, height):
    """Return the Distances in the layer of a VoxelGrid at a height [m], exact in all dimensions.

    The distance of a free voxel is that to the middle of the nearest voxel that is not free: what
    is unknown counts as occupied. That of an occupied one is to the nearest free one. None are
    returned where nothing is free, or at a height beyond the grid.
    """
    # Beyond the grid all is unknown.
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
    return Distances(
        positions.astype(np.float32), (lengths * voxels.voxel_size).astype(np.float32),
        gradients.astype(np.float32))


def _nearest_in_columns(mask, level):
    """Return the index (N, 3) of the voxel of a mask in each column that is nearest to a level.

    To a place in that level no other one of the column can be nearer.
    """
    above, below = mask[:, :, level:], mask[:, :, level::-1]
    up, down = above.argmax(axis=2), below.argmax(axis=2)
    far = mask.shape[2]
    up[~np.take_along_axis(above, up[:, :, None], 2)[:, :, 0]] = far
    down[~np.take_along_axis(below, down[:, :, None], 2)[:, :, 0]] = far
    x, y = np.nonzero(np.minimum(up, down) < far)
    up, down = up[x, y], down[x, y]
    return np.column_stack([x, y, np.where(up <= down, level + up, level - down)])
