"""Refinement: inverse depths to a fraction of a pixel, with a standard deviation.

Around the inverse depths of a plane sweep, each partner is matched by itself: one Gauss-Newton
step along the epipolar lines (Lucas and Kanade 1981), over a window. Where partners agree, their
weighted mean is taken. Each has noise and a pose error of its own, so what they agree on is right
more often than what any of them says, and how far they scatter tells how good it is.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.motion.depth_estimate import robust_deviation
from instant_nerf_ros.nerf.motion.plane_sweep import box_sums, projections
from instant_nerf_ros.nerf.motion.stereo_image import PosedView, UndistortedImage

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

Array = NDArray[np.float32]

MATCHED = 9  # pixels, of the windows that are matched
MAX_STEP = 1.5  # pixels, from the plane sweep
ERROR_SCALE = 20.0  # gray levels of normalized images, of the Cauchy loss
NOISE = 6.0  # gray levels of normalized images: where a match looks perfect, by chance
CORRELATION = 12.0  # pixels with one error: normalized images are smooth, windows overlap
MIN_GRADIENT = 200.0  # sum of squared gradients in a window, without which there is no texture
DAMPING = 25.0  # the same, by which a step is halved
MAX_RESIDUAL = 0.5  # share of the power of the image: a correlation of at least 0.75
POSE_NOISE = 0.5  # pixels, expected between two images, before it is measured
# Errors of neighboring poses and of the lens are alike, so partners agree better than they are
# right: in a recorded kitchen, errors are this many times what the partners say.
POSE_INFLATION = 3.0
GATE = 3.0  # standard deviations within which partners agree
MIN_AGREEING = 2  # partners; where a robot turns, few images see the same from two places
MIN_SHARE = 0.6  # of the partners that know the pixel
MAX_ERROR = 0.1  # largest standard deviation, as a share of the depth
MAX_INVERSE_DEPTH = 3.0  # 1/m


def refine(
    image: UndistortedImage, T_world_camera: Pose, partners: Sequence[PosedView],
    inverse_depth: Array, backend: Backend,
) -> tuple[Array, Array]:  # fmt: skip
    """Return depth and its standard deviation, each (H, W) [m], NaN where they are unknown.

    inverse_depth (H, W) [1/m]: of the plane sweep, NaN where unknown.
    """
    unknown = np.full(image.gray.shape, np.nan, np.float32)
    if len(partners) < MIN_AGREEING:
        return unknown, unknown.copy()
    affine, shift = projections(image, T_world_camera, partners)
    parts = [
        _match(image, other, A, a, inverse_depth, backend)
        for (other, _), A, a in zip(partners, affine, shift)]
    values, variances, speeds = (np.array(part, np.float32) for part in zip(*parts))

    def agreement(noise: Array) -> tuple[Array, Array, NDArray[np.int32]]:
        """Return what partners with noise (P,) [pixels] of their poses agree on."""
        of_poses = ((noise[:, None, None] / speeds) ** 2).astype(np.float32)
        return backend.agreement(values, variances + of_poses, GATE)

    mean, _, _ = agreement(np.full(len(values), POSE_NOISE, np.float32))
    noise = np.array([_pose_noise(*part, mean) for part in zip(values, speeds)], np.float32)
    mean, variance, count = agreement(noise)
    known = np.isfinite(values)
    # The error of the pose of the image itself is in all partners: no mean reduces it.
    number = known.sum(0).clip(min=1)
    information = np.where(known, speeds**2, 0).sum(0).clip(min=1e-6)
    own = (POSE_INFLATION * np.median(noise)) ** 2 * number / information
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = 1 / mean
        sigma = np.sqrt(variance + own) * depth**2
        certain = ((count >= MIN_AGREEING) & (count >= MIN_SHARE * number)
                   & (mean > 0) & (mean < MAX_INVERSE_DEPTH) & (sigma < MAX_ERROR * depth))
    return (np.where(certain, depth, unknown).astype(np.float32),
            np.where(certain, sigma, unknown).astype(np.float32))


def _match(
    image: UndistortedImage, other: UndistortedImage, affine: Array, shift: Array,
    inverse_depth: Array, backend: Backend,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return inverse depths, their variances and speeds [pixels m], each (H, W), by a partner."""
    error, gradient, speed = backend.epipolar_gradients(
        image.normalized, other.normalized, affine, shift, inverse_depth)
    weighted = gradient / (1 + (error / ERROR_SCALE) ** 2)
    square = box_sums(weighted * gradient, MATCHED)
    product = box_sums(weighted * error, MATCHED)
    step = product / (square + DAMPING)
    residual = (box_sums(error * error, MATCHED) - step * product).clip(min=0) / MATCHED**2
    power = box_sums(image.normalized**2, MATCHED) / MATCHED**2
    known = ((speed > 0) & (square > MIN_GRADIENT) & (abs(step) < MAX_STEP)
             & (residual < MAX_RESIDUAL * power))
    speed = np.where(known, speed, 1)
    variance = CORRELATION * (residual + NOISE**2) / np.where(known, square, 1)
    value = np.where(known, inverse_depth + step / speed, np.nan)
    return value.astype(np.float32), (variance / speed**2).astype(np.float32), speed


def _pose_noise(values: Array, speeds: Array, mean: Array) -> float:
    """Return the standard deviation [pixels] between a partner and what all agree on."""
    offsets = (abs(values - mean) * speeds)[::4, ::4]
    offsets = offsets[np.isfinite(offsets)]
    return robust_deviation(offsets) if len(offsets) else POSE_NOISE
