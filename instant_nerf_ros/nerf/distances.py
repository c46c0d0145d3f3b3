"""Distances: how far a place is from what a robot may not touch, and in which direction."""
import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from instant_nerf_ros.nerf.grids import FREE, OCCUPIED, UNKNOWN


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
            # The nearest of the others is at their border: one further in has a nearer neighbour.
            border = np.argwhere(others & _beside(~others))
            length, nearest = cKDTree(border).query(index)
            away = sign * (index - border[nearest]) / length[:, None].clip(1e-9)
            parts.append((index, sign * length, away))
    index, lengths, gradients = (
        np.concatenate(values) for values in (zip(*parts) if parts else (
            [np.empty((0, 3))], [np.empty(0)], [np.empty((0, 3))])))
    positions = voxels.origin + (index - 0.5) * voxels.voxel_size
    return Distances(
        positions.astype(np.float32), (lengths * voxels.voxel_size).astype(np.float32),
        gradients.astype(np.float32))


def _beside(mask):
    """Return which voxels have a neighbour, along an axis, in the mask."""
    beside = np.zeros_like(mask)
    for axis in range(mask.ndim):
        low, high = (tuple(part if other == axis else slice(None) for other in range(mask.ndim))
                     for part in (slice(None, -1), slice(1, None)))
        beside[low] |= mask[high]
        beside[high] |= mask[low]
    return beside
