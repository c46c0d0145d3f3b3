"""Anchors: pixels of an image whose depth is known from stereo, its own and that of neighbors."""
import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose, Poses
from instant_nerf_ros.nerf.motion.depth_estimate import DepthEstimate, nearest_estimates

MAX_SOURCES = 6  # images whose points are projected into another one, the nearest ones
MAX_BASELINE, MAX_ANGLE = 1.0, 30.0  # metres and degrees between them
NEAREST = 0.1  # metres, of a point in front of the camera

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class RawDepth:
    """What a network says about an image without distortion, in units of its own."""

    keyframe: int  # id
    matrix: Array  # (3, 3) intrinsics
    values: NDArray[np.float32]  # (H, W), NaN where it says nothing


@dataclasses.dataclass(frozen=True)
class Anchors:
    """Known depths of one image that come from the stereo of one image, (N,) each."""

    pixels: NDArray[np.int64]  # flat indices
    depth: Array  # metres along the optical axis
    sigma: Array  # metres, standard deviation


def project(
    estimate: DepthEstimate, T_world_camera: Pose, target: RawDepth, T_world_target: Pose,
) -> Anchors:  # fmt: skip
    """Return the known depths of an estimate in the pixels of the target.

    Of several in a pixel, the nearest: it covers the others.
    """
    height, width = target.values.shape
    if estimate.keyframe == target.keyframe:
        [pixels] = np.nonzero(np.isfinite(estimate.depth.ravel()))
        return Anchors(pixels, *(
            values.ravel()[pixels].astype(np.float64)
            for values in (estimate.depth, estimate.sigma)))
    origins, directions, distances, sigma = estimate.rays(T_world_camera)
    points = origins + distances[:, None] * directions
    T_target_world = np.linalg.inv(T_world_target)
    points = points @ T_target_world[:3, :3].T + T_target_world[:3, 3]
    depth = points[:, 2]
    in_front = depth > NEAREST
    points, depth, sigma = points[in_front], depth[in_front], (
        sigma / distances * np.linalg.norm(points, axis=-1))[in_front]
    columns, rows, _ = (points / depth[:, None] @ target.matrix.T).round().T.astype(np.int64)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    order = np.argsort(depth[inside], kind='stable')
    pixels, first = np.unique((rows * width + columns)[inside][order], return_index=True)
    nearest = np.flatnonzero(inside)[order][first]
    return Anchors(pixels, depth[nearest], sigma[nearest])


def anchors_of(
    target: RawDepth, estimates: Mapping[int, DepthEstimate], poses: Poses,
) -> list[Anchors]:  # fmt: skip
    """Return the anchors of a target from each of the estimates near it, by keyframe id.

    poses: T_world_camera by keyframe id, also that of the target.
    """
    pose = poses[target.keyframe]
    near = nearest_estimates(estimates.values(), poses, pose, MAX_BASELINE,
                             np.radians(MAX_ANGLE), MAX_SOURCES)
    found = [project(estimate, poses[estimate.keyframe], target, pose) for estimate in near]
    return [anchors for anchors in found if len(anchors.pixels)]
