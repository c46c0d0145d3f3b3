"""Updates of the occupancy grid on the GPU: densities of samples, votes of rays."""
import torch
import triton
from torch import Tensor

from instant_nerf_ros.nerf.backends.cuda.device import DEVICE
from instant_nerf_ros.nerf.backends.cuda.kernels import votes, voxels

# Positions and rays of a program. Each has a thread of its own: with Triton up to 3.3 only one
# thread of several gets the result of an atomic exchange.
POSITIONS, RAYS = 128, 64
WARP = 32  # threads


def update_density(
    positions: Tensor, densities: Tensor, density: Tensor, density_state: Tensor,
    grid_origin: Tensor, voxel_size: float, decay: float, threshold: Tensor | float,
) -> None:  # fmt: skip
    """See reference.update_density; positions that share a voxel come in no particular order."""
    count = len(positions)
    if not count:
        return
    programs = (triton.cdiv(count, POSITIONS),)
    threshold = torch.as_tensor(threshold, dtype=torch.float32, device=DEVICE)
    grid = density_state, grid_origin, *density.shape, voxel_size
    voxels.update_density[programs](
        positions, densities, densities.stride(0), count, density.view(torch.int32), *grid,
        decay, threshold, POSITIONS, num_warps=POSITIONS // WARP)
    voxels.update_state[programs](positions, count, density, *grid, threshold, POSITIONS)


def integrate_rays(
    origins: Tensor, directions: Tensor, distances: Tensor, clear_distances: Tensor,
    measured: bool, weight: int, pixels: Tensor, keyframe: int, hits: Tensor, misses: Tensor,
    last_keyframe: Tensor, colors: Tensor, density_state: Tensor, grid_origin: Tensor,
    voxel_size: float,
) -> None:  # fmt: skip
    """See reference.integrate_rays; of the rays that end in a voxel, any one may vote."""
    count = len(origins)
    programs = (triton.cdiv(count, RAYS),)
    if not count:
        return
    scratch = torch.zeros(RAYS, dtype=torch.int32, device=DEVICE)
    # Directions have no origin: after the corner follow three zeros.
    corner = torch.cat([grid_origin, torch.zeros_like(grid_origin)])
    counts = hits, misses, last_keyframe
    space = scratch, corner, *hits.shape, voxel_size
    votes.count_hits[programs](
        origins, directions, distances, pixels, count, weight, int(keyframe), *counts, colors,
        *space, bool(measured), RAYS, num_warps=RAYS // WARP)
    votes.count_misses[programs](
        origins, directions, clear_distances, count, int(keyframe), *counts, density_state, *space,
        bool(measured), RAYS, num_warps=RAYS // WARP)
