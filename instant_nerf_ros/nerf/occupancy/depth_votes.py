"""Depth votes: the votes of depth images in the occupancy grid.

The inverse sensor model of a depth camera: on which voxels a ray votes, and with which weight.
"""
from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instant_nerf_ros.nerf.arrays import Depth, Image, Pose
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.rays import (
    Rays,
    image_rays,
    pixel_rays,
    ray_directions,
    surface_distances,
)
from instant_nerf_ros.nerf.constants import (
    EDGE_WEIGHT,
    MILLIMETRE,
    SURFACE_WEIGHT,
    THIN_WEIGHT,
)
from instant_nerf_ros.nerf.occupancy.disappearance import forget_disappeared
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.occupancy.transients import forget_transients
from instant_nerf_ros.nerf.occupancy.view_voxels import view_voxels
from instant_nerf_ros.nerf.occupancy.voters import tag

NEIGHBORHOOD = np.argwhere(np.ones((3, 3, 3))) - 1  # a voxel and its neighbors
MAX_PIXELS = 2**17  # of a depth image that are evaluated; of larger ones, every second, or less
CROSSING_STEP = 2  # of these, the pixels in every so many rows and columns vote on what they cross


@dataclasses.dataclass(frozen=True)
class DepthRays:
    """The rays of a depth image that vote."""

    rays: Rays  # R rays, with the distances of their ends
    ends: Tensor  # (R,) whether a ray votes where it ends; all vote on what they cross
    weights: Tensor  # (R,) uint8, of these votes
    clear_distances: Tensor  # (R,) m, along which it crossed nothing


def keyframe_depth(keyframes: Keyframes, k: int, occupancy: OccupancyGrid) -> DepthRays | None:
    """Return the depth rays of keyframe k, None if it has no depth.

    What the image looks through, or misses, is forgotten first.
    """
    if not keyframes.farthest[k]:
        return None
    shape = int(keyframes.heights[k]), int(keyframes.widths[k])
    first, row = keyframes.first[k], keyframes.first_direction[k]
    depths = keyframes.depths[first : first + shape[0] * shape[1]]
    pixels = _pixels(*shape)
    surfaces = _Surfaces(
        depths[pixels] * np.float32(MILLIMETRE), keyframes.directions[row:][pixels],
        keyframes.T_world_camera[k], occupancy)
    camera, step = keyframes.image(k)[0], _step(*shape)
    view = view_voxels(surfaces.distances, surfaces.directions, camera, step,
                       keyframes.T_world_camera[k], occupancy)
    forget_disappeared(surfaces.distances, view, camera, step, occupancy)
    forget_transients(surfaces.distances, view, step, keyframes, k, occupancy)
    return surfaces.voting(pixel_rays(keyframes, k, pixels[surfaces.chosen]))


def image_depth(
    image: Image, camera: Camera, T_world_camera: Pose, depth: Depth, occupancy: OccupancyGrid,
) -> DepthRays:  # fmt: skip
    """Return the depth rays of an image that is not a keyframe; see Mapper.add."""
    pixels = _pixels(camera.height, camera.width)
    surfaces = _Surfaces(
        np.nan_to_num(depth, posinf=0).clip(min=0).ravel()[pixels].astype(np.float32),
        ray_directions(camera, 'cpu').numpy()[pixels], T_world_camera, occupancy)
    return surfaces.voting(
        image_rays(image, camera, T_world_camera, depth, pixels[surfaces.chosen]))


def integrate_depth(depth: DepthRays, occupancy: OccupancyGrid, vote_id: int) -> None:
    """Let a depth image vote on the voxels in which its rays end, and on those they cross."""
    _integrate_hits(depth, occupancy, vote_id)
    _integrate_misses(depth, occupancy, vote_id)


def integrate_static(depth: DepthRays, occupancy: OccupancyGrid, vote_id: int) -> None:
    """Let a depth image vote from a viewpoint that has voted before, under a new id.

    Repeated measurements from one place are no independent evidence and must not outvote other
    viewpoints: beside a surface, rays cross voxels in part. So these rays have misses only in
    voxels that touch none in which one of them ends. What appears becomes occupied and what
    disappears becomes free all the same.
    """
    _integrate_hits(depth, occupancy, vote_id)
    rays = depth.rays.to(occupancy.backend.DEVICE)
    _mark_voted(rays.origins + rays.surfaces[:, None] * rays.directions, occupancy, vote_id)
    _integrate_misses(depth, occupancy, vote_id)


def _step(height: int, width: int) -> int:
    """Return between how many rows and columns the pixels lie that are evaluated."""
    return int(np.ceil(np.sqrt(height * width / MAX_PIXELS)))


def _pixels(height: int, width: int) -> NDArray[np.int64]:
    """Return the indices of the pixels that are evaluated, a grid (h, w)."""
    step = _step(height, width)
    return np.arange(height * width).reshape(height, width)[::step, ::step]


class _Surfaces:
    """What Backend.find_surfaces returns for depths (H, W) [m] of a posed image."""

    def __init__(
        self, depths: NDArray[np.float32], directions: NDArray[np.float32],
        T_world_camera: Pose, occupancy: OccupancyGrid,
    ) -> None:  # fmt: skip
        self.occupancy = occupancy
        distances = surface_distances(depths.ravel(), directions.reshape(-1, 3))
        rotation, size = T_world_camera[:3, :3].astype(np.float32), occupancy.voxel_size
        self.distances, self.directions = distances.reshape(depths.shape), directions @ rotation.T
        self.ends, self.clear, self.weights, self.votes = occupancy.backend.find_surfaces(
            self.distances, self.directions,
            (T_world_camera[:3, 3] - occupancy.corner) / size, size)
        self.chosen = self.votes.copy()
        self.chosen[::CROSSING_STEP, ::CROSSING_STEP] |= (
            self.clear[::CROSSING_STEP, ::CROSSING_STEP] > 0)

    def voting(self, rays: Rays) -> DepthRays:
        """Return the depth rays of the pixels that vote, in which rays have their depths."""
        distances, clear, weights, votes = (
            torch.from_numpy(each[self.chosen])
            for each in (self.ends, self.clear, self.weights, self.votes))
        rays = dataclasses.replace(rays, surfaces=distances)
        self.occupancy.reach(rays)
        return DepthRays(rays, votes, weights, clear)


def _integrate_hits(depth: DepthRays, occupancy: OccupancyGrid, vote_id: int) -> None:
    if len(depth.rays):
        occupancy.voters.add(vote_id, depth.rays.origins[0])
    # Where several end in a voxel, the place of the smooth surface is known best.
    for weight in (SURFACE_WEIGHT, THIN_WEIGHT, EDGE_WEIGHT):
        chosen = (depth.weights == weight) & depth.ends
        rays = depth.rays.where(chosen).to(occupancy.backend.DEVICE)
        occupancy.integrate_rays(
            rays, rays.surfaces, torch.zeros_like(rays.surfaces), True, vote_id, weight)


def _mark_voted(positions: Tensor, occupancy: OccupancyGrid, vote_id: int) -> None:
    """Take the vote of an id on the voxels at and around positions (N, 3)."""
    cells = ((positions - occupancy.origin) / occupancy.voxel_size).floor().unique(dim=0).long()
    around = torch.as_tensor(NEIGHBORHOOD, device=cells.device)
    cells = (cells[:, None] + around).reshape(-1, 3)
    inside = ((cells >= 0) & (cells < torch.tensor(occupancy.shape, device=cells.device))).all(-1)
    occupancy.last_keyframe[tuple(cells[inside].T)] = tag(vote_id)


def _integrate_misses(depth: DepthRays, occupancy: OccupancyGrid, vote_id: int) -> None:
    rays = depth.rays.to(occupancy.backend.DEVICE)
    clear_distances = depth.clear_distances.to(occupancy.backend.DEVICE)
    occupancy.integrate_rays(
        rays, torch.zeros_like(rays.surfaces), clear_distances, True, vote_id)
