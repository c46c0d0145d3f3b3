"""Numba kernels of rays: marching and compositing.

Each does what the function of the same name in reference_rays.py says.
"""
import math

import numba
import numpy as np

from instant_nerf_ros.nerf.backends.numba_grid import jit, parallel

MIN_TRANSMITTANCE = np.float32(1e-3)
UNVISITED, SOLID = 0, 2  # what the field says of a voxel


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
