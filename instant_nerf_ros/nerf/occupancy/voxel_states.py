"""Voxel states: what the votes on voxels say, and what their neighbors say of a doubtful one."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, THIN_WEIGHT, UNKNOWN
from instant_nerf_ros.nerf.occupancy.lattice import Window, inside

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

# Occupied neighbors of a voxel that is part of something: one that rays of other images have
# crossed, and one that none has.
MIN_NEIGHBORS_CROSSED, MIN_NEIGHBORS = 4, 2


def window_states(
    backend: Backend, hits: Tensor, misses: Tensor, window: Window,
) -> NDArray[np.int8]:  # fmt: skip
    """Return the states in a window of a grid, of which those beside it also tell the specks."""
    x, y, z = (slice(max(axis.start - 1, 0), axis.stop + 1) for axis in window)
    return voxel_states(backend, hits[x, y, z], misses[x, y, z])[inside(window, (x, y, z))]


def voxel_states(backend: Backend, hits: Tensor, misses: Tensor) -> NDArray[np.int8]:
    """Return OCCUPIED, FREE or UNKNOWN for the votes on voxels (nx, ny, nz), without specks.

    A speck is occupied by one image alone, and few of its 26 neighbors are occupied: a few wrong
    pixels of one image. It is free if the rays of other images have crossed it, else unknown. What
    is in the way of a robot is in more voxels, or more images see it.
    """
    states = backend.states(hits, misses).cpu().numpy()
    few, crossed = hits.cpu().numpy() <= THIN_WEIGHT, misses.cpu().numpy() > 0
    doubtful = np.argwhere((states == OCCUPIED) & few)
    padded = np.pad(states == OCCUPIED, 1)
    neighbors = np.zeros(len(doubtful), np.int64)
    for step in np.ndindex(3, 3, 3):
        if step != (1, 1, 1):
            neighbors += padded[tuple((doubtful + step).T)]
    is_crossed = crossed[tuple(doubtful.T)]
    speck = neighbors < np.where(is_crossed, MIN_NEIGHBORS_CROSSED, MIN_NEIGHBORS)
    states[tuple(doubtful[speck].T)] = np.where(is_crossed[speck], FREE, UNKNOWN)
    return states
