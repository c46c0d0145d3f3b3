"""Depth fusion: what the depth of several images says about the same surfaces."""
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Poses
from instant_nerf_ros.nerf.motion.depth_estimate import (
    DepthEstimate,
    nearest_estimates,
    robust_deviation,
)

Array = NDArray[np.float64]

MAX_SOURCES = 12  # images that are compared, the nearest ones
MAX_BASELINE, MAX_ANGLE = 1.5, 60.0  # metres and degrees between them
TOLERANCE = 0.06  # share of the depth within which two images agree
MIN_AGREEING = 1  # other images
SINGLE_ERROR = 0.003  # least relative deviation of one image
MIN_ERROR = 0.01  # and of the mean of several, whose poses have errors that are alike
COMPARABLE = 0.2  # share of the depth within which two images may mean the same surface
NEAREST = 0.1  # metres, of a point in front of the camera


def fused(
    estimate: DepthEstimate, others: Sequence[DepthEstimate], poses: Poses,
) -> DepthEstimate:  # fmt: skip
    """Return an estimate where others agree with it, as the mean of all that do.

    The rule is that of Merrell et al. 2007, "Real-time visibility-based fusion of depth maps": an
    image contradicts a point that it looks through, and says nothing about one that is hidden
    from it. A point is kept if no fewer images agree than contradict, and at least MIN_AGREEING.

    poses: T_world_camera by keyframe id.
    """
    pose = poses[estimate.keyframe]
    sources = nearest_estimates(
        others, poses, pose, MAX_BASELINE, np.radians(MAX_ANGLE), MAX_SOURCES)
    row, column = np.nonzero(np.isfinite(estimate.depth))
    depth = estimate.depth[row, column].astype(np.float64)
    pixels = np.stack([column, row, np.ones_like(row)], axis=-1)
    points = depth[:, None] * (pixels @ np.linalg.inv(estimate.matrix).T)
    weights = _weights(depth, estimate.sigma[row, column].astype(np.float64))
    total, ratios = weights.copy(), weights.copy()
    agreeing, contradicting = np.zeros((2, len(depth)), np.int64)
    errors: list[Array] = []
    for other in sources:
        T_other_camera = np.linalg.inv(poses[other.keyframe]) @ pose
        expected, found, sigma = _looked_up(
            other, points @ T_other_camera[:3, :3].T + T_other_camera[:3, 3])
        with np.errstate(invalid='ignore'):
            ratio = found / expected
            agrees = abs(ratio - 1) < TOLERANCE
            contradicting += ratio >= 1 + TOLERANCE
            errors.append((ratio - 1)[abs(ratio - 1) < COMPARABLE])
        agreeing += agrees
        added = np.where(agrees, _weights(found, sigma), 0)
        total += added
        ratios += added * np.where(agrees, ratio, 0)
    kept = (agreeing >= MIN_AGREEING) & (agreeing >= contradicting)
    row, column = row[kept], column[kept]
    least = max(MIN_ERROR, _common_error(errors))
    mean, deviation = np.full((2, *estimate.depth.shape), np.nan, np.float32)
    mean[row, column] = (depth * ratios / total)[kept]
    deviation[row, column] = (depth * (1 / np.sqrt(total)).clip(min=least))[kept]
    return DepthEstimate(estimate.keyframe, estimate.matrix, mean, deviation)


def _common_error(differences: Sequence[Array]) -> float:
    """Return the relative deviation of one image from the differences (N,) between two."""
    together = np.concatenate([np.empty(0), *differences])
    return robust_deviation(together) / np.sqrt(2) if len(together) else 0.0


def _looked_up(estimate: DepthEstimate, points: Array) -> tuple[Array, Array, Array]:
    """Return the depths of points (N, 3) in the frame of a camera, and what it has there.

    That is the depth and its deviation, of the nearest pixel, NaN outside. (N,) each, metres.
    """
    height, width = estimate.depth.shape
    expected = np.where(points[:, 2] > NEAREST, points[:, 2], np.nan)
    with np.errstate(invalid='ignore'):
        columns, rows, _ = np.nan_to_num(
            (points / expected[:, None]) @ estimate.matrix.T, nan=-1.0).round().T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    place = np.where(inside, rows * width + columns, 0).astype(np.int64)
    found = np.where(inside, estimate.depth.ravel()[place], np.nan)
    return expected, found, np.where(inside, estimate.sigma.ravel()[place], np.nan)


def _weights(depth: Array, sigma: Array) -> Array:
    """Return the inverse variances of the logarithms of depths [m]."""
    return 1 / ((sigma / depth) ** 2 + SINGLE_ERROR**2)
