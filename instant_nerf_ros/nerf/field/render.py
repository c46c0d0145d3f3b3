"""Render: the field seen from any pose."""
import dataclasses
import functools
import math

import numpy as np
import torch

from instant_nerf_ros.nerf.capture import rays as rays_module
from instant_nerf_ros.nerf.field.composite import composite, median_distances, visible
from instant_nerf_ros.nerf.field.samples import MOST_SAMPLES, sample

CHUNK = 4096  # rays at a time, so that memory stays small
# Most rays end after a few samples. Those that do not are sampled again, further.
LIMITS = 16, MOST_SAMPLES
OPAQUE = 0.99  # opacity at which a ray has ended
HAS_DEPTH = 0.5  # opacity from which a pixel has a depth


@dataclasses.dataclass(frozen=True)
class View:
    """A rendered image."""

    color: np.ndarray  # (H, W, 3) uint8 RGB
    depth: np.ndarray  # (H, W) float32, metres along the optical axis; NaN where nothing is opaque
    opacity: np.ndarray  # (H, W) float32 in [0, 1]


def render(
    field, occupancy, camera, T_world_camera, config, backend, stride, rows=rays_module.ALL,
):  # fmt: skip
    """Render a slice of the rows of a view over black.

    config is the SamplingConfig, stride multiplies its steps.
    """
    rays = rays_module.of_camera(camera, T_world_camera, backend.DEVICE, rows)
    colors, distances, opacities = look(field, rays, occupancy, config, backend, stride)
    depth = distances * rays_module.directions_of(camera, backend.DEVICE, rows)[:, 2]
    depth = torch.where(opacities >= HAS_DEPTH, depth, math.nan)
    color = (colors.clamp(0, 1) * 255 + 0.5).byte()
    size = len(rays) // camera.width, camera.width
    return View(
        color.cpu().numpy().reshape(*size, 3), depth.cpu().numpy().reshape(size),
        opacities.cpu().numpy().reshape(size))


@torch.no_grad()
def look(field, rays, occupancy, config, backend, stride):
    """Return colours (R, 3) over black, median distances (R,) and opacities (R,) of rays.

    A backend that is WHOLE does the same in one go.
    """
    rays = rays.to(backend.DEVICE)
    if backend.WHOLE:
        return backend.look(field, rays, occupancy, config, stride)
    device = backend.DEVICE
    colors = torch.zeros(len(rays), 3, device=device)
    distances, opacities = torch.zeros(2, len(rays), device=device)
    unfinished = torch.arange(len(rays), device=device)
    for limit in LIMITS:
        following = []
        for chosen in unfinished.split(CHUNK):
            part = rays_module.Rays(
                rays.origins[chosen], rays.directions[chosen],
                rays.surfaces[chosen], rays.pixels[chosen],
            )  # fmt: skip
            middle = torch.full((len(part),), 0.5, device=device)
            limits = torch.full((len(part),), limit, dtype=torch.int32, device=device)
            samples = sample(
                part, occupancy, config, backend, middle, stride, limits, visited_only=True)
            seen = functools.partial(visible, samples=samples, backend=backend)
            pixels = composite(*field(samples, part.directions, seen), samples, backend)
            colors[chosen] = pixels.colors
            opacities[chosen] = pixels.opacities
            distances[chosen] = median_distances(pixels.weights, samples, backend)
            cut = (samples.offsets.diff() == limit) & (pixels.opacities < OPAQUE)
            following.append(chosen[cut])
        unfinished = torch.cat(following)
    return colors, distances, opacities
