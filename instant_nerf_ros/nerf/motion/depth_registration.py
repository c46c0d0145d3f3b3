"""Depth registration: how well two surfaces fit, and how to move one so that they fit better."""
from __future__ import annotations

import dataclasses

import numpy as np

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.motion import epipolar
from instant_nerf_ros.nerf.motion.depth_surface import Array, DepthSurface

MIN_POINTS = 100  # that two surfaces must have in common
MIN_NORMAL_COSINE = 0.8  # between normals of the same place
LATERAL_GATE = 3.0  # gates, between points of the same place
DISTANCE_SCALE = 0.2  # gates, of the Cauchy loss of distances
MIN_DISTANCE_SCALE = 0.01  # m, the least of it
GRAY_NOISE = 6.0  # logarithmic levels, of the Cauchy loss of gray levels
# Least standard deviations of residuals. Those of neighboring points are alike, as depth cameras
# have systematic errors, so that all of them count as this many independent ones.
MIN_DISTANCE, MIN_GRAY = 0.001, 0.3  # m, logarithmic levels
INDEPENDENT = 6


@dataclasses.dataclass(frozen=True)
class Registration:
    """The squared residuals of a source at T_target_source after a small motion m of it.

    They are m H m / 2 + g m and a constant; m (6,) is in the frame of the source, see
    epipolar.apply_motion.
    """

    T_target_source: Pose
    hessian: Array  # (6, 6)
    gradient: Array  # (6,)

    def best(self, sigmas: Array) -> Pose:
        """Return T_target_source after the best motion, whose standard deviations are sigmas."""
        step = np.linalg.solve(self.hessian + np.diag(sigmas**-2), -self.gradient)
        return epipolar.apply_motion(self.T_target_source, np.asarray(step, np.float64))


def register(
    source: DepthSurface, target: DepthSurface, T_target_source: Pose, gate: float,
) -> Registration | None:  # fmt: skip
    """Return how the residuals of a source depend on its pose; None if it shows other places.

    Points are associated by projection into the target (Newcombe et al. 2011, "KinectFusion").
    Residuals are the distances from the tangent planes, and the differences of gray levels on
    these planes (Park, Zhou and Koltun 2017), which determine what a single wall leaves open.
    gate: largest distance from a plane [m].
    """
    rotation, translation = T_target_source[:3, :3], T_target_source[:3, 3]
    own = source.points[source.sources]
    points = own @ rotation.T + translation
    pixels = np.nan_to_num(target.camera.project(points), nan=-1.0).round()
    size = target.camera.width, target.camera.height
    inside = np.flatnonzero(((pixels >= 0) & (pixels < size)).all(-1))
    cells = (pixels[inside] @ (1, size[0])).astype(np.int64)
    inside, cells = inside[target.known[cells]], cells[target.known[cells]]
    offsets = points[inside] - target.points[cells]
    normals = target.normals[cells]
    distances = (normals * offsets).sum(-1)
    normals = normals @ rotation  # in the frame of the source
    same = ((abs(distances) < gate) & ((offsets**2).sum(-1) < (LATERAL_GATE * gate) ** 2)
            & ((normals * source.normals[source.sources[inside]]).sum(-1) > MIN_NORMAL_COSINE))
    if same.sum() < MIN_POINTS:
        return None
    inside, cells, offsets = inside[same], cells[same], offsets[same]
    gradients = target.gradients[cells]
    gray = (target.gray[cells] + (gradients * offsets).sum(-1)
            - source.gray[source.sources[inside]])
    by_distance = _equations(
        own[inside], normals[same], distances[same],
        max(DISTANCE_SCALE * gate, MIN_DISTANCE_SCALE), MIN_DISTANCE)
    by_gray = _equations(  # without the difference of exposure
        own[inside], gradients @ rotation, gray - np.median(gray), GRAY_NOISE, MIN_GRAY)
    return Registration(
        T_target_source, by_distance[0] + by_gray[0], by_distance[1] + by_gray[1])


def _equations(
    points: Array, directions: Array, residuals: Array, scale: float, least: float,
) -> tuple[Array, Array]:  # fmt: skip
    """Return the normal matrix (6, 6) and gradient (6,) of residuals (M,) of points (M, 3).

    A point that moves along its direction (M, 3) increases its residual. scale: of the Cauchy
    loss; least: the smallest standard deviation of the residuals.
    """
    weights = 1 / (1 + (residuals / scale) ** 2)
    variance = max((weights * residuals**2).sum() / weights.sum(), least**2)
    J = np.concatenate([np.cross(points, directions), directions], axis=-1)
    weighted = J.T * (weights * (INDEPENDENT / len(residuals) / variance))
    return weighted @ J, weighted @ residuals
