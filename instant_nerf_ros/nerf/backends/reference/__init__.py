"""The backend in plain PyTorch and NumPy: the specification, the test oracle and the fallback.

See protocol.Backend for what each function does. The other backends are tested against this one,
values and gradients.
"""
from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from instant_nerf_ros.nerf.backends.reference.columns import classify_columns, survey_columns
from instant_nerf_ros.nerf.backends.reference.marching import march
from instant_nerf_ros.nerf.backends.reference.networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.backends.reference.optimizer import Adam
from instant_nerf_ros.nerf.backends.reference.ray_sampling import sample_rays, update_error_map
from instant_nerf_ros.nerf.backends.reference.stereo import (
    best_planes,
    plane_costs,
    smooth_costs,
)
from instant_nerf_ros.nerf.backends.reference.stereo_refinement import (
    agreement,
    epipolar_gradients,
)
from instant_nerf_ros.nerf.backends.reference.surfaces import find_surfaces
from instant_nerf_ros.nerf.backends.reference.voxels import integrate_rays, states, update_density
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import Config, SamplingConfig
from instant_nerf_ros.nerf.constants import SAMPLES_PER_STEP
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

NAME = 'reference'
DEVICE = 'cpu'
SAMPLES = SAMPLES_PER_STEP

First = TypeVar('First')
Second = TypeVar('Second')


def description() -> str:
    """Return where this backend runs."""
    return 'PyTorch on the processor'


def train_step(
    field: RadianceField, rays: Rays, occupancy: OccupancyGrid, config: Config, jitter: Tensor,
    background: Tensor, stride: float, budget: int,
) -> StepResult:  # fmt: skip
    """Leave the gradients of the loss of the rays in the field; any number of samples fits."""
    return autograd.train_step(
        field, rays, occupancy, config, march, jitter, background, stride)


def render_rays(
    field: RadianceField, rays: Rays, occupancy: OccupancyGrid, config: SamplingConfig,
    stride: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return colors, median distances and opacities of rays."""
    return render.render_rays(field, rays, occupancy, config, march, stride)


def run_concurrently(
    first: Callable[[], First], second: Callable[[], Second],
) -> tuple[First, Second]:  # fmt: skip
    """Call two functions, here one after the other, and return both results."""
    return first(), second()


def synchronize() -> None:
    """Return at once: nothing runs in the background."""
