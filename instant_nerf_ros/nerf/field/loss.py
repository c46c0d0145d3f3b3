"""Loss: named terms, and their weighted sum."""
import torch
from torch.nn import functional

LEAST_OPACITY = 1e-3  # below it a ray has no opacity to speak of


def terms(pixels, samples, rays, background, config, band):
    """Return the terms of the loss, each a mean over the rays, already weighted.

    color: Huber between the rendered colour over background (R, 3) and the pixel, if it has one.
    distortion: how far apart the light of a ray comes from, see _distortion.
    opacity: -o ln o of a ray's opacity o: it ends on a surface, or nothing is there.
    depth: Huber between the rendered and the measured distance, where there is one.
    free_space: opacity before a measured surface, up to band metres from it.
    """
    rendered = pixels.colors + (1 - pixels.opacities)[:, None] * background
    wanted = rays.pixels.float() / 255
    wanted = torch.where(wanted < 0, rendered, wanted)  # without colour, all is as it should be
    opacities = pixels.opacities.clamp(min=LEAST_OPACITY)
    result = {
        'color': _huber(rendered, wanted, config),
        'distortion': config.distortion_weight * _distortion(pixels.weights, samples) / len(rays),
        'opacity': -config.opacity_weight * (opacities * opacities.log()).mean(),
    }
    measured = rays.surfaces > 0
    if measured.any():
        distances = torch.where(measured, pixels.distances, rays.surfaces)
        before = samples.t_ends < rays.surfaces[samples.ray_indices] - band
        # A sum over samples, for each ray.
        free = (pixels.weights * before).square().sum() / len(rays)
        result['depth'] = config.depth_weight * _huber(distances, rays.surfaces, config)
        result['free_space'] = config.free_space_weight * free
    return result


def _distortion(weights, samples):
    """Return the distortion (Barron et al. 2022, eq. 15) of all rays, added up.

    sum over i, j of w_i w_j |s_i - s_j| + 1/3 sum over i of w_i^2 ds_i, with samples of weight w
    at s = t / (1 + t), t in metres: spread counts less the further away it is. Two samples of
    weight 1/2 at 1 m and 3 m, infinitely thin: 2 * 1/4 * (3/4 - 1/2) = 1/8.
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


def _huber(rendered, wanted, config):
    return functional.huber_loss(rendered, wanted, delta=config.huber_delta) / config.huber_delta


def total(named):
    """Return the sum of the terms."""
    return torch.stack(list(named.values())).sum()
