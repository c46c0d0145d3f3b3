"""Numba kernels of stereo matching: see the functions of these names in reference.stereo."""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import allocating
from instant_nerf_ros.nerf.backends.reference.stereo import MAX_COST

FAR = np.float32(1e30)


def plane_costs(
    image: NDArray[np.float32], others: NDArray[np.float32], affine: NDArray[np.float32],
    shift: NDArray[np.float32], inverse_depths: NDArray[np.float32], before: int,
) -> NDArray[np.float32]:  # fmt: skip
    """See reference.stereo.plane_costs."""
    costs: NDArray[np.float32] = _plane_costs(
        image, others, affine, shift, inverse_depths, before)
    return costs


@allocating
def _plane_costs(image, others, affine, shift, inverse_depths, before):
    """Compare one pixel after another, all planes at once."""
    height, width = image.shape
    count, planes = len(others), len(inverse_depths)
    result = np.empty((height, width, planes), np.float32)
    sums, counts = np.empty((2, 2, planes), np.float32)  # of both sides
    places = np.empty(planes, np.int32)
    size = np.float32(others.shape[1]), np.float32(others.shape[2])
    flat = others.reshape(count, -1)
    for row in range(height):
        for column in range(width):
            own = image[row, column]
            sums[:], counts[:] = 0, 0
            for k in range(count):
                side = 0 if k < before else 1
                _project(affine[k], shift[k], np.float32(column), np.float32(row), inverse_depths,
                       size, places)
                _add_dissimilarity(own, flat[k], places, sums[side], counts[side])
            _combine_sides(sums, counts, result[row, column])
    return result


@allocating
def _project(affine, shift, column, row, inverse_depths, size, places):
    """Write the index of the pixel in another image to which each plane projects a pixel, or -1.

    This is a loop of its own, as LLVM can vectorize it, unlike the loads from these pixels.
    """
    half = np.float32(0.5)
    height, width = size
    x = affine[0, 0] * column + affine[0, 1] * row + affine[0, 2]
    y = affine[1, 0] * column + affine[1, 1] * row + affine[1, 2]
    z = affine[2, 0] * column + affine[2, 1] * row + affine[2, 2]
    for d in range(len(inverse_depths)):
        along = z + inverse_depths[d] * shift[2]
        u = (x + inverse_depths[d] * shift[0]) / along + half
        v = (y + inverse_depths[d] * shift[1]) / along + half
        inside = along > 0 and u > 0 and v > 0 and u < width and v < height
        places[d] = np.int32(v) * np.int32(width) + np.int32(u) if inside else np.int32(-1)


@allocating
def _add_dissimilarity(own, other, places, sums, counts):
    """Add the differences of a pixel from another image (H * W,) where it projects, and count."""
    maximum = np.float32(MAX_COST)
    for d in range(len(places)):
        if places[d] >= 0:
            difference = abs(other[np.uint32(places[d])] - own)
            sums[d] += difference if difference < maximum else maximum
            counts[d] += np.float32(1)


@allocating
def _combine_sides(sums, counts, cost):
    """Write the lower cost of the two sides of each plane, or the mean of all without any."""
    total, known = np.float32(0), np.float32(0)
    for d in range(len(cost)):
        cost[d] = FAR
        for side in range(2):
            if counts[side, d] > 0:
                cost[d] = min(cost[d], sums[side, d] / counts[side, d])
        if cost[d] < FAR:
            total += cost[d]
            known += 1
    mean = total / known if known else np.float32(0)
    for d in range(len(cost)):
        cost[d] = cost[d] if cost[d] < FAR else mean


def smooth_costs(
    costs: NDArray[np.float32], gray: NDArray[np.uint8], step: float, jump: float, edge: float,
) -> NDArray[np.float32]:  # fmt: skip
    """See reference.stereo.smooth_costs."""
    total: NDArray[np.float32] = _smooth_costs(costs, gray, step, jump, edge)
    return total


@allocating
def _smooth_costs(costs, gray, step, jump, edge):
    """Sum the costs along paths from four sides."""
    total = np.zeros_like(costs)
    for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        _sweep(costs, gray, np.float32(step), np.float32(jump), np.float32(edge), down, right,
               total)
    return total


@allocating
def _sweep(costs, gray, step, jump, edge, down, right, total):
    """Add the costs along the paths of one direction: from above, below, left or right."""
    height, width, planes = costs.shape
    # Path costs of this row and the previous one, with an infinite plane at both ends.
    current, previous = np.empty((2, width, planes + 2), np.float32)
    for costs_of_row in (current, previous):
        costs_of_row[:, 0], costs_of_row[:, planes + 1] = FAR, FAR
    minima = np.empty((2, width), np.float32)
    for line in range(height):
        row = line if down >= 0 else height - 1 - line
        current, previous = previous, current
        for position in range(width):
            column = position if right >= 0 else width - 1 - position
            new, cost, result = current[column], costs[row, column], total[row, column]
            if (line if down else position) == 0:
                for d in range(planes):
                    new[d + 1] = cost[d]
                    result[d] += cost[d]
            else:
                old = previous[column] if down else current[column - right]
                lowest = minima[0, column] if down else minima[0, column - right]
                change = np.float32(gray[row, column]) - np.float32(
                    gray[row - down, column - right])
                jump_cost = lowest + max(jump * edge / (edge + abs(change)), step)
                for d in range(planes):
                    a, b = old[d] + step, old[d + 2] + step
                    a = b if b < a else a
                    a = old[d + 1] if old[d + 1] < a else a
                    a = jump_cost if jump_cost < a else a
                    a = cost[d] + a - lowest
                    new[d + 1] = a
                    result[d] += a
            smallest = FAR
            for d in range(planes):
                smallest = new[d + 1] if new[d + 1] < smallest else smallest
            minima[0, column] = smallest


def best_planes(
    total: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """See reference.stereo.best_planes."""
    plane, margin = _best_planes(total)
    return plane, margin


@allocating
def _best_planes(total):
    """Find the plane of least cost of one pixel after another."""
    height, width, planes = total.shape
    result, margins = np.zeros((2, height, width), np.float32)
    for row in range(height):
        for column in range(width):
            cost = total[row, column]
            plane = 0
            for d in range(planes):
                plane = d if cost[d] < cost[plane] else plane
            if plane == 0 or plane == planes - 1:
                result[row, column] = plane
                continue
            second = FAR
            for d in range(planes):
                second = cost[d] if abs(d - plane) > 2 and cost[d] < second else second
            margins[row, column] = (second - cost[plane]) / second
            curvature = cost[plane - 1] - 2 * cost[plane] + cost[plane + 1]
            difference = cost[plane - 1] - cost[plane + 1]
            offset = difference / (2 * curvature) if curvature > 0 else 0.0
            result[row, column] = plane + offset
    return result, margins
