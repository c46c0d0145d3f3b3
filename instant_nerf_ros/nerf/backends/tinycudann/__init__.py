"""The GPU backend with tinycudann's hash grid and fully fused networks; see protocol.Backend.

All else is as in cuda, except for steps and views: tinycudann evaluates all samples at once, so
they are placed first, by a kernel, and PyTorch composites them.
"""
import torch
import triton
from torch import Tensor

from instant_nerf_ros.nerf.backends import cuda
from instant_nerf_ros.nerf.backends.cuda import (
    SAMPLES,
    Adam,
    integrate_rays,
    sample_rays,
    synchronize,
    update_density,
    update_error_map,
)
from instant_nerf_ros.nerf.backends.cuda.device import DEVICE
from instant_nerf_ros.nerf.backends.cuda.kernels import marching
from instant_nerf_ros.nerf.backends.host import (
    agreement,
    best_planes,
    classify_columns,
    epipolar_gradients,
    find_surfaces,
    plane_costs,
    smooth_costs,
    survey_columns,
)
from instant_nerf_ros.nerf.backends.reference import run_concurrently, states
from instant_nerf_ros.nerf.backends.tinycudann.networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import Config, SamplingConfig
from instant_nerf_ros.nerf.field import render
from instant_nerf_ros.nerf.field import train_step as autograd
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.field.train_step import StepResult
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

__all__ = [
    'Adam', 'ColorNetwork', 'DEVICE', 'GeometryNetwork', 'NAME', 'SAMPLES', 'agreement',
    'best_planes', 'classify_columns', 'description', 'epipolar_gradients', 'find_surfaces',
    'integrate_rays',
    'march', 'plane_costs', 'render_rays', 'run_concurrently', 'sample_rays', 'smooth_costs',
    'states', 'survey_columns', 'synchronize', 'train_step', 'update_density',
    'update_error_map',
]  # fmt: skip

NAME = 'tinycudann'
RAYS = 128  # of a program


def description() -> str:
    """Return the GPU in use."""
    return f'{cuda.description()}, with tinycudann'


def train_step(
    field: RadianceField, rays: Rays, occupancy: OccupancyGrid, config: Config, jitter: Tensor,
    background: Tensor, stride: float, budget: int,
) -> StepResult:  # fmt: skip
    """Leave the gradients of the loss of the rays in the field; any number of samples fits."""
    return autograd.train_step(
        field, rays.to(DEVICE), occupancy, config, march, jitter.to(DEVICE),
        background.to(DEVICE), stride)


def render_rays(
    field: RadianceField, rays: Rays, occupancy: OccupancyGrid, config: SamplingConfig,
    stride: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return colors, median distances and opacities of rays."""
    return render.render_rays(field, rays.to(DEVICE), occupancy, config, march, stride)


def march(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, limits: Tensor,
    jitter: Tensor, surfaces: Tensor, density_state: Tensor, grid_origin: Tensor,
    voxel_size: float, min_step: float, cone: float, band: float, band_samples: int,
    visited_only: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """See reference.march; the host waits for the number of samples."""
    rays = len(origins)
    counts = torch.zeros(rays, dtype=torch.int32, device=DEVICE)
    offsets = torch.zeros(rays + 1, dtype=torch.int64, device=DEVICE)
    t_starts = t_ends = torch.empty(0, device=DEVICE)
    for write in (False, True) if rays else ():
        marching.march[(triton.cdiv(rays, RAYS),)](
            origins.contiguous(), directions.contiguous(), near, far, limits, jitter, surfaces,
            rays, density_state, grid_origin, *density_state.shape, voxel_size, min_step, cone,
            band, band_samples, counts, offsets, t_starts, t_ends, visited_only, write, RAYS)
        if not write:
            torch.cumsum(counts, 0, out=offsets[1:])
            t_starts, t_ends = torch.empty(2, int(offsets[-1]), device=DEVICE)
    return offsets, t_starts, t_ends
