"""Voxel states: what the votes on voxels say, and what their neighbors say of a doubtful one."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from instant_nerf_ros.nerf.constants import EDGE_WEIGHT, FREE, OCCUPIED

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

NEIGHBORS = np.array([step for step in np.ndindex(3, 3, 3) if step != (1, 1, 1)]) - 1
MIN_NEIGHBORS = 2  # occupied ones of a voxel that is part of something, however thin


def voxel_states(backend: Backend, hits: Tensor, misses: Tensor) -> NDArray[np.int8]:
    """Return OCCUPIED, FREE or UNKNOWN for the votes on voxels (nx, ny, nz), without specks.

    A speck is occupied by one image alone, against others whose rays have crossed it, and hardly
    any of its 26 neighbors is occupied: an error of that image. What is in the way of a robot is
    in more voxels, or more images see it.
    """
    states = backend.states(hits, misses).cpu().numpy()
    few, crossed = hits.cpu().numpy() <= EDGE_WEIGHT, misses.cpu().numpy() > 0
    doubtful = np.argwhere((states == OCCUPIED) & few & crossed)
    padded = np.pad(states == OCCUPIED, 1)
    around = doubtful[:, None] + NEIGHBORS + 1
    neighbors = padded[tuple(np.moveaxis(around, -1, 0))].sum(-1)
    states[tuple(doubtful[neighbors < MIN_NEIGHBORS].T)] = FREE
    return states
