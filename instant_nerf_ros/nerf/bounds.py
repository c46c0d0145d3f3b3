"""Scene bounds: settings that follow from what posed images see, instead of from a robot's size.

Everything is proportional to the unit of the poses, so that photo sets of any scale are alike.
"""
from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Alpha, Depth, Image, Pose
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.config import MAX_VOXELS, Config
from instant_nerf_ros.nerf.motion.sparse_points import sparse_points
from instant_nerf_ros.nerf.settings import flatten
from instant_nerf_ros.nerf.visual_hull import visual_hull

Array = NDArray[np.float64]

USUAL_DISTANCE = 1.75  # metres; scenes without a unit are scaled to it
NEAREST, FARTHEST = 1.0, 99.0  # percentiles of the distances of points that cameras see
NEAR, FAR = 0.5, 2.0  # samples begin and end at so much of them: few points are found
MIN_NEAR_SHARE = 0.02  # of the median distance
MOST_VOXELS = MAX_VOXELS / 4  # of the grid; it may have to grow once
DEPTH_PIXELS = 300  # of a depth image


@dataclasses.dataclass(frozen=True)
class SceneBounds:
    """Where the scene is; lengths in the unit of the poses."""

    near: float  # distance from the cameras at which the scene begins
    far: float  # distance from the cameras at which it ends
    distance: float  # median distance of what the cameras see
    pixel: float  # what a pixel covers at that distance
    reach: tuple[float, float, float]  # largest distance of the scene from the first pose by axis
    bounded: bool  # whether nothing is visible behind the scene: its background is transparent

    def scaled(self, scale: float) -> SceneBounds:
        """Return the bounds after the poses are multiplied by scale."""
        x, y, z = (scale * reach for reach in self.reach)
        return SceneBounds(
            scale * self.near, scale * self.far, scale * self.distance, scale * self.pixel,
            (x, y, z), self.bounded)

    def scale(self) -> float:
        """Return the scale [m per unit] that suits poses without a unit."""
        return USUAL_DISTANCE / self.distance

    def settings(self) -> dict[str, float]:
        """Return the settings {name: value} of a Mapper for poses in metres.

        The finest cells are a part of what a pixel covers. An object whose background is known
        bears finer voxels and steps, as most of the space around it is known to be empty. Where a
        value is out of the range of a setting, its limit is taken.
        """
        length, width, height = (2 * reach for reach in self.reach)
        wanted = {
            'sampling.near': self.near, 'sampling.far': self.far,
            'occupancy.length': length, 'occupancy.width': width, 'occupancy.height': height,
        }
        if self.bounded:
            wanted |= {
                'sampling.min_step': 1.6 * self.pixel, 'sampling.cone': 0.0,
                'field.finest_cell': self.pixel / 4, 'field.coarsest_cell': self.distance / 16,
                'occupancy.voxel_size': self.distance / 200,
            }
        else:
            wanted |= {
                'sampling.min_step': self.distance / 120,
                'field.finest_cell': 0.6 * self.pixel, 'field.coarsest_cell': self.distance / 2,
                'occupancy.voxel_size': self.distance / 48,
            }
        wanted = _in_range(wanted)
        extent = math.prod(wanted[f'occupancy.{side}'] for side in ('length', 'width', 'height'))
        wanted['occupancy.voxel_size'] = max(
            wanted['occupancy.voxel_size'], (extent / MOST_VOXELS) ** (1 / 3))
        return wanted


def scene_bounds(
    images: Sequence[Image], cameras: Sequence[Camera], poses: Sequence[Pose],
    depths: Sequence[Depth | None] | None = None, alphas: Sequence[Alpha | None] | None = None,
    points: Array | None = None,
) -> SceneBounds:  # fmt: skip
    """Return the bounds of what posed images see.

    Args: images (H, W, 3) RGB; cameras; poses T_world_camera (4, 4); depths (H, W) along the
    optical axis and alphas (H, W), None where an image has none; points (N, 3) of the scene that
    are known, in the unit of the poses. The first of these tells where the scene is: alphas (by
    its silhouettes), depths, points, features that images share, the cameras alone.
    Raises ValueError without an image.
    """
    if not len(images):
        raise ValueError('there is no image, so nothing is known about the scene')
    T_world_cameras = np.array(poses, dtype=np.float64).reshape(-1, 4, 4)
    known = [alpha for alpha in alphas or () if alpha is not None]
    if len(known) == len(images) and any((alpha == 0).any() for alpha in known):
        hull = visual_hull(known, cameras, T_world_cameras)
        if len(hull):
            return _bounds(hull, cameras, T_world_cameras, True)
    if depths is not None and any(depth is not None and (depth > 0).any() for depth in depths):
        measured = _measured_points(depths, cameras, T_world_cameras)
        return _bounds(np.concatenate(measured), cameras, T_world_cameras, False, [
            np.asarray(np.linalg.norm(each - pose[:3, 3], axis=-1))
            for each, pose in zip(measured, T_world_cameras)])
    if points is None:
        points = sparse_points(images, cameras, poses)
    return _bounds(points, cameras, T_world_cameras, False)


def _bounds(
    points: Array, cameras: Sequence[Camera], T_world_cameras: Array, bounded: bool,
    seen: Sequence[Array] | None = None,
) -> SceneBounds:  # fmt: skip
    """Return the bounds of points; bounded: they enclose the whole scene.

    seen: the distances that each camera sees; None: those of all points in its image, also if a
    wall hides them.
    """
    if seen is None:
        seen = [_distances(points, *view) for view in zip(cameras, T_world_cameras)]
    distances = np.concatenate([np.empty(0), *seen])
    positions = T_world_cameras[:, :3, 3]
    if not len(distances):  # a guess: things are as far away as the cameras from each other
        spread = float(np.linalg.norm(positions.max(0) - positions.min(0)))
        distances = np.array([spread if spread > 0 else USUAL_DISTANCE])
    median = float(np.median(distances))
    if bounded:
        near, far = float(distances.min()), float(distances.max())
    else:
        near = NEAR * float(np.percentile(distances, NEAREST))
        far = FAR * float(np.percentile(distances, FARTHEST))
        points = np.concatenate([
            _corners(camera, pose, far) for camera, pose in zip(cameras, T_world_cameras)])
    pixels = [median / camera.fx if not len(d) else float(np.median(d)) / camera.fx
              for d, camera in zip(seen, cameras)]
    x, y, z = np.abs(np.concatenate([points, positions]) - positions[0]).max(0).tolist()
    return SceneBounds(
        max(near, MIN_NEAR_SHARE * median), far, median, float(np.median(pixels)), (x, y, z),
        bounded)


def _distances(points: Array, camera: Camera, T_world_camera: Array) -> Array:
    """Return the distances of those points (N, 3) that a camera has in its image."""
    local = (points - T_world_camera[:3, 3]) @ T_world_camera[:3, :3]
    with np.errstate(invalid='ignore'):
        pixels = camera.project(local)
        inside = ((pixels >= 0) & (pixels < (camera.width, camera.height))).all(1)
    return np.asarray(np.linalg.norm(local[inside], axis=-1))


def _corners(camera: Camera, T_world_camera: Array, far: float) -> Array:
    """Return what the pixels of a camera reach at a distance, for a few of them (N, 3)."""
    directions = camera.directions().reshape(camera.height, camera.width, 3)
    rows, columns = (np.linspace(0, size - 1, 3).astype(int) for size in directions.shape[:2])
    few = directions[rows][:, columns].reshape(-1, 3).astype(np.float64)
    return np.asarray(
        far * few[np.isfinite(few).all(1)] @ T_world_camera[:3, :3].T + T_world_camera[:3, 3])


def _measured_points(
    depths: Sequence[Depth | None], cameras: Sequence[Camera], T_world_cameras: Array,
) -> list[Array]:  # fmt: skip
    """Return the points (N, 3) that each depth image has measured, spread over the image."""
    points = []
    for depth, camera, pose in zip(depths, cameras, T_world_cameras):
        points.append(np.empty((0, 3)))
        if depth is not None:
            directions = camera.directions()
            every = max(1, depth.size // DEPTH_PIXELS)
            along, rays = depth.ravel()[::every], directions[::every].astype(np.float64)
            valid = np.isfinite(along) & (along > 0) & (rays[:, 2] > 0)
            local = rays[valid] * (along[valid] / rays[valid, 2])[:, None]
            points[-1] = local @ pose[:3, :3].T + pose[:3, 3]
    return points


def _in_range(wanted: Mapping[str, float]) -> dict[str, float]:
    """Return values {name: value} with those out of the range of their setting at its limit."""
    limits = {name: field.metadata for name, field, _ in flatten(Config())}
    return {name: min(max(value, limits[name]['low']), limits[name]['high'])
            for name, value in wanted.items()}
