"""A training step up to the gradients: rays -> samples -> field -> composite -> loss."""
from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from instant_nerf_ros.nerf.constants import MAX_SAMPLES
from instant_nerf_ros.nerf.field import loss
from instant_nerf_ros.nerf.field.composite import (
    composite,
    composite_opacity,
    median_distances,
    visible,
)
from instant_nerf_ros.nerf.field.samples import March, Samples, sample

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.capture.rays import Rays
    from instant_nerf_ros.nerf.config import Config
    from instant_nerf_ros.nerf.field.radiance_field import RadianceField
    from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

FIRST_SAMPLES = 16  # of a ray, which decide whether it gets more
OPAQUE = 0.999  # opacity behind which nothing is visible


@dataclasses.dataclass(frozen=True)
class StepResult:
    """The rendered values of R rays, and the terms of their loss. The gradients are the field's.

    M samples are the visible ones, those with a weight: the others have no gradient.
    """

    terms: dict[str, float]  # terms of the loss by name, see loss.loss_terms
    colors: Tensor  # (R, 3) in [0, 1], over black
    distances: Tensor  # (R,) sum of weight * distance, metres along the ray
    opacities: Tensor  # (R,) in [0, 1]
    medians: Tensor  # (R,) metres at which half of the light is absorbed; 0 = nowhere
    positions: Tensor  # (M, 3) metres, world
    densities: Tensor  # (M,) per metre

    @property
    def loss(self) -> float:
        """Return the sum of the terms."""
        return sum(self.terms.values())


def train_step(
    field: RadianceField, rays: Rays, occupancy: OccupancyGrid, config: Config, march: March,
    jitter: Tensor, background: Tensor, stride: float,
) -> StepResult:  # fmt: skip
    """Leave the gradients of the loss of R rays in the field, by autograd.

    jitter (R,), background (R, 3) in [0, 1); stride multiplies the steps along the rays.
    """
    place = functools.partial(
        sample, occupancy=occupancy, config=config.sampling, march=march, jitter=jitter,
        stride=stride, visited_only=False)
    samples = place(rays, limits=_sample_limits(field, rays, place))
    densities, colors = field(
        samples, rays.directions, functools.partial(visible, samples=samples))
    pixels = composite(densities, colors, samples)
    terms = loss.loss_terms(
        pixels, samples, rays, background, config.loss, config.sampling.surface_band)
    field.zero_grad()
    loss.total(terms).backward()
    weighted = torch.nonzero(pixels.weights > 0)[:, 0]
    return StepResult(
        dict(zip(terms, torch.stack(list(terms.values())).tolist())),
        pixels.colors.detach(), pixels.distances.detach(), pixels.opacities.detach(),
        median_distances(pixels.weights, samples),
        samples.positions[weighted], densities[weighted].detach(),
    )  # fmt: skip


def _sample_limits(
    field: RadianceField, rays: Rays, place: Callable[..., Samples],
) -> Tensor:  # fmt: skip
    """Return how many samples each ray may have, (R,) int32.

    A ray without a measured distance would go on behind the surface, through voxels that are not
    known to be empty. Its first samples decide whether anything behind them is visible.
    """
    first = torch.where(rays.surfaces > 0, 0, FIRST_SAMPLES).int()
    unmeasured = dataclasses.replace(rays, surfaces=torch.zeros_like(rays.surfaces))
    samples = place(unmeasured, limits=first)
    opacities = composite_opacity(field.density(samples.positions), samples).opacities
    return torch.where(opacities > OPAQUE, FIRST_SAMPLES, MAX_SAMPLES).int()
