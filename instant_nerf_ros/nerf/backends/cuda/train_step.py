"""Whole training steps and whole views of the GPU backend.

What is launched here runs on the GPU one after the other, while the host runs ahead. The host
waits once in a step, for the terms of the loss and the number of samples, after the backward pass
is launched, so that the GPU always has work.
"""
from __future__ import annotations

import dataclasses
from typing import cast

import torch
import triton
from torch import Tensor

from instant_nerf_ros.nerf.backends.cuda.device import DEVICE, resident
from instant_nerf_ros.nerf.backends.cuda.kernels import hash_grid, networks, pixels
from instant_nerf_ros.nerf.backends.cuda.kernels.ray_tracing import trace
from instant_nerf_ros.nerf.backends.cuda.networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.backends.cuda.step_buffers import GAIN, TERMS, StepBuffers
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import Config, SamplingConfig
from instant_nerf_ros.nerf.constants import COLOR_TERMS, FEATURES, LOSS_TERMS
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.field.train_step import StepResult
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

# Rays and samples of a program.
TRACED, COLORED, BACKWARD, SCATTERED = 128, 128, 64, 128
Rendering = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # see _empty_rendering


def train_step(
    field: RadianceField, rays: Rays, occupancy: OccupancyGrid, config: Config, jitter: Tensor,
    background: Tensor, stride: float, budget: int,
) -> StepResult:  # fmt: skip
    """See protocol.Backend.train_step."""
    geometry = cast(GeometryNetwork, field.geometry)
    color = cast(ColorNetwork, field.color)
    buffers = geometry.reserve(2 * budget)
    geometry.refresh()
    if not buffers.begin(len(rays)):
        geometry.clear_gradients()
        color.matrices.gradients.zero_()
    rays = _on_device(rays)
    jitter, background = jitter.to(DEVICE), background.to(DEVICE)
    rendering = _empty_rendering(len(rays))
    colors, distances, opacities, medians, ends = rendering
    _trace(field, rays, occupancy, config.sampling, jitter, stride, buffers, rendering)
    counted = buffers.count, buffers.capacity
    widths = {'HIDDEN': color.hidden2.shape[0], 'WIDTH': geometry.width}
    inputs = buffers.links, rays.directions, buffers.geometries
    weights = color.hidden1, color.hidden2, color.output
    networks.evaluate_color[(resident(4),)](
        *inputs, *weights, *counted, buffers.samples, **widths, BLOCK=COLORED)
    pixels.loss_and_gradients[(triton.cdiv(len(rays), TRACED),)](
        rays.pixels, background, rays.surfaces, len(rays), buffers.samples, buffers.links, ends,
        colors, distances, opacities, buffers.gradients, buffers.terms, buffers.measured,
        *dataclasses.astuple(config.loss), config.sampling.surface_band, GAIN, TRACED)
    buffers.report.send(buffers.numbers)
    networks.color_backward[(resident(2),)](
        *inputs, *weights, buffers.gradients, *counted,
        *color.matrices.split(color.matrices.gradients), **widths, BLOCK=BACKWARD, num_warps=8)
    networks.geometry_backward[(resident(2),)](
        buffers.encodings, buffers.geometries, geometry.hidden, geometry.output, *counted,
        *geometry.matrices.split(geometry.matrices.gradients),
        ENCODED=geometry.levels * FEATURES, COLUMNS=geometry.columns, **widths, BLOCK=BACKWARD)
    hash_grid.encode_backward[(triton.cdiv(buffers.capacity, SCATTERED), geometry.levels)](
        buffers.positions, buffers.encodings, *counted, geometry.scales, geometry.gradients,
        geometry.entries, field.extent, geometry.columns, SCATTERED)
    numbers = buffers.report.read()
    _, count, measured = numbers[TERMS:].tolist()
    visible = min(count, buffers.capacity)
    terms = numbers[:TERMS].view(torch.float32).tolist()
    return StepResult(
        dict(zip(LOSS_TERMS if measured else COLOR_TERMS, terms)), colors, distances, opacities,
        medians, buffers.positions[:visible], buffers.samples[:visible, 2])


@torch.no_grad()
def render_rays(
    field: RadianceField, rays: Rays, occupancy: OccupancyGrid, config: SamplingConfig,
    stride: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return colors (R, 3), median distances (R,) and opacities (R,) of rays."""
    cast(GeometryNetwork, field.geometry).refresh()
    rays = _on_device(rays)
    middle = torch.full((len(rays),), 0.5, device=DEVICE)
    rendering = _empty_rendering(len(rays))
    _trace(field, rays, occupancy, config, middle, stride, None, rendering)
    colors, _, opacities, medians, _ = rendering
    return colors, medians, opacities


def _trace(
    field: RadianceField, rays: Rays, occupancy: OccupancyGrid, sampling: SamplingConfig,
    jitter: Tensor, stride: float, buffers: StepBuffers | None, rendering: Rendering,
) -> None:  # fmt: skip
    """Write the rendering of rays, and to buffers their visible samples; None: colors instead."""
    geometry = cast(GeometryNetwork, field.geometry)
    color = cast(ColorNetwork, field.color)
    colors, distances, opacities, medians, ends = rendering
    outputs: tuple[Tensor | int, ...]
    if buffers:
        outputs = (
            buffers.next_ray, buffers.count, buffers.capacity, buffers.samples, buffers.links,
            buffers.positions, buffers.encodings, buffers.geometries)
    else:
        next_ray = torch.zeros(1, dtype=torch.int32, device=DEVICE)
        half = geometry.table_half
        outputs = next_ray, next_ray, 0, colors, ends, colors, half, half  # unused but the first
    trace[(min(resident(4), triton.cdiv(len(rays), TRACED)),)](
        rays.origins, rays.directions, jitter, rays.surfaces, len(rays),
        occupancy.density_state, occupancy.origin, *occupancy.shape, occupancy.voxel_size,
        sampling.near, sampling.far, stride * sampling.min_step, stride * sampling.cone,
        sampling.surface_band, sampling.surface_samples,
        geometry.table_half, geometry.scales, geometry.entries, geometry.hidden, geometry.output,
        color.hidden1, color.hidden2, color.output, field.extent, *outputs,
        colors, distances, opacities, medians, ends,
        geometry.levels, geometry.slots, geometry.hidden.shape[0], geometry.width, buffers is None,
        TRACED,
        num_warps=8)


def _on_device(rays: Rays) -> Rays:
    return Rays(*(values.to(DEVICE).contiguous() for values in rays.tensors()))


def _empty_rendering(count: int) -> Rendering:
    """Return colors (R, 3), distances, opacities, medians, and the last samples, (R,)."""
    distances, opacities, medians = torch.empty(3, count, device=DEVICE)
    return (torch.empty(count, 3, device=DEVICE), distances, opacities, medians,
            torch.empty(count, dtype=torch.int32, device=DEVICE))  # fmt: skip
