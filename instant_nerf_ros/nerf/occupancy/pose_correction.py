"""Pose correction: the occupancy grid of keyframes and scans whose poses SLAM has corrected.

The votes are integrated into a new grid, as a grid does not record which keyframe a vote is of.
"""
from __future__ import annotations

import contextlib

import numpy as np

from instant_nerf_ros.nerf.arrays import Poses
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.ranges import Ranges
from instant_nerf_ros.nerf.config import SamplingConfig
from instant_nerf_ros.nerf.occupancy.frozen_votes import FrozenVotes
from instant_nerf_ros.nerf.occupancy.integration import (
    integrate_alpha,
    integrate_depth,
    integrate_scan,
)
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid


def new_grid(
    occupancy: OccupancyGrid, keyframes: Keyframes, ranges: Ranges, corrections: Poses,
    frozen_votes: FrozenVotes | None = None,
) -> OccupancyGrid:  # fmt: skip
    """Return a grid like occupancy, with frozen votes only, for corrected keyframes and scans.

    corrections: {id: T_new_old (4, 4)}. Raises ValueError if it would be too large.
    """
    positions = [pose[:3, 3] for pose in keyframes.corrected_poses(corrections).values()]
    positions += [
        (corrections.get(scan_id, np.eye(4)) @ (*scan.origins[-1].numpy(), 1))[:3]
        for scan_id, scan in ranges.scans()]
    grid = OccupancyGrid(
        occupancy.config, positions[0], occupancy.backend, occupancy.frame)
    for position in positions:
        grid.follow(position)
    with contextlib.suppress(ValueError):  # what it had reached, if there is memory
        low, size = occupancy.corner, occupancy.voxel_size
        grid.grow_to(low + size / 2, low + size * (np.array(occupancy.shape) - 0.5))
    if frozen_votes:
        frozen_votes.put(grid)
    return grid


def integrate_all(
    keyframes: Keyframes, ranges: Ranges, occupancy: OccupancyGrid, config: SamplingConfig,
) -> None:  # fmt: skip
    """Integrate the images with depth or alpha and the scans, in order of their ids.

    Frozen ones are left out: their votes are in the grid.
    """
    images = {keyframe: k for k, keyframe in enumerate(keyframes.ids.tolist())}
    scans = dict(ranges.scans())
    for vote_id in filter(keyframes.is_own, sorted({*images, *scans})):
        if vote_id in images:
            integrate_depth(keyframes, images[vote_id], occupancy)
            integrate_alpha(keyframes, images[vote_id], occupancy, config)
        else:
            integrate_scan(scans[vote_id], occupancy, vote_id)
