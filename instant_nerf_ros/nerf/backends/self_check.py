"""Self check: whether a backend computes on this machine what the reference does.

A GPU, its driver and a compiler may be a combination that has never been tried. So a backend for
it trains a few steps on a handful of rays before it is used.
"""
from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import (
    Config,
    FieldConfig,
    LossConfig,
    OccupancyConfig,
    SamplingConfig,
)
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.field.train_step import StepResult
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

SEED = 0  # the choice of a backend must not depend on chance
RAYS, STEPS = 16, 2
STRIDE, BUDGET = 8.0, 128  # of the steps: the rays have fewer samples than twice the budget
LOG2_TABLE = 8
TABLE_SCALE = 2e4  # of the initial table: with larger features, another hash gives other values
# Errors relative to the reference; half precision has less than 0.01.
MAX_ERROR = 0.05  # of the first rendering and of the terms of its loss
MAX_CHANGE_ERROR = 0.1  # of the change of the rendering by training
# Every term of the loss has a weight with which its gradient matters.
CONFIG = dataclasses.replace(
    Config(),
    occupancy=OccupancyConfig(voxel_size=0.1, length=8.0, width=8.0, height=8.0),
    sampling=SamplingConfig(near=0.2, far=1.3, surface_samples=4),
    loss=LossConfig(
        distortion_weight=1.5, opacity_weight=0.5, depth_weight=0.8, free_space_weight=1.5))


def check(backend: Backend, field: FieldConfig) -> None:
    """Raise RuntimeError unless a backend trains a small field of this kind like the reference.

    Errors of the backend itself are passed on: ValueError if it does not support the field.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(SEED)
        RadianceField(field, backend)  # one of the real size can be made
        # Cells of the default size: rounded positions would matter in tiny ones.
        small = FieldConfig(
            levels=field.levels, log2_table=min(field.log2_table, LOG2_TABLE),
            hidden=field.hidden)
        initial = RadianceField(small, reference).state()
        initial['geometry.table'].mul_(TABLE_SCALE)
        rays, background = _rays(), torch.rand(RAYS, 3)
        first, *_, last = _train(reference, small, initial, rays, background)
        found_first, *_, found_last = _train(backend, small, initial, rays, background)
    for name, term in first.terms.items():
        error = abs(found_first.terms.get(name, math.nan) / term - 1)
        _require(error, MAX_ERROR, f'{name} term of the loss')
    before, after = _rendering(first), _rendering(last)
    found_before, found_after = _rendering(found_first), _rendering(found_last)
    _require(_norm(found_before - before) / _norm(before), MAX_ERROR, 'rendering')
    _require(_norm(found_after - after) / _norm(after - before), MAX_CHANGE_ERROR, 'training')


def _train(
    backend: Backend, config: FieldConfig, initial: dict[str, Tensor], rays: Rays,
    background: Tensor,
) -> list[StepResult]:  # fmt: skip
    """Return the results of training steps, with copies of the rendered values."""
    field = RadianceField(config, backend)
    field.load(initial)
    optimizer = backend.Adam(field.geometry, field.color, 0.9, 0.99, 1e-15, 1e-6)
    occupancy = OccupancyGrid(CONFIG.occupancy, [0.0, 0.0, 0.0], backend)
    rays, device = rays.to(backend.DEVICE), backend.DEVICE
    jitter, background = torch.full((RAYS,), 0.5).to(device), background.to(device)
    results = []
    for _ in range(STEPS + 1):
        result = backend.train_step(
            field, rays, occupancy, CONFIG, jitter, background, STRIDE, BUDGET)
        results.append(dataclasses.replace(
            result, colors=result.colors.clone(), opacities=result.opacities.clone()))
        optimizer.step(CONFIG.optimizer.learning_rate)
    return results


def _rays() -> Rays:
    """Return rays from around the origin, half of them with a measured distance."""
    directions = torch.nn.functional.normalize(torch.randn(RAYS, 3), dim=-1)
    surfaces = torch.where(torch.arange(RAYS) % 2 == 0, 0.6 + 0.6 * torch.rand(RAYS), 0.0)
    pixels = torch.randint(0, 256, (RAYS, 3), dtype=torch.uint8)
    return Rays(0.2 * torch.randn(RAYS, 3), directions, surfaces, pixels)


def _rendering(result: StepResult) -> Tensor:
    """Return colors and opacities, (R, 4), on the processor."""
    return torch.cat([result.colors, result.opacities[:, None]], 1).cpu()


def _norm(values: Tensor) -> float:
    return float(values.norm())


def _require(error: float, limit: float, what: str) -> None:
    if not error < limit:  # also for NaN
        raise RuntimeError(f'its {what} differs from that of the reference by {error:.0%}')
