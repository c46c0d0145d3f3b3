"""Render: the field seen from any pose."""
import dataclasses
import functools

import numpy as np
import torch

from instant_nerf_ros.nerf import rays as rays_module
from instant_nerf_ros.nerf.composite import composite, median_distances, visible
from instant_nerf_ros.nerf.samples import UNLIMITED, sample

CHUNK = 4096  # rays at a time, so that memory stays small
OPAQUE = 0.5  # opacity from which a pixel has a depth


@dataclasses.dataclass(frozen=True)
class View:
    """A rendered image."""

    color: np.ndarray  # (H, W, 3) uint8 RGB
    depth: np.ndarray  # (H, W) float32, metres along the optical axis; NaN where nothing is opaque
    opacity: np.ndarray  # (H, W) float32 in [0, 1]


@torch.no_grad()
def render(field, occupancy, camera, T_world_camera, config, backend, stride):
    """Render a view over black; config is the SamplingConfig, stride multiplies its steps."""
    rays = rays_module.of_camera(camera, T_world_camera)
    colors, distances, opacities = [], [], []
    for first in range(0, len(rays), CHUNK):
        part = rays_module.Rays(
            *(values[first : first + CHUNK]
              for values in (rays.origins, rays.directions, rays.surfaces, rays.pixels)))
        jitter = torch.full((len(part),), 0.5)
        limits = torch.full((len(part),), UNLIMITED, dtype=torch.int32)
        samples = sample(part, occupancy, config, backend, jitter, stride, limits, visited_only=True)
        seen = functools.partial(visible, samples=samples, backend=backend)
        pixels = composite(*field(samples, part.directions, seen), samples, backend)
        colors.append(pixels.colors)
        opacities.append(pixels.opacities)
        distances.append(median_distances(pixels.weights, samples, backend))
    size = camera.height, camera.width
    opacity = torch.cat(opacities).numpy().reshape(size)
    depth = torch.cat(distances).numpy() * camera.directions()[:, 2]
    color = torch.cat(colors).clamp(0, 1).numpy().reshape(*size, 3)
    return View(
        (color * 255 + 0.5).astype(np.uint8),
        np.where(opacity >= OPAQUE, depth.reshape(size), np.nan).astype(np.float32),
        opacity,
    )
