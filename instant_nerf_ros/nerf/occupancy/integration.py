"""Integration: the votes of depth images, scans and rendered keyframes in the occupancy grid.

The inverse sensor model: where a ray ends, and along which distance it is known to be clear.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.rays import Rays, keyframe_rays
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.config import SamplingConfig
    from instant_nerf_ros.nerf.field.radiance_field import RadianceField

DEPTH_RAYS = 16384  # of a depth image that vote: several for each voxel in view
RENDERED_RAYS = 2048  # of a keyframe without depth that vote at a time
MIN_TRAINED_RAYS = 1024  # of a keyframe, before its rendered rays vote
NOISE = 0.005  # [1/m], times the distance squared: three sigmas of a structured-light camera
# (Nguyen, Izadi and Lovell 2012, "Modeling Kinect sensor noise", eq. 3)
SCAN_NOISE = 0.05  # metres, of a lidar
MAX_COLOR_ERROR = 0.15  # of a channel
MIN_OPACITY = 0.95
PROBES, PROBED = 24, 1.2  # densities along a ray: so many, up to so many times its median distance
FIRST_OPACITY = 0.01  # at which free space ends
SHARP = 0.2, 0.8  # largest opacity in front of a sharp surface, least one behind it
SHARPNESS = 0.1  # half the width of a sharp surface, per distance
CLEAR_SHARE = 0.9  # of the distance to FIRST_OPACITY: the field is as exact as its poses


def integrate_depth(
    keyframes: Keyframes, k: int, occupancy: OccupancyGrid, generator: np.random.Generator,
) -> None:  # fmt: skip
    """Let the depth image of keyframe k vote, if it has one."""
    rays = keyframe_rays(keyframes, k, DEPTH_RAYS, generator)
    rays = rays.where(rays.surfaces > 0).to(occupancy.backend.DEVICE)
    if len(rays):
        distances, clear_distances = measured_distances(rays, occupancy.voxel_size)
        occupancy.integrate_rays(
            rays, distances, clear_distances, True, int(keyframes.ids[k]))


def integrate_static(rays: Rays, occupancy: OccupancyGrid, vote_id: int) -> None:
    """Let measured rays from a viewpoint that has voted before vote again, under a new id.

    Repeated measurements from one place are no independent evidence and must not outvote other
    viewpoints: beside a surface, rays cross voxels in part. So these rays have misses only in
    voxels that touch none in which one of them ends. What appears becomes occupied and what
    disappears becomes free all the same.
    """
    rays = rays.where(rays.surfaces > 0).to(occupancy.backend.DEVICE)
    if len(rays):
        distances, clear_distances = measured_distances(rays, occupancy.voxel_size)
        zeros = torch.zeros_like(distances)
        occupancy.integrate_rays(rays, distances, zeros, True, vote_id)
        occupancy.mark_voted(rays.origins + distances[:, None] * rays.directions, vote_id)
        occupancy.integrate_rays(rays, zeros, clear_distances, True, vote_id)


def integrate_scan(rays: Rays, occupancy: OccupancyGrid, vote_id: int) -> None:
    """Let the rays of a scan of a range sensor vote, under an id like that of a keyframe."""
    rays = rays.to(occupancy.backend.DEVICE)
    clear_distances = (rays.surfaces - occupancy.voxel_size - SCAN_NOISE).clamp(min=0)
    occupancy.integrate_rays(rays, rays.surfaces, clear_distances, True, vote_id)


def integrate_free(rays: Rays, occupancy: OccupancyGrid, vote_id: int) -> None:
    """Let rays of a scan vote that met nothing along their length: they end nowhere."""
    rays = rays.to(occupancy.backend.DEVICE)
    occupancy.integrate_rays(
        rays, torch.zeros_like(rays.surfaces), rays.surfaces, True, vote_id)


def integrate_rendered(
    keyframes: Keyframes, k: int, occupancy: OccupancyGrid, generator: np.random.Generator,
    field: RadianceField, config: SamplingConfig, stride: float,
) -> None:  # fmt: skip
    """Let keyframe k vote with what the field renders of it, if it is trained and has no depth.

    stride multiplies the steps along the rays.
    """
    if keyframes.ray_counts[k] < MIN_TRAINED_RAYS:
        return
    rays = keyframe_rays(keyframes, k, RENDERED_RAYS, generator)
    if not rays.surfaces.any():
        backend = occupancy.backend
        rays = rays.to(backend.DEVICE)
        colors, medians, opacities = backend.render_rays(field, rays, occupancy, config, stride)
        distances, clear_distances = rendered_distances(
            field, rays, colors, medians, opacities, occupancy.voxel_size)
        occupancy.integrate_rays(
            rays, distances, clear_distances, False, int(keyframes.ids[k]))


def probe_density(
    field: RadianceField, rays: Rays, shares: Tensor, medians: Tensor, occupancy: OccupancyGrid,
) -> None:  # fmt: skip
    """Update the density at shares (R,) of the rays' lengths, also in voxels that are skipped.

    The length of a ray is its measured distance or, without one, its median distance (R,) [m].
    """
    lengths = torch.where(rays.surfaces > 0, rays.surfaces, medians)
    positions = rays.origins + (shares * lengths)[:, None] * rays.directions
    occupancy.update_density(positions, field.density(positions))


def measured_distances(rays: Rays, voxel_size: float) -> tuple[Tensor, Tensor]:
    """Return the distances (R,) at which measured rays end, and their clear distances (R,) [m].

    A ray is clear up to a voxel and the noise of the sensor in front of its end, so that it does
    not count as a miss in the voxels of the surface itself.
    """
    distances = rays.surfaces
    return distances, (distances - voxel_size - NOISE * distances**2).clamp(min=0)


@torch.no_grad()
def rendered_distances(
    field: RadianceField, rays: Rays, colors: Tensor, medians: Tensor, opacities: Tensor,
    voxel_size: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return `measured_distances` of what Backend.render_rays returns; 0 where unknown.

    A ray ends at its median distance if the rendered color is that of the pixel and the ray is
    opaque. It is clear only in front of a sharp surface, and only up to where the opacity begins:
    fog of an untrained field is no evidence.
    """
    error = (colors - rays.pixels / 255).abs().amax(-1)
    explained = (error < MAX_COLOR_ERROR) & (opacities > MIN_OPACITY) & (medians > 0)
    # On a GPU, evaluating all costs less than waiting until the host knows how many these are.
    if explained.device.type == 'cpu':
        clear = torch.zeros_like(medians)
        clear[explained] = _clear_distances(
            field, rays.where(explained), medians[explained], voxel_size)
    else:
        clear = _clear_distances(field, rays, medians, voxel_size)
    return torch.where(explained, medians, 0.0), torch.where(explained, clear, 0.0)


def _clear_distances(
    field: RadianceField, rays: Rays, medians: Tensor, voxel_size: float,
) -> Tensor:  # fmt: skip
    """Return the clear distances (R,) [m] of rays that end at medians (R,) [m]."""
    step = PROBED / PROBES
    shares = (torch.arange(PROBES, device=medians.device) + 0.5) * step
    along = medians[:, None] * shares
    positions = rays.origins[:, None] + along[..., None] * rays.directions[:, None]
    densities = field.density(positions.reshape(-1, 3)).reshape(along.shape)
    opacities = -torch.expm1(-(densities * medians[:, None] * step).cumsum(-1))
    before, behind = (
        opacities[:, round(share / step) - 1] for share in (1 - SHARPNESS, 1 + SHARPNESS))
    sharp = (before < SHARP[0]) & (behind > SHARP[1])
    clear = (opacities < FIRST_OPACITY).sum(-1) * step * medians
    clear = (CLEAR_SHARE * clear.minimum(medians) - voxel_size).clamp(min=0)
    return torch.where(sharp, clear, 0.0)
