"""Self check: whether a backend computes on this machine what the reference does.

A GPU, its driver and a compiler may be a combination that has never been tried. So a backend for
it trains a few steps on a handful of rays before it is used.
"""
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import Config, FieldConfig, OccupancyConfig, SamplingConfig
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

RAYS, STEPS = 64, 8
SEED = 0  # the choice of a backend must not depend on chance
MAX_VALUE_ERROR = 0.05  # of colors before training, relative to their norm
MAX_CHANGE_ERROR = 0.3  # of what training changes in them: half precision and Adam add up
CONFIG = dataclasses.replace(
    Config(), sampling=SamplingConfig(far=3.0),
    occupancy=OccupancyConfig(voxel_size=0.1, length=8.0, width=8.0, height=8.0))


def check(backend: Backend, field: FieldConfig) -> None:
    """Raise RuntimeError unless a backend trains a small field of this kind like the reference.

    Whatever the backend raises itself is passed on: ValueError if it does not support the field.
    """
    RadianceField(field, backend)  # one of the real size can be made
    small = dataclasses.replace(field, log2_table=min(field.log2_table, 12))
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        initial = RadianceField(small, reference).state()
        rays, background = _rays(), torch.rand(RAYS, 3)
    expected = _train(reference, small, initial, rays, background)
    found = _train(backend, small, initial, rays, background)
    before = _relative(found[0], expected[0], expected[0])
    change = _relative(found[1], expected[1], expected[1] - expected[0])
    if not before < MAX_VALUE_ERROR:
        raise RuntimeError(f'its values differ from the reference by {before:.0%}')
    if not change < MAX_CHANGE_ERROR:
        raise RuntimeError(f'its gradients differ from the reference: {change:.0%} in {STEPS} steps')


def _train(
    backend: Backend, config: FieldConfig, initial: dict[str, Tensor], rays: Rays,
    background: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the colors (R, 3) and opacities (R,), as (R, 4), before and after training."""
    field = RadianceField(config, backend)
    field.load(initial)
    optimizer = backend.Adam(field.geometry, field.color, 0.9, 0.99, 1e-15, 1e-6)
    occupancy = OccupancyGrid(CONFIG.occupancy, [0.0, 0.0, 0.0], backend)
    rays, device = rays.to(backend.DEVICE), backend.DEVICE
    jitter, background = torch.full((RAYS,), 0.5).to(device), background.to(device)
    rendered = []
    for _ in range(STEPS + 1):
        result = backend.train_step(
            field, rays, occupancy, CONFIG, jitter, background, 8.0, 2**14)
        rendered.append(torch.cat([result.colors, result.opacities[:, None]], 1).cpu().clone())
        optimizer.step(CONFIG.optimizer.learning_rate)
    return rendered[0], rendered[-1]


def _rays() -> Rays:
    """Return rays from around the origin, half of them with a measured distance."""
    directions = torch.nn.functional.normalize(torch.randn(RAYS, 3), dim=-1)
    surfaces = torch.where(torch.arange(RAYS) % 2 == 0, 0.8 + 0.4 * torch.rand(RAYS), 0.0)
    pixels = torch.randint(0, 256, (RAYS, 3), dtype=torch.uint8)
    return Rays(0.2 * torch.randn(RAYS, 3), directions, surfaces, pixels)


def _relative(found: Tensor, expected: Tensor, scale: Tensor) -> float:
    return ((found - expected).norm() / scale.norm()).item()
