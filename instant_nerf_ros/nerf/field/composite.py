"""Volume rendering: samples with density and color -> pixels (Max 1995)."""
import dataclasses

import torch
from torch import Tensor

from instant_nerf_ros.nerf.constants import MIN_TRANSMITTANCE
from instant_nerf_ros.nerf.field.samples import Samples


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The rendered pixels of R rays with N samples."""

    colors: Tensor  # (R, 3) in [0, 1], over black
    distances: Tensor  # (R,) sum of weight * distance, metres along the ray
    opacities: Tensor  # (R,) in [0, 1]
    weights: Tensor  # (N,) share of each sample in its pixel


def composite(densities: Tensor, colors: Tensor, samples: Samples) -> Pixels:
    """Render densities (N,) per metre and colors (N, 3) of samples, front to back.

    weight_i = T_i (1 - exp(-density_i delta_i)), T_i = exp(-sum_{j<i} density_j delta_j)
    (Mildenhall et al. 2020, eq. 3). Two samples of density ln 2 per metre and 1 m long have the
    weights 1/2 and 1/4. Samples with T_i below MIN_TRANSMITTANCE have weight 0. Differentiable to
    densities and colors.
    """
    offsets, rays = samples.offsets, samples.ray_indices
    thickness = densities * (samples.t_ends - samples.t_starts)
    # exp(-100) is zero in float32; larger values would cost the sum over all rays its digits.
    bounded = thickness.double().clamp(max=100)
    before = bounded.cumsum(0) - bounded
    first = torch.cat([before, before.new_zeros(1)])[offsets[:-1]]
    transmittance = torch.exp(-(before - first[rays])).to(densities.dtype)
    transmittance = torch.where(transmittance < MIN_TRANSMITTANCE, 0.0, transmittance)
    weights = transmittance * -torch.expm1(-thickness)
    middles = (samples.t_starts + samples.t_ends) / 2
    values = torch.cat([colors, middles[:, None], torch.ones_like(weights)[:, None]], -1)
    sums = values.new_zeros(len(offsets) - 1, 5).index_add(0, rays, weights[:, None] * values)
    return Pixels(sums[:, :3], sums[:, 3], sums[:, 4], weights)


def composite_opacity(densities: Tensor, samples: Samples) -> Pixels:
    """Render densities (N,) alone: like composite with black colors."""
    return composite(densities, densities.new_zeros(len(samples), 3), samples)


def visible(densities: Tensor, samples: Samples) -> Tensor:
    """Return which samples (N,) contribute to their pixel, bool."""
    return composite_opacity(densities, samples).weights > 0


def median_distances(weights: Tensor, samples: Samples) -> Tensor:
    """Return the distances (R,) [m] at which half of the light is absorbed; 0 where it never is.

    Unlike the mean it lies on a surface, also where a ray grazes an edge. The weight of a sample
    is taken as spread evenly over its interval. Without gradient.
    """
    weights, offsets, rays = weights.detach(), samples.offsets, samples.ray_indices
    absorbed = weights.double().cumsum(0)
    first = torch.cat([absorbed - weights, absorbed.new_zeros(1)])[offsets[:-1]]
    absorbed = absorbed - first[rays]
    before = absorbed - weights
    crossing = torch.nonzero((absorbed >= 0.5) & (before < 0.5))[:, 0]
    share = (0.5 - before[crossing]) / weights[crossing]
    distances = weights.new_zeros(len(offsets) - 1)
    lengths = samples.t_ends[crossing] - samples.t_starts[crossing]
    distances[rays[crossing]] = (
        samples.t_starts[crossing] + share.to(weights.dtype) * lengths)
    return distances
