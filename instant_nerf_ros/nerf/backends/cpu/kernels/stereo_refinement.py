"""Numba kernels of the refinement of stereo: see reference.stereo_refinement."""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import allocating


def epipolar_gradients(
    image: NDArray[np.float32], other: NDArray[np.float32], affine: NDArray[np.float32],
    shift: NDArray[np.float32], inverse_depth: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """See reference.stereo_refinement.epipolar_gradients."""
    error, gradient, speed = _epipolar_gradients(image, other, affine, shift, inverse_depth)
    return error, gradient, speed


@allocating
def _epipolar_gradients(image, other, affine, shift, inverse_depth):
    height, width = image.shape
    error, gradient, speed = np.zeros((3, height, width), np.float32)
    half, zero = np.float32(0.5), np.float32(0)
    for row in range(height):
        for column in range(width):
            w, u, v = inverse_depth[row, column], np.float32(column), np.float32(row)
            z = affine[2, 0] * u + affine[2, 1] * v + affine[2, 2] + w * shift[2]
            if not z > zero:
                continue
            x = (affine[0, 0] * u + affine[0, 1] * v + affine[0, 2] + w * shift[0]) / z
            y = (affine[1, 0] * u + affine[1, 1] * v + affine[1, 2] + w * shift[1]) / z
            along_x, along_y = (shift[0] - x * shift[2]) / z, (shift[1] - y * shift[2]) / z
            length = np.sqrt(along_x * along_x + along_y * along_y)
            if not length > zero:
                continue
            step_x, step_y = half * along_x / length, half * along_y / length
            before = _bilinear(other, x - step_x, y - step_y)
            after = _bilinear(other, x + step_x, y + step_y)
            if before == before and after == after:
                error[row, column] = image[row, column] - half * (before + after)
                gradient[row, column] = after - before
                speed[row, column] = length
    return error, gradient, speed


@allocating
def _bilinear(image, x, y):
    """Return the value of an image (h, w) at a pixel, NaN outside."""
    one = np.float32(1)
    if not (x >= 0 and y >= 0 and x < image.shape[1] - 1 and y < image.shape[0] - 1):
        return np.float32(np.nan)
    column, row = np.int32(x), np.int32(y)
    right, down = x - np.float32(column), y - np.float32(row)
    upper = image[row, column] * (one - right) + image[row, column + 1] * right
    lower = image[row + 1, column] * (one - right) + image[row + 1, column + 1] * right
    return upper * (one - down) + lower * down


def agreement(
    values: NDArray[np.float32], variances: NDArray[np.float32], gate: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:  # fmt: skip
    """See reference.stereo_refinement.agreement."""
    mean, variance, count = _agreement(values, variances, gate)
    return mean, variance, count


@allocating
def _agreement(values, variances, gate):
    number, height, width = values.shape
    result = np.full((2, height, width), np.nan, np.float32)
    counts = np.zeros((height, width), np.int32)
    ordered = np.empty(number)
    for row in range(height):
        for column in range(width):
            known = 0
            for k in range(number):
                value = np.float64(values[k, row, column])
                if value == value:
                    place = known
                    while place > 0 and ordered[place - 1] > value:
                        ordered[place] = ordered[place - 1]
                        place -= 1
                    ordered[place] = value
                    known += 1
            if known == 0:
                continue
            mean = (ordered[known // 2] + ordered[(known - 1) // 2]) / 2
            own, own_variances = values[:, row, column], variances[:, row, column]
            for _ in range(3):
                middle = mean
                total, mean, count = _mean_of_agreeing(own, own_variances, gate, middle)
            counts[row, column], result[0, row, column] = count, mean
            if count:
                scatter = _scatter(own, own_variances, gate, middle, mean)
                result[1, row, column] = max(scatter / max(count - 1, 1), 1.0) / total
    return result[0], result[1], counts


@allocating
def _mean_of_agreeing(values, variances, gate, middle):
    """Return sum of precisions, mean and number of the values within the gate of the middle."""
    total, weighted, count = 0.0, 0.0, 0
    for k in range(len(values)):
        variance = np.float64(variances[k])
        if abs(values[k] - middle) < gate * np.sqrt(variance):
            total += 1 / variance
            weighted += values[k] / variance
            count += 1
    return total, weighted / total if count else middle, count


@allocating
def _scatter(values, variances, gate, middle, mean):
    """Return the sum of squared deviations from the mean, of the values within the gate."""
    result = 0.0
    for k in range(len(values)):
        variance = np.float64(variances[k])
        if abs(values[k] - middle) < gate * np.sqrt(variance):
            result += (values[k] - mean) ** 2 / variance
    return result
