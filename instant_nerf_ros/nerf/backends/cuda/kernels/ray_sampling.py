"""Triton kernels that draw rays from keyframes, as rays.draw does, and keep their error maps."""
import math

import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants

COLUMNS, ROWS = tl.constexpr(constants.TILE_COLUMNS), tl.constexpr(constants.TILE_ROWS)
TILES = tl.constexpr(constants.TILES)
LANES = tl.constexpr(triton.next_power_of_2(constants.TILES))
TILE_BITS = tl.constexpr(constants.TILES.bit_length())  # halvings that find one of so many tiles
ERROR_FLOOR, NO_ERROR = tl.constexpr(constants.ERROR_FLOOR), tl.constexpr(constants.NO_ERROR)
MIN_COSINE = tl.constexpr(constants.MIN_COSINE)
MILLIMETRE = tl.constexpr(constants.MILLIMETRE)
LOG2_KEPT = tl.constexpr(math.log2(1 - constants.ERROR_RATE))


@triton.jit
def _find(sums, first, last, share, bits):
    """Return the first place in first..last, int32, where increasing sums are not below share."""
    for _ in range(bits):
        middle = (first + last) // 2
        below = tl.load(sums + middle) < share
        first, last = tl.where(below, tl.minimum(middle + 1, last), first), tl.where(
            below, last, middle)
    return first


@triton.jit(do_not_specialize=['rays', 'by_error', 'seed', 'count', 'bits'])
def sample_rays(
    seed, rays, by_error, count, bits, weights, errors, images, widths, heights, rows, poses,
    gains, offsets, directions,
    origins, along, surfaces, pixels, chosen, tiles, recorded, BLOCK: tl.constexpr,
):  # fmt: skip
    """Draw rays (R,), the first ones, by_error, where the error is.

    Of each of count keyframes: weights, cumulative; errors (TILES,), cumulative; the address of
    its image: depths (uint16, millimetres), then colours (uint8, RGB); size; row of its first
    pixel in directions; pose (3, 4); gains and offsets of its colours.
    """
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = n < rays
    total = tl.load(weights + count - 1)
    k = tl.zeros_like(n)
    k = _find(weights, k, k + count - 1, tl.rand(seed, n * 4) * total, bits)
    width, height = tl.load(widths + k), tl.load(heights + k)
    across, down = tl.rand(seed, n * 4 + 1), tl.rand(seed, n * 4 + 2)
    first = k * TILES
    share = tl.rand(seed, n * 4 + 3) * tl.load(errors + first + TILES - 1)
    tile = _find(errors, first, first + TILES - 1, share, TILE_BITS) - first
    u = tl.where(n < by_error, (tile % COLUMNS + across) * width / COLUMNS, across * width)
    v = tl.where(n < by_error, (tile // COLUMNS + down) * height / ROWS, down * height)
    u = tl.minimum(u.to(tl.int32), width - 1)
    v = tl.minimum(v.to(tl.int32), height - 1)
    tile = v * ROWS // height * COLUMNS + u * COLUMNS // width
    pixel = v * width + u
    row = (tl.load(rows + k) + pixel) * 3
    x, y, z = tl.load(directions + row), tl.load(directions + row + 1), tl.load(
        directions + row + 2)
    address = tl.load(images + k)
    depth = tl.load(address.to(tl.pointer_type(tl.uint16)) + pixel, mask=there, other=0)
    depth = depth.to(tl.float32) * MILLIMETRE
    surface = tl.where(z > MIN_COSINE, depth / tl.maximum(z, MIN_COSINE), 0.0)
    tl.store(surfaces + n, surface, mask=there)
    pose = poses + k * 12
    for axis in tl.static_range(3):
        turned = (tl.load(pose + axis * 4) * x + tl.load(pose + axis * 4 + 1) * y
                  + tl.load(pose + axis * 4 + 2) * z)
        tl.store(along + n * 3 + axis, turned, mask=there)
        tl.store(origins + n * 3 + axis, tl.load(pose + axis * 4 + 3), mask=there)
    colors = address.to(tl.pointer_type(tl.uint8)) + 2 * width * height + 3 * pixel
    for channel in tl.static_range(3):
        color = tl.load(colors + channel, mask=there, other=0)
        tl.store(recorded + n * 3 + channel, color, mask=there)
        gain = tl.load(gains + k * 3 + channel)
        offset = tl.load(offsets + k * 3 + channel)
        changed = (color.to(tl.float32) - 127.5) * gain + 255 * offset + 128
        changed = tl.minimum(tl.maximum(changed, 0.0), 255.0)
        tl.store(pixels + n * 3 + channel, changed.to(tl.int32).to(tl.uint8), mask=there)
    tl.store(chosen + n, k, mask=there)
    tl.store(tiles + n, tile, mask=there)


@triton.jit(do_not_specialize=['rays'])
def accumulate_errors(colors, pixels, chosen, tiles, rays, sums, BLOCK: tl.constexpr):
    """Add the errors of rays (R,), and their numbers, to those of their tiles (K, TILES, 2)."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = n < rays
    error = tl.zeros((BLOCK,), tl.float32)
    for channel in tl.static_range(3):
        pixel = tl.load(pixels + n * 3 + channel, mask=there, other=0).to(tl.float32) / 255
        error += tl.abs(tl.load(colors + n * 3 + channel, mask=there, other=0.0) - pixel) / 3
    place = tl.load(chosen + n, mask=there, other=0) * TILES + tl.load(
        tiles + n, mask=there, other=0)
    tl.atomic_add(sums + place * 2, error, mask=there, sem='relaxed')
    tl.atomic_add(sums + place * 2 + 1, tl.full((BLOCK,), 1.0, tl.float32), mask=there,
                  sem='relaxed')  # fmt: skip


@triton.jit
def update_error_map(sums, errors, shares):
    """Take the sums of a keyframe into its errors (TILES,), and forget them; see ErrorMap.learn.

    shares (TILES,) become the cumulative weights with which its tiles are drawn.
    """
    tile = tl.arange(0, LANES)
    there = tile < TILES
    place = tl.program_id(0) * TILES + tile
    found = tl.load(sums + place * 2, mask=there, other=0.0)
    count = tl.load(sums + place * 2 + 1, mask=there, other=0.0)
    nothing = tl.zeros_like(found)
    tl.store(sums + place * 2, nothing, mask=there)
    tl.store(sums + place * 2 + 1, nothing, mask=there)
    error = tl.load(errors + place, mask=there, other=0.0)
    # As if they had come one after another, each with the share RATE.
    error += (1 - tl.exp2(count * LOG2_KEPT)) * (found / tl.maximum(count, 1.0) - error)
    error = tl.where(there, error, 0.0)
    tl.store(errors + place, error, mask=there)
    weight = error + (ERROR_FLOOR / TILES * tl.sum(error, 0) + NO_ERROR)
    tl.store(shares + place, tl.cumsum(weight, 0), mask=there)
