"""Whole training steps and whole views of the CPU backend."""
import dataclasses
from typing import cast

import numpy as np
import torch
from torch import Tensor

from instant_nerf_ros.nerf.backends.cpu.bricks import bricks_of
from instant_nerf_ros.nerf.backends.cpu.kernels import train_step as kernels
from instant_nerf_ros.nerf.backends.cpu.kernels.marching import Rays as KernelRays
from instant_nerf_ros.nerf.backends.cpu.kernels.marching import Space
from instant_nerf_ros.nerf.backends.cpu.kernels.pixels import Loss, Targets
from instant_nerf_ros.nerf.backends.cpu.networks import (
    ColorNetwork,
    GeometryNetwork,
    pack,
    pack_backward,
)
from instant_nerf_ros.nerf.backends.cpu.step_buffers import empty_rendering
from instant_nerf_ros.nerf.backends.cpu.threads import on_all_cores
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import Config, LossConfig, SamplingConfig
from instant_nerf_ros.nerf.constants import COLOR_TERMS, LOSS_TERMS
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.field.train_step import StepResult
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

MAX_SAMPLES = 2**17  # of a thread in a step; or four times the budget


def train_step(
    field: RadianceField, rays: Rays, occupancy: OccupancyGrid, config: Config, jitter: Tensor,
    background: Tensor, stride: float, budget: int,
) -> StepResult:  # fmt: skip
    """See protocol.Backend.train_step. The next call overwrites the tensors of the result."""
    geometry = cast(GeometryNetwork, field.geometry)
    color = cast(ColorNetwork, field.color)
    buffers = geometry.step_buffers(max(MAX_SAMPLES, 4 * budget))
    rendered, pixels = buffers.clear(len(rays))
    arguments = (
        KernelRays(*(x.numpy() for x in (rays.origins, rays.directions, jitter, rays.surfaces))),
        Targets(np.divide(rays.pixels.numpy(), np.float32(255), out=pixels), background.numpy()),
        _space(occupancy, config.sampling, stride, False),
        weights(config.loss),
        pack(geometry, color), np.float32(field.extent), pack_backward(geometry, color),
        rendered,
    )  # fmt: skip
    on_all_cores(lambda thread, counter: kernels.train_step(
        *arguments, geometry.chunks[thread], buffers.works[thread], buffers.results[thread],
        buffers.counts[thread], counter))
    names = LOSS_TERMS if rays.surfaces.any() else COLOR_TERMS
    terms = dict(zip(names, buffers.counts.sum(0).tolist()))
    return StepResult(
        terms, *map(torch.from_numpy, (*rendered, *buffers.visible_samples(field.extent))))


def render_rays(
    field: RadianceField, rays: Rays, occupancy: OccupancyGrid, config: SamplingConfig,
    stride: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return colors (R, 3), median distances (R,) and opacities (R,) of rays."""
    geometry = cast(GeometryNetwork, field.geometry)
    middle = np.full(len(rays), 0.5, dtype=np.float32)
    rendered = empty_rendering(len(rays))
    arguments = (
        KernelRays(rays.origins.numpy(), rays.directions.numpy(), middle, rays.surfaces.numpy()),
        _space(occupancy, config, stride, True),
        pack(geometry, cast(ColorNetwork, field.color)), np.float32(field.extent), rendered,
    )  # fmt: skip
    on_all_cores(lambda thread, counter: kernels.render_rays(
        *arguments, geometry.chunks[thread], counter))
    colors, medians, opacities = map(
        torch.from_numpy, (rendered.colors, rendered.medians, rendered.opacities))
    return colors, medians, opacities


def weights(terms: LossConfig) -> Loss:
    """Return the Loss of a LossConfig for the kernels."""
    return Loss(*map(np.float32, dataclasses.astuple(terms)))


def _space(
    occupancy: OccupancyGrid, sampling: SamplingConfig, stride: float, visited_only: bool,
) -> Space:  # fmt: skip
    number = np.float32
    return Space(
        occupancy.density_state.numpy(), bricks_of(occupancy.density_state),
        occupancy.origin.numpy(), number(occupancy.voxel_size), number(sampling.near),
        number(sampling.far), number(stride * sampling.min_step),
        number(stride * sampling.cone), number(sampling.surface_band), sampling.surface_samples,
        visited_only,
    )  # fmt: skip
