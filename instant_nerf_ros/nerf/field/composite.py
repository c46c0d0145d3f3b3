"""Composite: samples with density and colour -> pixels."""
import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Pixels:
    """What R rays see."""

    colors: torch.Tensor  # (R, 3) in [0, 1], over black
    distances: torch.Tensor  # (R,) sum of weight * distance, metres along the ray
    opacities: torch.Tensor  # (R,) in [0, 1]
    weights: torch.Tensor  # (N,) share of each sample in its pixel


def composite(densities, colors, samples, backend):
    """Render densities (N,) and colours (N, 3) of samples; differentiable to both."""
    return Pixels(
        *backend.composite(densities, colors, samples.t_starts, samples.t_ends, samples.offsets))


def composite_light(densities, samples, backend):
    """Render densities (N,) alone: as composite, with all colours black."""
    return composite(densities, densities.new_zeros(len(samples), 3), samples, backend)


def visible(densities, samples, backend):
    """Tell which samples (N,) contribute to their pixel, without gradient."""
    return composite_light(densities, samples, backend).weights > 0


def median_distances(weights, samples, backend):
    """Return the distance (R,) at which half of the light is absorbed; 0 where it never is."""
    return backend.median_distance(
        weights.detach(), samples.t_starts, samples.t_ends, samples.offsets)
