"""Numba kernels of the occupancy grid: see the functions of these names in reference.voxels."""
import math

import numpy as np

from instant_nerf_ros.nerf.backends.cpu.kernels.bricks import set_state
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import jit, prefetch
from instant_nerf_ros.nerf.constants import (
    EMPTY,
    EMPTY_MISSES,
    EMPTY_ODDS,
    FREE,
    MAX_MISSES,
    MAX_VOTES,
    MIN_HITS,
    MISS_WEIGHT,
    OCCUPIED,
    SOLID,
    UNKNOWN,
    UNVISITED,
)

AHEAD = 16  # positions whose voxels are prefetched
TOUCH = 1e-6  # metres: shorter crossings are no miss


@jit
def update_density(
    positions, densities, density, density_state, bricks, grid_origin, voxel_size, decay,
    threshold,
):  # fmt: skip
    """Update voxels; serial, since several positions may share one."""
    _, ny, nz = density.shape
    for n in range(-AHEAD, len(positions)):
        if n >= 0:
            i, j, k = _voxel_of(positions[n], grid_origin, voxel_size, density.shape)
            if i >= 0:
                unvisited = density_state[i, j, k] == UNVISITED
                old = 2 * threshold if unvisited else density[i, j, k]
                new = max(decay * old, densities[n])
                density[i, j, k] = new
                set_state(density_state, bricks, i, j, k, EMPTY if new < threshold else SOLID)
        if n + AHEAD < len(positions):
            i, j, k = _voxel_of(positions[n + AHEAD], grid_origin, voxel_size, density.shape)
            if i >= 0:
                place = (i * ny + j) * nz + k
                prefetch(np.uintp(density.ctypes.data + 4 * place))
                prefetch(np.uintp(density_state.ctypes.data + place))


@jit
def _voxel_of(position, grid_origin, voxel_size, shape):
    """Return the voxel in which a position lies; three times -1 if it is outside of the grid."""
    nx, ny, nz = shape
    x = (position[0] - grid_origin[0]) / voxel_size
    y = (position[1] - grid_origin[1]) / voxel_size
    z = (position[2] - grid_origin[2]) / voxel_size
    if x >= 0 and y >= 0 and z >= 0 and x < nx and y < ny and z < nz:
        return int(x), int(y), int(z)
    return -1, -1, -1


@jit
def _next_face(start, along):
    """Return the distance to the first voxel face along an axis, and that between faces."""
    if along > 0:
        return (math.floor(start) + 1 - start) / along, 1 / along
    if along < 0:
        return (math.floor(start) - start) / along, -1 / along
    return math.inf, math.inf


@jit
def state(hits, misses):
    """Return the state of a voxel with these votes."""
    if hits >= MIN_HITS and hits >= misses:
        return OCCUPIED
    return FREE if misses > hits else UNKNOWN


@jit
def _vote(counts, weight, hits, misses, last_keyframe, cell, keyframe, measured):
    """Add a vote of a keyframe to counts, which is hits or misses."""
    if hits[cell] + misses[cell] >= MAX_VOTES:
        hits[cell] //= 2
        misses[cell] //= 2
    if measured or last_keyframe[cell]:
        counts[cell] += weight
        if hits[cell] == 0 and misses[cell] > MAX_MISSES:
            misses[cell] = MAX_MISSES
    last_keyframe[cell] = keyframe


@jit
def integrate_rays(
    origins, directions, distances, clear_distances, measured, weight, pixels, keyframe,
    hits, misses, last_keyframe, colors, density_state, bricks, grid_origin, voxel_size,
):  # fmt: skip
    """Count hits of all rays, then misses; serial, since rays share voxels."""
    for ray in range(len(origins)):
        _count_hit(
            origins[ray], directions[ray], distances[ray], measured, weight, pixels[ray],
            keyframe, hits, misses, last_keyframe, colors, grid_origin, voxel_size)
    for ray in range(len(origins)):
        _count_misses(
            origins[ray], directions[ray], clear_distances[ray], measured, keyframe,
            hits, misses, last_keyframe, density_state, bricks, grid_origin, voxel_size)


@jit
def _count_hit(
    origin, direction, distance, measured, weight, pixel, keyframe,
    hits, misses, last_keyframe, colors, grid_origin, voxel_size,
):  # fmt: skip
    """Count a hit where a ray ends."""
    nx, ny, nz = hits.shape
    distance = np.float64(distance)
    x = math.floor((np.float64(origin[0]) + direction[0] * distance - grid_origin[0]) / voxel_size)
    y = math.floor((np.float64(origin[1]) + direction[1] * distance - grid_origin[1]) / voxel_size)
    z = math.floor((np.float64(origin[2]) + direction[2] * distance - grid_origin[2]) / voxel_size)
    if distance <= 0 or not (0 <= x < nx and 0 <= y < ny and 0 <= z < nz):
        return
    if last_keyframe[x, y, z] == keyframe:
        return
    _vote(hits, weight, hits, misses, last_keyframe, (x, y, z), keyframe, measured)
    red, green, blue = colors[x, y, z]
    for channel in range(3):
        value = np.int32(pixel[channel])
        if value < 0:
            return
        if hits[x, y, z] > weight and (red or green or blue):
            value = (3 * np.int32(colors[x, y, z, channel]) + value + 2) // 4
        colors[x, y, z, channel] = value


@jit
def _count_misses(
    origin, direction, clear_distance, measured, keyframe,
    hits, misses, last_keyframe, density_state, bricks, grid_origin, voxel_size,
):  # fmt: skip
    """Count misses along a ray, from voxel to voxel (Amanatides and Woo 1987)."""
    nx, ny, nz = hits.shape
    sx = (np.float64(origin[0]) - grid_origin[0]) / voxel_size
    sy = (np.float64(origin[1]) - grid_origin[1]) / voxel_size
    sz = (np.float64(origin[2]) - grid_origin[2]) / voxel_size
    ax = np.float64(direction[0]) / voxel_size
    ay = np.float64(direction[1]) / voxel_size
    az = np.float64(direction[2]) / voxel_size
    x, y, z = math.floor(sx), math.floor(sy), math.floor(sz)
    tx, step_x = _next_face(sx, ax)
    ty, step_y = _next_face(sy, ay)
    tz, step_z = _next_face(sz, az)
    t = 0.0
    while t < clear_distance:
        leave = min(tx, ty, tz)
        if (0 <= x < nx and 0 <= y < ny and 0 <= z < nz and last_keyframe[x, y, z] != keyframe
                and min(leave, np.float64(clear_distance)) - t > TOUCH):
            _vote(
                misses, MISS_WEIGHT, hits, misses, last_keyframe, (x, y, z), keyframe, measured)
            if measured and (misses[x, y, z] >= EMPTY_MISSES
                             and misses[x, y, z] > EMPTY_ODDS * np.int32(hits[x, y, z])):
                set_state(density_state, bricks, x, y, z, EMPTY)
        t = leave
        if tx == leave:
            tx += step_x
            x += 1 if ax > 0 else -1
        elif ty == leave:
            ty += step_y
            y += 1 if ay > 0 else -1
        else:
            tz += step_z
            z += 1 if az > 0 else -1


@jit
def states(hits, misses, result):
    """Write the state of every voxel, all arrays (nx, ny, nz)."""
    for x in range(hits.shape[0]):
        for y in range(hits.shape[1]):
            for z in range(hits.shape[2]):
                result[x, y, z] = state(hits[x, y, z], misses[x, y, z])
