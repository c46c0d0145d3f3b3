"""Refinement of stereo in NumPy: gradients along epipolar lines, and what several images agree on.

`backends.cpu.kernels.stereo_refinement` does the same, faster.
"""
import warnings

import numpy as np
from numpy.typing import NDArray


def epipolar_gradients(
    image: NDArray[np.float32], other: NDArray[np.float32], affine: NDArray[np.float32],
    shift: NDArray[np.float32], inverse_depth: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Return how another image differs from an image (H, W), and changes with inverse depth.

    other (h, w); affine (3, 3) and shift (3,) as in stereo.plane_costs, in pixels of the other
    image; inverse_depth (H, W) [1/m], NaN where unknown. Returns, each (H, W): the error, image
    minus other where it shows the same; the gradient, the derivative of the other along the
    epipolar line [1/pixel]; and the speed along it [pixels m]. All are 0 where the other image
    does not show the pixel. Values are bilinear, half a pixel before and after the place.
    """
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    at_infinity = np.stack([u, v, np.ones_like(u)], axis=-1).astype(np.float32) @ affine.T
    x, y, z = np.moveaxis(at_infinity + inverse_depth[..., None] * shift, -1, 0)
    ahead = z > 0
    z = np.where(ahead, z, 1)
    x, y = x / z, y / z
    along = [(shift[0] - x * shift[2]) / z, (shift[1] - y * shift[2]) / z]
    speed = np.hypot(*along)
    moving = ahead & (speed > 0)
    half = [0.5 * part / np.where(moving, speed, 1) for part in along]
    before, after = (
        _bilinear(other, x + sign * half[0], y + sign * half[1]) for sign in (-1, 1))
    seen = moving & np.isfinite(before) & np.isfinite(after)
    result = np.where(
        seen, [image - (before + after) / 2, after - before, speed], 0).astype(np.float32)
    return result[0], result[1], result[2]


def _bilinear(
    image: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32],
) -> NDArray[np.float32]:  # fmt: skip
    """Return values of an image (h, w) at pixels (H, W), NaN outside."""
    inside = (x >= 0) & (y >= 0) & (x < image.shape[1] - 1) & (y < image.shape[0] - 1)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    column, row = x.astype(np.int32), y.astype(np.int32)
    right, down = x - column, y - row
    upper = image[row, column] * (1 - right) + image[row, column + 1] * right
    lower = image[row + 1, column] * (1 - right) + image[row + 1, column + 1] * right
    return np.where(inside, upper * (1 - down) + lower * down, np.nan)


def agreement(
    values: NDArray[np.float32], variances: NDArray[np.float32], gate: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:  # fmt: skip
    """Return mean, variance and number, each (H, W), of the P values (P, H, W) that agree.

    Values are NaN where nothing is known. Around their median, the mean is taken of those within
    gate standard deviations, weighted by their precisions, three times. The variance of the mean
    is larger where they scatter more than their variances say (Birge 1932). The mean is NaN
    without any.
    """
    values, variances = values.astype(np.float64), variances.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # where nothing is known
        mean = np.nanmedian(values, axis=0)
    for _ in range(3):
        agrees = abs(values - mean) < gate * np.sqrt(variances)
        weights = np.where(agrees, 1 / variances, 0)
        total = weights.sum(0)
        sums = np.where(agrees, weights * values, 0).sum(0)
        mean = np.where(total > 0, sums / np.where(total > 0, total, 1), mean)
    count = agrees.sum(0)
    scatter = np.where(agrees, weights * (values - mean) ** 2, 0).sum(0) / (count - 1).clip(min=1)
    variance = np.where(
        count > 0, scatter.clip(min=1) / np.where(total > 0, total, 1), np.nan)
    return mean.astype(np.float32), variance.astype(np.float32), count.astype(np.int32)
