"""Loss: named terms, and their weighted sum."""
import torch
from torch.nn import functional


def terms(pixels, samples, rays, background, config, band):
    """Return the terms of the loss, each a mean over the rays, already weighted.

    color: Huber between the rendered colour over background (R, 3) and the pixel.
    depth: Huber between the rendered and the measured distance, where there is one.
    free_space: opacity before a measured surface, up to band metres from it.
    """
    rendered = pixels.colors + (1 - pixels.opacities)[:, None] * background
    wanted = rays.pixels.float() / 255
    result = {'color': _huber(rendered, wanted, config)}
    measured = rays.surfaces > 0
    if measured.any():
        depth = _huber(pixels.distances[measured], rays.surfaces[measured], config)
        before = samples.t_ends < rays.surfaces[samples.ray_indices] - band
        # A sum over samples, for each ray.
        free = (pixels.weights * before).square().sum() / len(rays)
        result['depth'] = config.depth_weight * depth * measured.float().mean()
        result['free_space'] = config.free_space_weight * free
    return result


def _huber(rendered, wanted, config):
    return functional.huber_loss(rendered, wanted, delta=config.huber_delta) / config.huber_delta


def total(named):
    """Return the sum of the terms."""
    return torch.stack(list(named.values())).sum()
