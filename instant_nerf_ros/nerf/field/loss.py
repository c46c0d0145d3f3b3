"""Loss: named terms, and their weighted sum."""
from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from instant_nerf_ros.nerf.constants import MIN_OPACITY
from instant_nerf_ros.nerf.field.composite import Pixels
from instant_nerf_ros.nerf.field.samples import Samples

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.capture.rays import Rays
    from instant_nerf_ros.nerf.config import LossConfig


def loss_terms(
    pixels: Pixels, samples: Samples, rays: Rays, background: Tensor, config: LossConfig,
    band: float,
) -> dict[str, Tensor]:  # fmt: skip
    """Return the terms of the loss by name (constants.LOSS_TERMS), weighted means over the rays.

    color: Huber loss between the rendered color over background (R, 3) and the pixel, if any.
    distortion: spread of the weights along a ray, see _distortion.
    opacity: entropy -o ln o of the opacity o of a ray: either a surface or nothing is there.
    depth: Huber loss between the rendered and the measured distance, where one was measured.
    free_space: squared weights in front of a measured surface, up to band metres from it.
    """
    rendered = pixels.colors + (1 - pixels.opacities)[:, None] * background
    targets = rays.pixels.float() / 255
    targets = torch.where(targets < 0, rendered, targets)  # a ray without a color has no error
    opacities = pixels.opacities.clamp(min=MIN_OPACITY)
    terms = {
        'color': _huber(rendered, targets, config),
        'distortion': config.distortion_weight * _distortion(pixels.weights, samples) / len(rays),
        'opacity': -config.opacity_weight * (opacities * opacities.log()).mean(),
    }
    measured = rays.surfaces > 0
    if measured.any():
        distances = torch.where(measured, pixels.distances, rays.surfaces)
        in_front = samples.t_ends < rays.surfaces[samples.ray_indices] - band
        free_space = (pixels.weights * in_front).square().sum() / len(rays)
        terms['depth'] = config.depth_weight * _huber(distances, rays.surfaces, config)
        terms['free_space'] = config.free_space_weight * free_space
    return terms


def _distortion(weights: Tensor, samples: Samples) -> Tensor:
    """Return the distortion (Barron et al. 2022, eq. 15), summed over all rays.

    sum over i, j of w_i w_j |s_i - s_j| + 1/3 sum over i of w_i^2 ds_i, for samples of weight w
    at s = t / (1 + t), t in metres, so that spread counts less at larger distances. Two samples
    of weight 1/2 at 1 m and 3 m, infinitely thin: 2 * 1/4 * (3/4 - 1/2) = 1/8.
    """
    middles = (samples.t_starts + samples.t_ends) / 2
    places = (middles / (1 + middles)).double()
    widths = (samples.t_ends - samples.t_starts) / (1 + middles) ** 2
    first, ray = samples.offsets[:-1], samples.ray_indices
    before = []  # of each sample, the sums over the earlier ones of its ray
    for values in (weights.double(), weights.double() * places):
        sums = torch.cat([values.new_zeros(1), values.cumsum(0)])
        before.append(sums[:-1] - sums[first][ray])
    between = 2 * weights * (places * before[0] - before[1])
    return (between + weights.square() * widths / 3).sum().float()


def _huber(rendered: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    delta = config.huber_delta
    return functional.huber_loss(rendered, targets, delta=delta) / delta


def total(terms: dict[str, Tensor]) -> Tensor:
    """Return the sum of the terms."""
    return torch.stack(list(terms.values())).sum()
