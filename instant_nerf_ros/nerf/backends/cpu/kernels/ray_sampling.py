"""Numba kernels that sample rays from the keyframes, and update the error map."""
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import jit, prefetch
from instant_nerf_ros.nerf.constants import ERROR_RATE, SAMPLING_POWER, TILES
from instant_nerf_ros.nerf.constants import SAMPLING_PRIOR as PRIOR
from instant_nerf_ros.nerf.constants import TILE_COLUMNS as COLUMNS
from instant_nerf_ros.nerf.constants import TILE_ROWS as ROWS

ERROR_FLOOR, NO_ERROR = np.float32(constants.ERROR_FLOOR), np.float32(constants.NO_ERROR)
MIN_COSINE, MILLIMETRE = np.float32(constants.MIN_COSINE), np.float32(constants.MILLIMETRE)
MIDDLE = np.float32(255 * constants.EXPOSURE_MIDDLE)
ROUNDED_MIDDLE = MIDDLE + np.float32(0.5)  # so that conversion to an integer rounds
RANDOM_NUMBERS = 4  # of a ray: keyframe, tile, horizontal and vertical position

# The arrays of the keyframes, their exposure and error map, see capture/keyframes.py.
Store = namedtuple('Store', [
    'colors', 'depths', 'directions', 'T_world_camera', 'first', 'first_direction', 'widths',
    'heights', 'gains', 'offsets', 'errors', 'ray_counts'])
# Sampled rays, R: those of rays.Rays, pixels uint8; keyframes, tiles and row in the pool of pixels
# (R,) int64, recorded (R, 3) uint8.
SampledRays = namedtuple(
    'SampledRays', 'origins directions surfaces pixels keyframes tiles rows recorded')


@jit
def sample_rays(store, random, by_error, sums, result):
    """Sample rays, the first by_error of them by the error map: see rays.sample_rays.

    random (R, RANDOM_NUMBERS) in [0, 1); sums (K,): buffer for the cumulative weights of the
    keyframes. Writes result, and counts the rays in store.
    """
    total = 0.0
    for k in range(len(sums)):
        total += (store.ray_counts[k] + PRIOR) ** -SAMPLING_POWER
        sums[k] = total
    for ray in range(len(random)):
        k = min(np.searchsorted(sums, random[ray, 0] * total, 'right'), len(sums) - 1)
        width, height = store.widths[k], store.heights[k]
        across, down = random[ray, 2], random[ray, 3]
        if ray < by_error:
            tile = _sample_tile(store.errors[k], np.float32(random[ray, 1]))
            across = (tile % COLUMNS + across) / COLUMNS
            down = (tile // COLUMNS + down) / ROWS
        u, v = min(int(across * width), width - 1), min(int(down * height), height - 1)
        result.keyframes[ray] = k
        result.tiles[ray] = v * ROWS // height * COLUMNS + u * COLUMNS // width
        result.rows[ray] = row = v * width + u
        store.ray_counts[k] += 1
        prefetch(np.uintp(store.colors.ctypes.data + 3 * (store.first[k] + row)))
        prefetch(np.uintp(store.depths.ctypes.data + 2 * (store.first[k] + row)))
        prefetch(np.uintp(store.directions.ctypes.data + 12 * (store.first_direction[k] + row)))
    for ray in range(len(random)):
        _write_ray(ray, store, result)


@jit
def _sample_tile(errors, random):
    """Return a tile of an image, sampled in proportion to the errors (TILES,)."""
    total = np.float32(0)
    for error in errors:
        total += error
    least = ERROR_FLOOR * total / np.float32(TILES) + NO_ERROR
    random *= total + np.float32(TILES) * least
    below = np.float32(0)
    for tile in range(TILES):
        below += errors[tile] + least
        if below >= random:
            return tile
    return TILES - 1


@jit
def _write_ray(ray, store, result):
    """Write the ray of a sampled pixel."""
    k, row = result.keyframes[ray], result.rows[ray]
    pose, direction = store.T_world_camera[k], store.directions[store.first_direction[k] + row]
    for axis in range(3):
        result.origins[ray, axis] = pose[axis, 3]
        along = np.float32(0)
        for other in range(3):
            along += np.float32(pose[axis, other]) * direction[other]
        result.directions[ray, axis] = along
    row += store.first[k]
    # Depth is measured along the optical axis, so it is unreliable beside the camera.
    cosine, depth = direction[2], np.float32(store.depths[row]) * MILLIMETRE
    # Behind the camera, where only a fisheye lens has rays, depth is the distance along the ray.
    if cosine > MIN_COSINE:
        depth /= cosine
    elif cosine > 0:
        depth = np.float32(0)
    result.surfaces[ray] = depth
    for channel in range(3):
        color = store.colors[row, channel]
        result.recorded[ray, channel] = color
        gain, offset = store.gains[k, channel], store.offsets[k, channel]
        corrected = (color - MIDDLE) * gain + np.float32(255) * offset + ROUNDED_MIDDLE
        result.pixels[ray, channel] = np.uint8(
            min(max(corrected, np.float32(0)), np.float32(255)))


@jit
def update_error_map(keyframes, tiles, pixels, colors, errors, sums, counts):
    """Update errors with those of rays: see Keyframes.update_error_map and ErrorMap.update.

    keyframes, tiles (R,); pixels (R, 3) uint8; colors (R, 3) in [0, 1]; errors, sums, counts
    (K, TILES): the last two are buffers, zero before and after.
    """
    for ray in range(len(keyframes)):
        error = np.float32(0)
        for channel in range(3):
            error += abs(colors[ray, channel] - pixels[ray, channel] / np.float32(255))
        k, tile = keyframes[ray], tiles[ray]
        sums[k, tile] += error / np.float32(3)
        counts[k, tile] += 1
    for ray in range(len(keyframes)):
        k, tile = keyframes[ray], tiles[ray]
        count = counts[k, tile]
        if count > 0:
            change = sums[k, tile] / count - errors[k, tile]
            errors[k, tile] += np.float32((1 - (1 - ERROR_RATE) ** count) * change)
            sums[k, tile] = counts[k, tile] = 0
