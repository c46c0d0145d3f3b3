"""Estimate votes: the votes of distances that are known with a standard deviation each.

The inverse sensor model: a ray is clear up to what the deviation leaves, and is a hit if that is
small. Two images have to agree, as for rendered rays: one alone changes nothing.
"""
import numpy as np
import torch
from numpy.typing import NDArray

from instant_nerf_ros.nerf.capture.rays import NO_COLOR, Rays
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

MAX_HIT_DEVIATION = 3.0  # voxels, of a distance that is a hit


def integrate_estimate(
    rays: tuple[NDArray[np.float64], ...], occupancy: OccupancyGrid, vote_id: int, margin: float,
) -> None:  # fmt: skip
    """Let rays of a keyframe vote: origins, directions (N, 3), distances, deviations (N,) [m].

    margin: so many deviations, and a voxel, before its end, a ray does not clear.
    """
    origins, directions, distances, deviations = (
        torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)) for values in rays)
    colorless = torch.full(origins.shape, NO_COLOR, dtype=torch.int16)
    voting, size = Rays(origins, directions, distances, colorless), occupancy.voxel_size
    occupancy.reach(voting.where(deviations < MAX_HIT_DEVIATION * size))
    device = occupancy.backend.DEVICE
    voting, deviations = voting.to(device), deviations.to(device)
    occupancy.integrate_rays(
        voting, torch.where(deviations < MAX_HIT_DEVIATION * size, voting.surfaces, 0.0),
        (voting.surfaces - size - margin * deviations).clamp(min=0), False, vote_id)
