"""Lesson: one training step up to the gradients, rays -> samples -> field -> composite -> loss."""
import dataclasses
import functools

import torch

from instant_nerf_ros.nerf.field import loss
from instant_nerf_ros.nerf.field.composite import (
    composite,
    composite_light,
    median_distances,
    visible,
)
from instant_nerf_ros.nerf.field.samples import MOST_SAMPLES, sample

LOOK = 16  # samples of a first look along a ray
OPAQUE = 0.999  # opacity that nothing can be seen through


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What R rays show, and how far that is from what they should. The gradients are the field's.

    M samples are those that light comes from: nothing is learnt of what lies behind.
    """

    terms: dict  # terms of the loss by name, see loss.terms
    colors: torch.Tensor  # (R, 3) in [0, 1], over black
    distances: torch.Tensor  # (R,) sum of weight * distance, metres along the ray
    opacities: torch.Tensor  # (R,) in [0, 1]
    medians: torch.Tensor  # (R,) metres at which half of the light is absorbed; 0 = nowhere
    positions: torch.Tensor  # (M, 3) metres, world
    densities: torch.Tensor  # (M,) per metre

    @property
    def loss(self):
        """Return the sum of the terms."""
        return sum(self.terms.values())


def learn(field, rays, occupancy, config, engine, jitter, background, stride, budget):
    """Return the Lesson of rays; jitter (R,), background (R, 3) in [0, 1).

    budget is the number of samples that is expected; many more may find no room.

    A backend that is WHOLE does the same in one go.
    """
    if engine.WHOLE:
        return Lesson(*engine.learn(
            field, rays, occupancy, config, jitter, background, stride, budget))
    place = functools.partial(
        sample, occupancy=occupancy, config=config.sampling, backend=engine, jitter=jitter,
        stride=stride, visited_only=False)
    samples = place(rays, limits=_limits(field, rays, place, engine))
    seen = functools.partial(visible, samples=samples, backend=engine)
    densities, colors = field(samples, rays.directions, seen)
    pixels = composite(densities, colors, samples, engine)
    band = config.sampling.surface_band
    terms = loss.terms(pixels, samples, rays, background, config.loss, band)
    field.zero_grad()
    loss.total(terms).backward()
    lit = torch.nonzero(pixels.weights > 0)[:, 0]
    return Lesson(
        dict(zip(terms, torch.stack(list(terms.values())).tolist())),
        pixels.colors.detach(), pixels.distances.detach(), pixels.opacities.detach(),
        median_distances(pixels.weights, samples, engine),
        samples.positions[lit], densities[lit].detach(),
    )  # fmt: skip


def _limits(field, rays, place, engine):
    """Return how many samples each ray may have, (R,) int32.

    A ray that nothing was measured along would go on behind the surface, through places that
    nobody has seen empty. A first look at its first samples tells whether that is in vain.
    """
    look = torch.where(rays.surfaces > 0, 0, LOOK).int()
    free = dataclasses.replace(rays, surfaces=torch.zeros_like(rays.surfaces))
    samples = place(free, limits=look)
    densities = field.density(samples.positions)
    opacities = composite_light(densities, samples, engine).opacities
    return torch.where(opacities > OPAQUE, LOOK, MOST_SAMPLES).int()
