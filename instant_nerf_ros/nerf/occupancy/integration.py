"""Integration: the votes of depth images, scans and rendered keyframes in the occupancy grid.

The inverse sensor model: where a ray ends, and along which distance it is known to be clear.
"""
from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from instant_nerf_ros.nerf.capture.alpha import keyframe_alpha
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.rays import Rays, keyframe_rays, pixel_rays
from instant_nerf_ros.nerf.constants import RENDERED_WEIGHT
from instant_nerf_ros.nerf.occupancy import depth_votes
from instant_nerf_ros.nerf.occupancy.field_space import Density, FieldSpace
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.config import SamplingConfig
    from instant_nerf_ros.nerf.field.radiance_field import RadianceField

RENDERED_RAYS = 2048  # of a keyframe without depth that vote at a time
MIN_TRAINED_RAYS = 1024  # of a keyframe, before its rendered rays vote
SCAN_NOISE = 0.05  # metres, of a lidar
# Weight of a hit where stereo votes as well: a field may put what has no texture anywhere, and is
# trained on what stereo says, so three images have to agree, and more against the rays of stereo.
BESIDE_STEREO = 1
MAX_COLOR_ERROR = 0.15  # of a channel
MIN_OPACITY = 0.95
PROBES, PROBED = 24, 1.2  # densities along a ray: so many, up to so many times its median distance
FIRST_OPACITY = 0.01  # at which free space ends
SHARP = 0.2, 0.8  # largest opacity in front of a sharp surface, least one behind it
SHARPNESS = 0.1  # half the width of a sharp surface, per distance
CLEAR_SHARE = 0.9  # of the distance to FIRST_OPACITY: the field is as exact as its poses


def integrate_depth(keyframes: Keyframes, k: int, occupancy: OccupancyGrid) -> None:
    """Let the depth image of keyframe k vote, if it has one."""
    depth = depth_votes.keyframe_depth(keyframes, k, occupancy)
    if depth is not None:
        depth_votes.integrate_depth(depth, occupancy, int(keyframes.ids[k]))


def integrate_alpha(
    keyframes: Keyframes, k: int, occupancy: OccupancyGrid, config: SamplingConfig,
) -> None:  # fmt: skip
    """Let the transparent pixels of keyframe k vote: nothing is there between near and far.

    Only where no opaque pixel is so close that a voxel may have a part in both (Martin and
    Aggarwal 1983, "Volumetric descriptions of objects from multiple views").
    """
    near, far = config.near, config.far
    alpha = keyframe_alpha(keyframes, k)
    if alpha is None:
        return
    focal, (height, width) = keyframes.image(k)[0].fx, alpha.shape
    reach = math.ceil(math.sqrt(3) * occupancy.voxel_size * focal / max(near, 1e-3))  # pixels
    sums = np.pad((alpha > 0).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    v, u = (np.arange(0, size, max(reach // 2, 1)) for size in alpha.shape)
    top, bottom = (v - reach).clip(min=0), (v + reach + 1).clip(max=height)
    left, right = (u - reach).clip(min=0), (u + reach + 1).clip(max=width)
    opaque = (sums[bottom][:, right] - sums[top][:, right]
              - sums[bottom][:, left] + sums[top][:, left])
    row, column = np.nonzero(opaque == 0)
    if len(row):
        rays = pixel_rays(keyframes, k, v[row] * width + u[column]).to(occupancy.backend.DEVICE)
        rays = dataclasses.replace(rays, origins=rays.origins + near * rays.directions)
        occupancy.integrate_rays(
            rays, torch.zeros_like(rays.surfaces), torch.full_like(rays.surfaces, far - near),
            True, int(keyframes.ids[k]))


def integrate_scan(rays: Rays, occupancy: OccupancyGrid, vote_id: int) -> None:
    """Let the rays of a scan of a range sensor vote, under an id like that of a keyframe."""
    occupancy.reach(rays)
    occupancy.voters.add(vote_id, rays.origins[-1])
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
    field: RadianceField, space: FieldSpace, config: SamplingConfig, stride: float, stereo: bool,
) -> None:  # fmt: skip
    """Let keyframe k vote with what the field renders of it, if it is trained and has no depth.

    stride multiplies the steps along the rays; stereo: whether stereo of keyframes votes as well.
    """
    if keyframes.ray_counts[k] < MIN_TRAINED_RAYS or keyframes.farthest[k]:
        return
    rays = keyframe_rays(keyframes, k, RENDERED_RAYS, generator).to(occupancy.backend.DEVICE)
    colors, medians, opacities = space.render_rays(field, rays, occupancy, config, stride)
    distances, clear_distances = rendered_distances(
        functools.partial(space.density, field), rays, colors, medians, opacities,
        occupancy.voxel_size, only_sharp=stereo)
    occupancy.integrate_rays(
        rays, distances, clear_distances, False, int(keyframes.ids[k]),
        BESIDE_STEREO if stereo else RENDERED_WEIGHT)


def probes(
    field: RadianceField, rays: Rays, shares: Tensor, medians: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return positions (R, 3) at shares (R,) of the rays' lengths, and their densities (R,).

    They are also in voxels that are skipped, whose density is to be known from time to time.

    The length of a ray is its measured distance or, without one, its median distance (R,) [m].
    """
    lengths = torch.where(rays.surfaces > 0, rays.surfaces, medians)
    positions = rays.origins + (shares * lengths)[:, None] * rays.directions
    return positions, field.density(positions)


@torch.no_grad()
def rendered_distances(
    density: Density, rays: Rays, colors: Tensor, medians: Tensor, opacities: Tensor,
    voxel_size: float, only_sharp: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the distances (R,) at which rays end, and their clear distances (R,) [m]; 0: unknown.

    A ray ends at its median distance if the rendered color is that of the pixel and the ray is
    opaque. It is clear only in front of a sharp surface, and only up to where the opacity begins:
    fog of an untrained field is no evidence. only_sharp: a ray ends at sharp surfaces only.
    """
    error = (colors - rays.pixels / 255).abs().amax(-1)
    explained = (error < MAX_COLOR_ERROR) & (opacities > MIN_OPACITY) & (medians > 0)
    # On a GPU, evaluating all costs less than waiting until the host knows how many these are.
    if explained.device.type == 'cpu':
        clear, sharp = torch.zeros_like(medians), torch.zeros_like(explained)
        clear[explained], sharp[explained] = _clear_distances(
            density, rays.where(explained), medians[explained], voxel_size)
    else:
        clear, sharp = _clear_distances(density, rays, medians, voxel_size)
    sharp &= explained
    ends = sharp if only_sharp else explained
    return torch.where(ends, medians, 0.0), torch.where(sharp, clear, 0.0)


def _clear_distances(
    density: Density, rays: Rays, medians: Tensor, voxel_size: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the clear distances (R,) [m] of rays to surfaces at medians (R,) [m].

    And whether the surfaces are sharp (R,).
    """
    step = PROBED / PROBES
    shares = (torch.arange(PROBES, device=medians.device) + 0.5) * step
    along = medians[:, None] * shares
    positions = rays.origins[:, None] + along[..., None] * rays.directions[:, None]
    densities = density(positions.reshape(-1, 3)).reshape(along.shape)
    opacities = -torch.expm1(-(densities * medians[:, None] * step).cumsum(-1))
    before, behind = (
        opacities[:, round(share / step) - 1] for share in (1 - SHARPNESS, 1 + SHARPNESS))
    sharp = (before < SHARP[0]) & (behind > SHARP[1])
    clear = (opacities < FIRST_OPACITY).sum(-1) * step * medians
    return (CLEAR_SHARE * clear.minimum(medians) - voxel_size).clamp(min=0), sharp
