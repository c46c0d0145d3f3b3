"""Merging: the votes of keyframes that have voted in grids of their own, of ranks or robots."""
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
from instant_nerf_ros.nerf.occupancy.lattice import Window
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.ranks import Ranks


def share_empty(occupancy: OccupancyGrid, ranks: Ranks) -> None:
    """Enlarge the grid to one box for all ranks, and skip the voxels that all votes call free.

    Before training, when all votes are of sensors.
    """
    size = np.array(occupancy.shape)
    ends = ranks.largest(*-occupancy.first, *(occupancy.first + size))
    first, last = -np.array(ends[:3]).astype(int), np.array(ends[3:]).astype(int)
    occupancy.enlarge(occupancy.first - first, last - occupancy.first - size)
    hits, misses = (ranks.total(votes.int()) for votes in (occupancy.hits, occupancy.misses))
    occupancy.density_state.copy_(torch.where(_free(hits, misses), EMPTY, UNVISITED))


def add_votes(occupancy: OccupancyGrid, ranks: Ranks) -> None:
    """Replace the votes by those of all ranks, in grids of one box; at most MAX_VOTES each."""
    box = ranks.largest(
        *-occupancy.content.low.cpu().numpy(), *occupancy.content.high.cpu().numpy())
    occupancy.content.add_votes(-np.array(box[:3]), np.array(box[3:]))
    window = occupancy.window()
    _write(occupancy, window, *(ranks.total(votes) for votes in _votes(occupancy, window)))


def add_grid(occupancy: OccupancyGrid, other: OccupancyGrid) -> None:
    """Add the votes of another grid with voxels of the same size; at most MAX_VOTES each.

    Its local frame may be another one. What all votes call free is skipped, unless the density
    says something else. Raises ValueError if there is no memory for a grid that contains both.
    """
    for piece in other.content.pieces(other.window()):
        _add_piece(occupancy, other, piece)


def _add_piece(occupancy: OccupancyGrid, other: OccupancyGrid, source: Window) -> None:
    start, stop = (corner + other.world_first - occupancy.frame.voxels
                   for corner in lattice.corners(source))
    occupancy.grow_to(*(lattice.middle(corner, occupancy.voxel_size)
                        for corner in (start, stop - 1)))
    window = lattice.slices(start - occupancy.first, stop - occupancy.first)
    hits, misses, colors = (
        own + added for own, added in zip(_votes(occupancy, window), _votes(other, source)))
    _write(occupancy, window, hits, misses, colors)
    states = occupancy.density_state[window]
    occupancy.density_state[window] = torch.where(
        _free(hits, misses) & (states == UNVISITED), EMPTY, states)
    occupancy.content.add_votes(start, stop)


def _votes(occupancy: OccupancyGrid, window: Window) -> tuple[Tensor, Tensor, Tensor]:
    """Return hits and misses, and the colors (..., 3) of all hits in sum, as integers."""
    hits = occupancy.hits[window].int()
    return hits, occupancy.misses[window].int(), (
        hits[..., None] * occupancy.colors[window].int())


def _free(hits: Tensor, misses: Tensor) -> Tensor:
    """Return which voxels sensors have found to be empty."""
    return (misses >= EMPTY_MISSES) & (misses > EMPTY_ODDS * hits)


def _write(
    occupancy: OccupancyGrid, window: Window, hits: Tensor, misses: Tensor, colors: Tensor,
) -> None:  # fmt: skip
    """Write votes, in their proportion, as far as a voxel holds them, and their mean color."""
    occupancy.colors[window] = (colors / hits.clamp(min=1)[..., None] + 0.5).byte()
    share = (MAX_VOTES / (hits + misses).clamp(min=1)).clamp(max=1)
    most = torch.where(hits > 0, MAX_VOTES, MAX_MISSES)
    occupancy.hits[window] = (share * hits + 0.5).byte()
    occupancy.misses[window] = (share * misses + 0.5).minimum(most).byte()
