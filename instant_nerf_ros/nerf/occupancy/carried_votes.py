"""Carried votes: those of images that have made room move with the poses that they had."""
from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Poses
from instant_nerf_ros.nerf.occupancy import lattice
from instant_nerf_ros.nerf.occupancy.blocks import VOTES
from instant_nerf_ros.nerf.occupancy.lattice import Window
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

MAX_DISTANCE = 0.62  # voxels, from a vote to where it is carried: a ball as large as a voxel


def carry(old: OccupancyGrid, new: OccupancyGrid, corrections: Poses) -> None:
    """Give votes of an old grid to voxels of a new one that have none.

    They are votes of images and scans that have not voted in the new grid, as they are not kept.
    Each moves as the last one that voted on its voxel, by corrections {id: T_new_old (4, 4)}, into
    the nearest voxel. What comes to lie outside of the new grid is lost.
    """
    gone = np.setdiff1d(old.voters.ids(), new.voters.ids())
    if not len(gone):
        return
    motions = np.full((len(old.voters.positions), 3, 4), np.nan)
    for vote_id in gone.tolist():
        motion = motions[vote_id] = corrections.get(vote_id, np.eye(4))[:3]
        new.voters.add(vote_id, motion[:, :3] @ old.voters.positions[vote_id] + motion[:, 3])
    for piece in old.content.pieces(old.window()):
        _carry_piece(old, new, piece, motions)


def _carry_piece(
    old: OccupancyGrid, new: OccupancyGrid, piece: Window, motions: NDArray[np.float64],
) -> None:  # fmt: skip
    """Carry the votes in a piece; motions (I, 3, 4) by id, not finite of those that stay."""
    hits, misses, tags = (
        grid[piece].cpu().numpy() for grid in (old.hits, old.misses, old.last_keyframe))
    index = np.argwhere((hits > 0) | (misses > 0))
    centers = lattice.middle(index + lattice.corners(piece)[0] + old.first, old.voxel_size)
    motion = motions[old.voters.nearest(tags[tuple(index.T)], centers)]
    chosen = np.isfinite(motion[:, 0, 0])
    index, centers, motion = index[chosen], centers[chosen], motion[chosen]
    moved = (motion[:, :, :3] @ centers[..., None])[..., 0] + motion[:, :, 3]
    source, target = _nearest((moved - new.corner) / new.voxel_size - 0.5, new)
    if not len(source):
        return
    voxels, votes = (
        tuple(torch.from_numpy(each).to(new.hits.device).unbind(1))
        for each in (target, index[source]))
    for name in VOTES:
        getattr(new, name)[voxels] = getattr(old, name)[piece][votes]
    new.content.add_votes(*(new.first + end for end in (target.min(0), target.max(0) + 1)))


def _nearest(
    positions: NDArray[np.float64], grid: OccupancyGrid,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Return which of positions (N, 3) is nearest (M,) to each voxel (M, 3) without votes.

    Positions are in voxels of the grid, whole in the middle of one. Only voxels within
    MAX_DISTANCE of any are returned.
    """
    sources, targets, distances = [], [], []
    low = np.floor(positions).astype(np.int64)
    for corner in np.ndindex(2, 2, 2):
        target = low + corner
        distance = np.linalg.norm(positions - target, axis=1)
        near = np.flatnonzero((distance <= MAX_DISTANCE) & (
            (target >= 0) & (target < grid.shape)).all(1))
        voxels = tuple(torch.from_numpy(target[near]).to(grid.hits.device).unbind(1))
        empty = near[((grid.hits[voxels] | grid.misses[voxels]) == 0).cpu().numpy()]
        sources.append(empty)
        targets.append(target[empty])
        distances.append(distance[empty])
    source, target = np.concatenate(sources), np.concatenate(targets)
    order = np.argsort(np.concatenate(distances), kind='stable')
    flat = np.ravel_multi_index(tuple(target[order].T), grid.shape)
    first = order[np.unique(flat, return_index=True)[1]]
    return source[first], target[first]
