"""Merging: the occupancy grids of several ranks, whose keyframes have voted each in its own."""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from instant_nerf_ros.nerf.constants import (
    EMPTY,
    EMPTY_MISSES,
    EMPTY_ODDS,
    MAX_MISSES,
    MAX_VOTES,
    UNVISITED,
)
from instant_nerf_ros.nerf.occupancy import lattice
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid, Window
from instant_nerf_ros.nerf.ranks import Ranks


def share_empty(occupancy: OccupancyGrid, ranks: Ranks) -> None:
    """Enlarge the grid to one box for all ranks, and skip the voxels that all votes call free.

    Before training, when all votes are of sensors.
    """
    size = np.array(occupancy.shape)
    ends = ranks.largest(*-occupancy.first, *(occupancy.first + size))
    first, last = -np.array(ends[:3]).astype(int), np.array(ends[3:]).astype(int)
    begin = occupancy.first - first
    occupancy.restore(
        first, last - first, lattice.slices(begin, begin + size), occupancy.contents())
    hits, misses = (ranks.total(votes.int()) for votes in (occupancy.hits, occupancy.misses))
    free = (misses >= EMPTY_MISSES) & (misses > EMPTY_ODDS * hits)
    occupancy.density_state.copy_(torch.where(free, EMPTY, UNVISITED))


def add_votes(occupancy: OccupancyGrid, ranks: Ranks) -> None:
    """Replace the votes by those of all ranks, in grids of one box; at most MAX_VOTES each."""
    box = ranks.largest(*-occupancy.low.cpu().numpy(), *occupancy.high.cpu().numpy())
    contents = occupancy.contents()
    contents['low'], contents['high'] = -np.array(box[:3]), np.array(box[3:])
    whole = lattice.slices(np.zeros(3, dtype=int), np.array(occupancy.shape))
    occupancy.restore(occupancy.first, np.array(occupancy.shape), whole, contents)
    window = occupancy.window()
    own = occupancy.hits[window].int()
    hits, misses = ranks.total(own), ranks.total(occupancy.misses[window].int())
    colors = ranks.total(own[..., None] * occupancy.colors[window].int())
    occupancy.colors[window] = (colors / hits.clamp(min=1)[..., None] + 0.5).byte()
    _write(occupancy, window, hits, misses)


def _write(occupancy: OccupancyGrid, window: Window, hits: Tensor, misses: Tensor) -> None:
    """Write votes, in their proportion, as far as a voxel holds them."""
    share = (MAX_VOTES / (hits + misses).clamp(min=1)).clamp(max=1)
    most = torch.where(hits > 0, MAX_VOTES, MAX_MISSES)
    occupancy.hits[window] = (share * hits + 0.5).byte()
    occupancy.misses[window] = (share * misses + 0.5).minimum(most).byte()
