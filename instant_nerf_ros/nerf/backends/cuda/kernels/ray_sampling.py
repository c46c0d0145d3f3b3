"""Triton kernels that sample rays from the keyframes, and update the error map."""
import math

import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants

COLUMNS, ROWS = tl.constexpr(constants.TILE_COLUMNS), tl.constexpr(constants.TILE_ROWS)
TILES = tl.constexpr(constants.TILES)
LANES = tl.constexpr(triton.next_power_of_2(constants.TILES))
SEARCH_STEPS = tl.constexpr(constants.TILES.bit_length())  # of a binary search over the tiles
ERROR_FLOOR, NO_ERROR = tl.constexpr(constants.ERROR_FLOOR), tl.constexpr(constants.NO_ERROR)
MIN_COSINE = tl.constexpr(constants.MIN_COSINE)
MILLIMETRE = tl.constexpr(constants.MILLIMETRE)
OPAQUE_ALPHA = tl.constexpr(constants.OPAQUE_ALPHA)
MIDDLE = tl.constexpr(255 * constants.EXPOSURE_MIDDLE)
LOG2_KEPT = tl.constexpr(math.log2(1 - constants.ERROR_RATE))


@triton.jit
def _binary_search(sums, first, last, value, steps):
    """Return the first index in first..last, int32, where increasing sums are at least value."""
    for _ in range(steps):
        middle = (first + last) // 2
        below = tl.load(sums + middle) < value
        first, last = tl.where(below, tl.minimum(middle + 1, last), first), tl.where(
            below, last, middle)
    return first


@triton.jit(do_not_specialize=['rays', 'by_error', 'seed', 'count', 'search_steps'])
def sample_rays(
    seed, rays, by_error, count, search_steps, weights, errors, images, widths, heights,
    first_direction, with_alpha, poses, gains, offsets, directions, origins, ray_directions,
    surfaces, pixels, keyframes, tiles, recorded, alphas, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sample rays (R,), the first by_error of them by the error map: see rays.sample_rays.

    Of each of count keyframes: weights, cumulative; errors (TILES,), cumulative; images, the
    address of its depths (uint16, millimetres), followed by its colors (uint8, RGB) and, if
    with_alpha is not 0, its alphas (uint8); widths and heights; first_direction, the row of its
    first pixel in directions; poses (3, 4); gains (3,) and offsets (3,). The arrays from origins
    on are written: see rays.Rays and rays.RaySources.
    """
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = n < rays
    total = tl.load(weights + count - 1)
    k = tl.zeros_like(n)
    k = _binary_search(weights, k, k + count - 1, tl.rand(seed, n * 4) * total, search_steps)
    width, height = tl.load(widths + k), tl.load(heights + k)
    across, down = tl.rand(seed, n * 4 + 1), tl.rand(seed, n * 4 + 2)
    first = k * TILES
    error = tl.rand(seed, n * 4 + 3) * tl.load(errors + first + TILES - 1)
    tile = _binary_search(errors, first, first + TILES - 1, error, SEARCH_STEPS) - first
    u = tl.where(n < by_error, (tile % COLUMNS + across) * width / COLUMNS, across * width)
    v = tl.where(n < by_error, (tile // COLUMNS + down) * height / ROWS, down * height)
    u = tl.minimum(u.to(tl.int32), width - 1)
    v = tl.minimum(v.to(tl.int32), height - 1)
    tile = v * ROWS // height * COLUMNS + u * COLUMNS // width
    pixel = v * width + u
    row = (tl.load(first_direction + k) + pixel) * 3
    x, y, z = tl.load(directions + row), tl.load(directions + row + 1), tl.load(
        directions + row + 2)
    address = tl.load(images + k)
    depth = tl.load(address.to(tl.pointer_type(tl.uint16)) + pixel, mask=mask, other=0)
    depth = depth.to(tl.float32) * MILLIMETRE
    # Behind the camera, where only a fisheye lens has rays, depth is the distance along the ray.
    surface = tl.where(
        z > MIN_COSINE, depth / tl.maximum(z, MIN_COSINE), tl.where(z > 0, 0.0, depth))
    tl.store(surfaces + n, surface, mask=mask)
    pose = poses + k * 12
    for axis in tl.static_range(3):
        rotated = (tl.load(pose + axis * 4) * x + tl.load(pose + axis * 4 + 1) * y
                   + tl.load(pose + axis * 4 + 2) * z)
        tl.store(ray_directions + n * 3 + axis, rotated, mask=mask)
        tl.store(origins + n * 3 + axis, tl.load(pose + axis * 4 + 3), mask=mask)
    colors = address.to(tl.pointer_type(tl.uint8)) + 2 * width * height + 3 * pixel
    for channel in tl.static_range(3):
        color = tl.load(colors + channel, mask=mask, other=0)
        tl.store(recorded + n * 3 + channel, color, mask=mask)
        gain = tl.load(gains + k * 3 + channel)
        offset = tl.load(offsets + k * 3 + channel)
        corrected = (color.to(tl.float32) - MIDDLE) * gain + 255 * offset + (MIDDLE + 0.5)
        corrected = tl.minimum(tl.maximum(corrected, 0.0), 255.0)
        tl.store(pixels + n * 3 + channel, corrected.to(tl.int32).to(tl.uint8), mask=mask)
    behind = address.to(tl.pointer_type(tl.uint8)) + 5 * width * height
    transparent = tl.load(with_alpha + k) != 0
    alpha = tl.load(behind + pixel, mask=mask & transparent, other=OPAQUE_ALPHA)
    tl.store(alphas + n, alpha, mask=mask)
    tl.store(keyframes + n, k, mask=mask)
    tl.store(tiles + n, tile, mask=mask)


@triton.jit(do_not_specialize=['rays'])
def accumulate_errors(colors, pixels, keyframes, tiles, rays, sums, BLOCK: tl.constexpr):
    """Add the errors of rays (R,), and their numbers, to the sums (K, TILES, 2) of their tiles."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = n < rays
    error = tl.zeros((BLOCK,), tl.float32)
    for channel in tl.static_range(3):
        pixel = tl.load(pixels + n * 3 + channel, mask=mask, other=0).to(tl.float32) / 255
        error += tl.abs(tl.load(colors + n * 3 + channel, mask=mask, other=0.0) - pixel) / 3
    index = tl.load(keyframes + n, mask=mask, other=0) * TILES + tl.load(
        tiles + n, mask=mask, other=0)
    tl.atomic_add(sums + index * 2, error, mask=mask, sem='relaxed')
    tl.atomic_add(sums + index * 2 + 1, tl.full((BLOCK,), 1.0, tl.float32), mask=mask,
                  sem='relaxed')  # fmt: skip


@triton.jit
def update_error_map(sums, errors, shares):
    """Update the errors (TILES,) of a keyframe from its sums, and clear these: see ErrorMap.

    shares (TILES,) become the cumulative weights with which its tiles are sampled.
    """
    tile = tl.arange(0, LANES)
    mask = tile < TILES
    index = tl.program_id(0) * TILES + tile
    total = tl.load(sums + index * 2, mask=mask, other=0.0)
    count = tl.load(sums + index * 2 + 1, mask=mask, other=0.0)
    zero = tl.zeros_like(total)
    tl.store(sums + index * 2, zero, mask=mask)
    tl.store(sums + index * 2 + 1, zero, mask=mask)
    error = tl.load(errors + index, mask=mask, other=0.0)
    # The same as one update after the other, each with the share ERROR_RATE.
    error += (1 - tl.exp2(count * LOG2_KEPT)) * (total / tl.maximum(count, 1.0) - error)
    error = tl.where(mask, error, 0.0)
    tl.store(errors + index, error, mask=mask)
    weight = error + (ERROR_FLOOR / TILES * tl.sum(error, 0) + NO_ERROR)
    tl.store(shares + index, tl.cumsum(weight, 0), mask=mask)
