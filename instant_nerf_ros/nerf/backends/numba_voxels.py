"""Numba kernels of voxels: what samples and rays say of them.

Each does what the function of the same name in reference_voxels.py says.
"""
import math

import numpy as np

from instant_nerf_ros.nerf.backends.numba_jit import jit

UNVISITED, EMPTY, SOLID = 0, 1, 2
OCCUPIED, FREE, UNKNOWN = 100, 0, -1
MIN_EVIDENCE = 3


@jit
def visit(positions, densities, stored, voxels, grid_origin, voxel_size, decay, threshold):
    """Note densities in voxels; serial, since several positions may share one."""
    nx, ny, nz = stored.shape
    for n in range(len(positions)):
        x = (positions[n, 0] - grid_origin[0]) / voxel_size
        y = (positions[n, 1] - grid_origin[1]) / voxel_size
        z = (positions[n, 2] - grid_origin[2]) / voxel_size
        if x >= 0 and y >= 0 and z >= 0 and x < nx and y < ny and z < nz:
            i, j, k = int(x), int(y), int(z)
            old = 2 * threshold if voxels[i, j, k] == UNVISITED else stored[i, j, k]
            new = max(decay * old, densities[n])
            stored[i, j, k] = new
            voxels[i, j, k] = EMPTY if new < threshold else SOLID


@jit
def _count(counts, others, i, j, k):
    if counts[i, j, k] == 255:
        counts[i, j, k] //= 2
        others[i, j, k] //= 2
    counts[i, j, k] += 1


@jit
def _next_face(start, along):
    """Return the distance to the first voxel face along an axis, and that between faces."""
    if along > 0:
        return (math.floor(start) + 1 - start) / along, 1 / along
    if along < 0:
        return (math.floor(start) - start) / along, -1 / along
    return math.inf, math.inf


@jit
def state(hits, passes):
    """Return the state of a voxel with that many hits and passes."""
    hits, rays = np.int32(hits), np.int32(hits) + np.int32(passes)
    if hits >= MIN_EVIDENCE and 4 * hits >= rays:
        return OCCUPIED
    if rays >= MIN_EVIDENCE and 20 * hits < rays:
        return FREE
    return UNKNOWN


@jit
def carve(
    origins, directions, distances, measured, pixels,
    hits, passes, colors, voxels, grid_origin, voxel_size,
):  # fmt: skip
    """Count hits and passes, walking the voxels (Amanatides and Woo 1987); serial: they add."""
    nx, ny, nz = hits.shape
    for ray in range(len(origins)):
        distance = np.float64(distances[ray])
        if distance <= 0:
            continue
        sx = (np.float64(origins[ray, 0]) - grid_origin[0]) / voxel_size
        sy = (np.float64(origins[ray, 1]) - grid_origin[1]) / voxel_size
        sz = (np.float64(origins[ray, 2]) - grid_origin[2]) / voxel_size
        ax = np.float64(directions[ray, 0]) / voxel_size
        ay = np.float64(directions[ray, 1]) / voxel_size
        az = np.float64(directions[ray, 2]) / voxel_size
        ex = math.floor(sx + ax * distance)
        ey = math.floor(sy + ay * distance)
        ez = math.floor(sz + az * distance)
        x, y, z = math.floor(sx), math.floor(sy), math.floor(sz)
        tx, stepx = _next_face(sx, ax)
        ty, stepy = _next_face(sy, ay)
        tz, stepz = _next_face(sz, az)
        t = 0.0
        while t < distance - voxel_size:
            if 0 <= x < nx and 0 <= y < ny and 0 <= z < nz and (x != ex or y != ey or z != ez):
                _count(passes, hits, x, y, z)
                if measured[ray] and state(hits[x, y, z], passes[x, y, z]) == FREE:
                    voxels[x, y, z] = EMPTY
            t = min(tx, ty, tz)
            if tx == t:
                tx += stepx
                x += 1 if ax > 0 else -1
            elif ty == t:
                ty += stepy
                y += 1 if ay > 0 else -1
            else:
                tz += stepz
                z += 1 if az > 0 else -1
        if 0 <= ex < nx and 0 <= ey < ny and 0 <= ez < nz:
            _count(hits, passes, ex, ey, ez)
            for channel in range(3):
                value = np.int32(pixels[ray, channel])
                if hits[ex, ey, ez] > 1:
                    value = (3 * np.int32(colors[ex, ey, ez, channel]) + value + 2) // 4
                colors[ex, ey, ez, channel] = value


@jit
def states(hits, passes, result):
    """Write the state of every voxel, all arrays (nx, ny, nz)."""
    for x in range(hits.shape[0]):
        for y in range(hits.shape[1]):
            for z in range(hits.shape[2]):
                result[x, y, z] = state(hits[x, y, z], passes[x, y, z])
