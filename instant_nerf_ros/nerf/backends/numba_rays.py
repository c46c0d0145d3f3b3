"""Numba kernels of rays and voxels: marching, compositing, and what both tell of the voxels.

Each does what the function of the same name in reference.py says.
"""
import math

import numba
import numpy as np

from instant_nerf_ros.nerf.backends.numba_grid import jit, parallel

MIN_TRANSMITTANCE = np.float32(1e-3)
UNVISITED, EMPTY, SOLID = 0, 1, 2
OCCUPIED, FREE, UNKNOWN = 100, 0, -1
MIN_EVIDENCE = 3


@jit
def _march_ray(
    origin, direction, near, far, limit, jitter, surface, voxels, grid_origin, voxel_size,
    min_step, cone, band, band_samples, visited_only, t_starts, t_ends, write,
):  # fmt: skip
    """Count the samples of a ray and, if asked, write them."""
    half = np.float32(0.5)
    end = min(far, surface - band) if surface > 0 else far
    t = near + jitter * max(min_step, cone * near)
    scale = np.float32(1) / voxel_size
    x0, y0, z0 = (origin - grid_origin) * scale
    dx, dy, dz = direction * scale
    nx, ny, nz = voxels.shape
    count = 0
    while t < end and count < limit:
        following = t + max(min_step, cone * t)
        stop = min(following, end)
        middle = (t + stop) * half
        x, y, z = x0 + middle * dx, y0 + middle * dy, z0 + middle * dz
        if x >= 0 and y >= 0 and z >= 0 and x < nx and y < ny and z < nz:
            voxel = voxels[int(x), int(y), int(z)]
            if voxel == SOLID or (voxel == UNVISITED and not visited_only):
                if write:
                    t_starts[count] = t
                    t_ends[count] = stop
                count += 1
        t = following
    if surface > 0:
        if write:
            length = 2 * band / band_samples
            for i in range(band_samples):
                start = surface - band + i * length
                t_starts[count + i] = max(start, np.float32(0))
                t_ends[count + i] = max(start + length, np.float32(0))
        count += band_samples
    return count


@parallel
def march(
    origins, directions, near, far, limits, jitter, surfaces, voxels, grid_origin, voxel_size,
    min_step, cone, band, band_samples, visited_only, offsets, t_starts, t_ends, write,
):  # fmt: skip
    """Count samples into offsets[1:], or write them where offsets says."""
    for ray in numba.prange(len(origins)):
        first = offsets[ray] if write else 0
        count = _march_ray(
            origins[ray], directions[ray], near[ray], far[ray], limits[ray], jitter[ray],
            surfaces[ray],
            voxels, grid_origin, voxel_size, min_step, cone, band, band_samples, visited_only,
            t_starts[first:], t_ends[first:], write,
        )  # fmt: skip
        if not write:
            offsets[ray + 1] = count


@parallel
def composite(densities, colors, t_starts, t_ends, offsets, sums, weights):
    """Write sums (R, 5) = colour, distance, opacity, and weights (N,)."""
    one = np.float32(1)
    for ray in numba.prange(len(offsets) - 1):
        transmittance = one
        red = green = blue = distance = opacity = np.float32(0)
        for n in range(offsets[ray], offsets[ray + 1]):
            weight = np.float32(0)
            if transmittance >= MIN_TRANSMITTANCE:
                kept = math.exp(-densities[n] * (t_ends[n] - t_starts[n]))
                weight = transmittance * (one - kept)
                transmittance *= kept
                red += weight * colors[n, 0]
                green += weight * colors[n, 1]
                blue += weight * colors[n, 2]
                distance += weight * (t_starts[n] + t_ends[n]) * np.float32(0.5)
                opacity += weight
            weights[n] = weight
        sums[ray, 0], sums[ray, 1], sums[ray, 2] = red, green, blue
        sums[ray, 3], sums[ray, 4] = distance, opacity


@parallel
def composite_backward(
    densities, colors, t_starts, t_ends, offsets, weights,
    sums_gradient, weights_gradient, densities_gradient, colors_gradient,
):  # fmt: skip
    """Write the gradients of the loss to densities (N,) and colors (N, 3).

    With g_i = dL/dweight_i: dL/ddensity_i = delta_i (T_{i+1} g_i - sum_{j>i} weight_j g_j).
    """
    for ray in numba.prange(len(offsets) - 1):
        r, g, b = sums_gradient[ray, 0], sums_gradient[ray, 1], sums_gradient[ray, 2]
        d, o = sums_gradient[ray, 3], sums_gradient[ray, 4]
        transmittance = np.float32(1)
        behind = np.float32(0)
        for n in range(offsets[ray], offsets[ray + 1]):
            middle = (t_starts[n] + t_ends[n]) * np.float32(0.5)
            behind += weights[n] * (
                r * colors[n, 0] + g * colors[n, 1] + b * colors[n, 2] + d * middle + o
                + weights_gradient[n]
            )  # fmt: skip
        for n in range(offsets[ray], offsets[ray + 1]):
            weight = weights[n]
            colors_gradient[n, 0] = weight * r
            colors_gradient[n, 1] = weight * g
            colors_gradient[n, 2] = weight * b
            if transmittance < MIN_TRANSMITTANCE:
                densities_gradient[n] = 0
                continue
            middle = (t_starts[n] + t_ends[n]) * np.float32(0.5)
            along = (
                r * colors[n, 0] + g * colors[n, 1] + b * colors[n, 2] + d * middle + o
                + weights_gradient[n]
            )  # fmt: skip
            behind -= weight * along
            delta = t_ends[n] - t_starts[n]
            transmittance *= math.exp(-densities[n] * delta)
            densities_gradient[n] = delta * (transmittance * along - behind)


@parallel
def median_distance(weights, t_starts, t_ends, offsets, distances):
    """Write the distance (R,) at which half of the light is absorbed; 0 where it never is."""
    for ray in numba.prange(len(offsets) - 1):
        absorbed = np.float32(0)
        distances[ray] = 0
        for n in range(offsets[ray], offsets[ray + 1]):
            if absorbed + weights[n] >= np.float32(0.5):
                share = (np.float32(0.5) - absorbed) / weights[n]
                distances[ray] = t_starts[n] + share * (t_ends[n] - t_starts[n])
                break
            absorbed += weights[n]


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
    """Count hits and passes with a voxel walk (Amanatides and Woo 1987); serial, for the counts."""
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


@parallel
def states(hits, passes, result):
    """Write the state of every voxel, all arrays (nx, ny, nz)."""
    for x in numba.prange(hits.shape[0]):
        for y in range(hits.shape[1]):
            for z in range(hits.shape[2]):
                result[x, y, z] = state(hits[x, y, z], passes[x, y, z])
