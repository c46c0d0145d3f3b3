"""Depth estimate: distances from a keyframe by multi-view stereo, with standard deviations."""
import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose, Poses
from instant_nerf_ros.nerf.capture.selection import pose_distances


@dataclasses.dataclass(frozen=True)
class DepthEstimate:
    """Depth of an image without distortion, in the frame of its camera."""

    keyframe: int  # id
    matrix: NDArray[np.float64]  # (3, 3) intrinsics
    depth: NDArray[np.float32]  # (H, W) metres along the optical axis, NaN where unknown
    sigma: NDArray[np.float32]  # (H, W) its standard deviation [m], NaN where unknown

    def every(self, step: int) -> 'DepthEstimate':
        """Return every step-th pixel of every step-th row."""
        smaller = np.diag([1 / step, 1 / step, 1.0])
        return dataclasses.replace(
            self, matrix=smaller @ self.matrix, depth=self.depth[::step, ::step].copy(),
            sigma=self.sigma[::step, ::step].copy())

    def rays(
        self, T_world_camera: Pose,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return origins (N, 3) [m], unit directions (N, 3), distances and deviations (N,) [m].

        They are of the known pixels, in the world, from T_world_camera (4, 4).
        """
        row, column = np.nonzero(np.isfinite(self.depth))
        pixels = np.stack([column, row, np.ones_like(row)], axis=-1)
        rays = pixels @ np.linalg.inv(self.matrix).T @ T_world_camera[:3, :3].T
        lengths = np.linalg.norm(rays, axis=-1)
        return (np.broadcast_to(T_world_camera[:3, 3], rays.shape), rays / lengths[:, None],
                lengths * self.depth[row, column], lengths * self.sigma[row, column])


def nearest_estimates(
    estimates: Iterable[DepthEstimate], poses: Poses, T_world_camera: Pose, max_baseline: float,
    max_angle: float, count: int,
) -> list[DepthEstimate]:  # fmt: skip
    """Return the estimates from the viewpoints that are nearest to a pose, at most so many.

    poses: T_world_camera by keyframe id; estimates without one are left out. max_baseline [m] and
    max_angle [rad]: of those that count; a radian is as far as a metre.
    """
    known = [estimate for estimate in estimates if estimate.keyframe in poses]
    if not known:
        return []
    distances, angles = pose_distances(
        np.array([poses[estimate.keyframe] for estimate in known]), T_world_camera)
    near = np.flatnonzero((distances < max_baseline) & (angles < max_angle))
    return [known[int(k)] for k in near[np.argsort(distances[near] + angles[near])][:count]]


def robust_deviation(residuals: NDArray[np.floating]) -> float:
    """Return the standard deviation of residuals by their median, which outliers do not move.

    Half of a normal distribution is within 1 / 1.4826 of its standard deviation.
    """
    return 1.4826 * float(np.median(abs(residuals)))
