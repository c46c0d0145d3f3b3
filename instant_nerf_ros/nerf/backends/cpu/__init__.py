"""The backend for processors, in Numba kernels; see protocol.Backend and reference.

A training step, or a view, is computed in one go by kernels that follow a few rays at a time from
their pixels to their gradients, one such chunk on each core.
"""
import numpy as np
import torch
from torch import Tensor

from instant_nerf_ros.nerf.backends.cpu.bricks import bricks_of
from instant_nerf_ros.nerf.backends.cpu.kernels import voxels
from instant_nerf_ros.nerf.backends.cpu.kernels.columns import classify_columns, survey_columns
from instant_nerf_ros.nerf.backends.cpu.kernels.stereo import (
    best_planes,
    plane_costs,
    smooth_costs,
)
from instant_nerf_ros.nerf.backends.cpu.kernels.stereo_refinement import (
    agreement,
    epipolar_gradients,
)
from instant_nerf_ros.nerf.backends.cpu.kernels.surfaces import find_surfaces
from instant_nerf_ros.nerf.backends.cpu.networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.backends.cpu.optimizer import Adam
from instant_nerf_ros.nerf.backends.cpu.ray_sampling import sample_rays, update_error_map
from instant_nerf_ros.nerf.backends.cpu.threads import run_concurrently, thread_count
from instant_nerf_ros.nerf.backends.cpu.train_step import render_rays, train_step
from instant_nerf_ros.nerf.backends.reference import synchronize
from instant_nerf_ros.nerf.constants import SAMPLES_PER_STEP

__all__ = [
    'Adam', 'ColorNetwork', 'DEVICE', 'GeometryNetwork', 'NAME', 'SAMPLES', 'agreement',
    'best_planes', 'classify_columns', 'description', 'epipolar_gradients', 'find_surfaces',
    'integrate_rays',
    'plane_costs', 'render_rays', 'run_concurrently', 'sample_rays', 'smooth_costs', 'states',
    'survey_columns', 'synchronize', 'train_step', 'update_density', 'update_error_map',
]  # fmt: skip

NAME = 'cpu'
DEVICE = 'cpu'
SAMPLES = SAMPLES_PER_STEP  # more steps with fewer samples learn more in the same time


def description() -> str:
    """Return the number of threads in use."""
    return f'{thread_count()} threads of the processor'


def update_density(
    positions: Tensor, densities: Tensor, density: Tensor, density_state: Tensor,
    grid_origin: Tensor, voxel_size: float, decay: float, threshold: Tensor | float,
) -> None:  # fmt: skip
    """See reference.update_density."""
    voxels.update_density(
        positions.numpy(), densities.numpy(), density.numpy(), density_state.numpy(),
        bricks_of(density_state), grid_origin.numpy(), np.float32(voxel_size),
        np.float32(decay), np.float32(threshold))


def integrate_rays(
    origins: Tensor, directions: Tensor, distances: Tensor, clear_distances: Tensor,
    measured: bool, weight: int, pixels: Tensor, keyframe: int, hits: Tensor, misses: Tensor,
    last_keyframe: Tensor, colors: Tensor, density_state: Tensor, grid_origin: Tensor,
    voxel_size: float,
) -> None:  # fmt: skip
    """See reference.integrate_rays."""
    voxels.integrate_rays(
        origins.numpy(), directions.numpy(), distances.numpy(), clear_distances.numpy(),
        bool(measured), weight, pixels.numpy(), np.uint8(keyframe), hits.numpy(), misses.numpy(),
        last_keyframe.numpy(), colors.numpy(), density_state.numpy(),
        bricks_of(density_state), grid_origin.numpy(), float(voxel_size))


def states(hits: Tensor, misses: Tensor) -> Tensor:
    """See reference.states."""
    result = torch.empty(hits.shape, dtype=torch.int8)
    voxels.states(hits.numpy(), misses.numpy(), result.numpy())
    return result
