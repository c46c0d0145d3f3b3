"""Render: views of the field from any pose."""
from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instant_nerf_ros.nerf.capture.rays import ALL, Rays, camera_rays, ray_directions
from instant_nerf_ros.nerf.constants import MAX_SAMPLES
from instant_nerf_ros.nerf.field.composite import composite, median_distances, visible
from instant_nerf_ros.nerf.field.samples import March, sample

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend
    from instant_nerf_ros.nerf.camera import Camera
    from instant_nerf_ros.nerf.config import SamplingConfig
    from instant_nerf_ros.nerf.field.radiance_field import RadianceField
    from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

CHUNK = 4096  # rays at a time, so that memory stays small
# Most rays end after a few samples. Those that do not are sampled again, further.
SAMPLE_LIMITS = 16, MAX_SAMPLES
OPAQUE = 0.99  # opacity at which a ray has ended
MIN_DEPTH_OPACITY = 0.5  # opacity from which a pixel has a depth


@dataclasses.dataclass(frozen=True)
class View:
    """A rendered image."""

    color: NDArray[np.uint8]  # (H, W, 3) RGB
    # (H, W) metres along the optical axis, behind a fisheye camera along the ray; NaN where
    # transparent, or where the camera has no ray
    depth: NDArray[np.float32]
    opacity: NDArray[np.float32]  # (H, W) in [0, 1]


def render_view(
    field: RadianceField, occupancy: OccupancyGrid, camera: Camera,
    T_world_camera: NDArray[np.float64], config: SamplingConfig, backend: Backend, stride: float,
    rows: slice = ALL,
) -> View:  # fmt: skip
    """Render the view, or a slice of its rows, of a camera at a pose (4, 4), over black.

    stride multiplies the steps along the rays.
    """
    rays = camera_rays(camera, T_world_camera, backend.DEVICE, rows)
    colors, distances, opacities = backend.render_rays(field, rays, occupancy, config, stride)
    cosines = ray_directions(camera, backend.DEVICE, rows)[:, 2]
    depth = distances * torch.where(cosines > 0, cosines, 1.0)
    if camera.nearest() is not None:
        first, last, _ = rows.indices(camera.height)
        visible = torch.from_numpy(camera.has_rays()[first * camera.width : last * camera.width])
        opacities = opacities * visible.to(opacities.device)
        colors = colors * visible.to(colors.device)[:, None]
    depth = torch.where(opacities >= MIN_DEPTH_OPACITY, depth, math.nan)
    color = (colors.clamp(0, 1) * 255 + 0.5).byte()
    size = len(rays) // camera.width, camera.width
    return View(
        color.cpu().numpy().reshape(*size, 3), depth.cpu().numpy().reshape(size),
        opacities.cpu().numpy().reshape(size))


@torch.no_grad()
def render_rays(
    field: RadianceField, rays: Rays, occupancy: OccupancyGrid, config: SamplingConfig,
    march: March, stride: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return colors (R, 3) over black, median distances (R,) [m] and opacities (R,) of rays."""
    device = rays.origins.device
    colors = torch.zeros(len(rays), 3, device=device)
    distances, opacities = torch.zeros(2, len(rays), device=device)
    unfinished = torch.arange(len(rays), device=device)
    for limit in SAMPLE_LIMITS:
        following = []
        for chosen in unfinished.split(CHUNK):
            part = rays.where(chosen)
            middle = torch.full((len(part),), 0.5, device=device)
            limits = torch.full((len(part),), limit, dtype=torch.int32, device=device)
            samples = sample(
                part, occupancy, config, march, middle, stride, limits, visited_only=True)
            pixels = composite(
                *field(samples, part.directions, functools.partial(visible, samples=samples)),
                samples)
            colors[chosen] = pixels.colors
            opacities[chosen] = pixels.opacities
            distances[chosen] = median_distances(pixels.weights, samples)
            cut = (samples.offsets.diff() == limit) & (pixels.opacities < OPAQUE)
            following.append(chosen[cut])
        unfinished = torch.cat(following)
    return colors, distances, opacities
