"""Numba kernel of the surfaces of a depth image: see reference.surfaces."""
import math

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import jit
from instant_nerf_ros.nerf.backends.reference.surfaces import (
    MAX_SLOPE,
    MAX_THIN,
    MIN_COSINE,
    NOISE,
    TOLERANCE,
    Image,
    Mask,
    Weights,
    pitch,
)
from instant_nerf_ros.nerf.constants import EDGE_WEIGHT, SURFACE_WEIGHT, THIN_WEIGHT


def find_surfaces(
    distances: Image, directions: Image, origin: NDArray[np.float64], voxel_size: float,
) -> tuple[Image, Image, Weights, Mask]:  # fmt: skip
    """See reference.surfaces.find_surfaces."""
    shape = distances.shape
    ends, clear = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    similar, votes = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    weights = np.zeros(shape, np.uint8)
    _find(distances, directions, origin, voxel_size, MAX_SLOPE * pitch(directions), ends, clear,
          similar, weights)
    _choose(ends, directions, origin, voxel_size, similar, weights, votes)
    return ends, clear, weights, votes


@jit
def _find(
    distances, directions, origin, voxel_size, slope, ends, clear, similar, weights,
):  # fmt: skip
    height, width = distances.shape
    for v in range(height):
        for u in range(width):
            distance = distances[v, u]
            if not distance > 0:
                continue
            deviation = np.float32(NOISE) * distance * distance
            tolerance = np.float32(TOLERANCE) * deviation + np.float32(slope) * distance
            count, total = 0, np.float32(1) / distance
            for j in range(max(v - 1, 0), min(v + 2, height)):
                for i in range(max(u - 1, 0), min(u + 2, width)):
                    near = distances[j, i]
                    if (j != v or i != u) and near > 0 and abs(near - distance) <= tolerance:
                        count += 1
                        total += np.float32(1) / near
            similar[v, u] = count > 0
            weights[v, u] = (SURFACE_WEIGHT if count == 8
                             else THIN_WEIGHT if count <= MAX_THIN else EDGE_WEIGHT)
            if count == 8:
                half = np.float32(voxel_size / 2)
                share = deviation * deviation / (deviation * deviation + half * half)
                single = np.float32(1) / distance
                ends[v, u] = np.float32(1) / (single + share * (total / np.float32(9) - single))
            else:
                ends[v, u] = distance
            if similar[v, u]:
                clear[v, u] = max(ends[v, u] - np.float32(voxel_size) - deviation, np.float32(0))
    for v in range(1, height - 1):
        for u in range(1, width - 1):
            if weights[v, u] == SURFACE_WEIGHT:
                margin = np.float32(voxel_size) * _margin(distances, directions, v, u)
                deviation = np.float32(NOISE) * distances[v, u] * distances[v, u]
                clear[v, u] = max(ends[v, u] - margin - deviation, np.float32(0))


@jit
def _mean(distances, v, u, down, right):
    """Return the mean of the inverse distances of a pixel and of those on both sides of it."""
    return (np.float32(1) / distances[v - down, u - right] + np.float32(1) / distances[v, u]
            + np.float32(1) / distances[v + down, u + right]) / np.float32(3)


@jit
def _margin(distances, directions, v, u):
    """Return |n|_1 / cos(angle) of a pixel inside the image, from its neighbors."""
    left, right = _mean(distances, v, u - 1, 1, 0), _mean(distances, v, u + 1, 1, 0)
    above, below = _mean(distances, v - 1, u, 0, 1), _mean(distances, v + 1, u, 0, 1)
    ax = directions[v, u + 1, 0] / right - directions[v, u - 1, 0] / left
    ay = directions[v, u + 1, 1] / right - directions[v, u - 1, 1] / left
    az = directions[v, u + 1, 2] / right - directions[v, u - 1, 2] / left
    bx = directions[v + 1, u, 0] / below - directions[v - 1, u, 0] / above
    by = directions[v + 1, u, 1] / below - directions[v - 1, u, 1] / above
    bz = directions[v + 1, u, 2] / below - directions[v - 1, u, 2] / above
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    if length == 0:
        return np.float32(1)
    dot = nx * directions[v, u, 0] + ny * directions[v, u, 1] + nz * directions[v, u, 2]
    cosine = abs(dot) / length
    return np.float32((abs(nx) + abs(ny) + abs(nz)) / length / max(cosine, MIN_COSINE))


@jit
def _choose(ends, directions, origin, voxel_size, similar, weights, votes):
    """Choose the pixels that vote."""
    height, width = ends.shape
    for v in range(height):
        for u in range(width):
            if not similar[v, u]:
                continue
            x, y, z = _cell(ends, directions, origin, voxel_size, v, u)
            first = True
            if u and similar[v, u - 1] and weights[v, u - 1] == weights[v, u]:
                i, j, k = _cell(ends, directions, origin, voxel_size, v, u - 1)
                first = i != x or j != y or k != z
            if first and v and similar[v - 1, u] and weights[v - 1, u] == weights[v, u]:
                i, j, k = _cell(ends, directions, origin, voxel_size, v - 1, u)
                first = i != x or j != y or k != z
            votes[v, u] = first


@jit
def _cell(ends, directions, origin, voxel_size, v, u):
    """Return the voxel in which a ray ends."""
    end = np.float64(ends[v, u])
    return (math.floor(origin[0] + directions[v, u, 0] * end / voxel_size),
            math.floor(origin[1] + directions[v, u, 1] * end / voxel_size),
            math.floor(origin[2] + directions[v, u, 2] * end / voxel_size))
