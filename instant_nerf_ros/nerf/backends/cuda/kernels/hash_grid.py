"""Triton kernels of the hash grid: interpolation of the table, and its backward pass."""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants

FEATURES = tl.constexpr(constants.FEATURES)
PRIME_Y, PRIME_Z = tl.constexpr(constants.PRIMES[1]), tl.constexpr(constants.PRIMES[2])


@triton.jit
def _lower_vertex(position, scale):
    """Return the lower vertex of the cell along an axis, uint32, and the fraction above it."""
    scaled = position * scale + 0.5
    low = tl.floor(scaled)
    return low.to(tl.int32).to(tl.uint32, bitcast=True), scaled - low


@triton.jit
def _corner(i, j, k, u, v, w, hash_mask, CORNER: tl.constexpr):
    """Return the entry and the weight of one of the eight corners of a cell."""
    if CORNER & 1:
        i, u = i + 1, 1 - u
    if CORNER & 2:
        j, v = j + 1, 1 - v
    if CORNER & 4:
        k, w = k + 1, 1 - w
    index = (i ^ (j * PRIME_Y) ^ (k * PRIME_Z)) & hash_mask
    return index.to(tl.int32), (1 - u) * (1 - v) * (1 - w)


@triton.jit
def encode(
    x, y, z, mask, table, scales, entries, LEVELS: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    """Interpolate the half-precision table at positions (B,): return (B, 4 SLOTS) float32.

    SLOTS is LEVELS or more, a power of two; columns without a level and rows outside the mask are
    zero. All levels of a position are loaded at once, 64 reads of eight bytes, so that their
    latencies overlap.
    """
    level = tl.arange(0, SLOTS)
    scale = tl.load(scales + level, mask=level < LEVELS, other=0.0)[None, :]
    i, u = _lower_vertex(x[:, None], scale)
    j, v = _lower_vertex(y[:, None], scale)
    k, w = _lower_vertex(z[:, None], scale)
    hash_mask = (entries - 1).to(tl.uint32)
    feature = tl.arange(0, FEATURES)[None, None, :]
    loaded = (mask[:, None] & (level < LEVELS)[None, :])[:, :, None]
    encoded = tl.zeros((x.shape[0], SLOTS, FEATURES), tl.float32)
    for corner in tl.static_range(8):
        index, weight = _corner(i, j, k, u, v, w, hash_mask, corner)
        first = (level[None, :] * entries + index) * FEATURES
        values = tl.load(table + (first[:, :, None] + feature), mask=loaded, other=0.0)
        encoded += weight[:, :, None] * values
    return tl.reshape(encoded, (x.shape[0], SLOTS * FEATURES))


@triton.jit
def encode_backward(
    positions, encoding_gradients, count, capacity, scales, table_gradients, entries, extent,
    COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add the gradients (N, COLUMNS) of encodings, half, to those of the table, half.

    Programs: blocks of samples x levels. The four features of an entry are adjacent, so that they
    are two packed additions (f16x2), or a single one on the newest devices.
    """
    level = tl.program_id(1)
    total = tl.minimum(tl.load(count), capacity)
    first = tl.program_id(0) * BLOCK
    if first < total:
        n = first + tl.arange(0, BLOCK)
        mask = n < total
        scale = tl.load(scales + level)
        i, u = _lower_vertex(
            tl.load(positions + n * 3, mask=mask, other=0.0) / extent + 0.5, scale)
        j, v = _lower_vertex(
            tl.load(positions + n * 3 + 1, mask=mask, other=0.0) / extent + 0.5, scale)
        k, w = _lower_vertex(
            tl.load(positions + n * 3 + 2, mask=mask, other=0.0) / extent + 0.5, scale)
        feature = tl.arange(0, FEATURES)[None, :]
        gradient = tl.load(
            encoding_gradients + (n[:, None] * COLUMNS + level * FEATURES + feature),
            mask=mask[:, None], other=0.0).to(tl.float32)
        hash_mask = (entries - 1).to(tl.uint32)
        for corner in tl.static_range(8):
            index, weight = _corner(i, j, k, u, v, w, hash_mask, corner)
            entry = (level * entries + index) * FEATURES
            tl.atomic_add(
                table_gradients + (entry[:, None] + feature),
                (weight[:, None] * gradient).to(tl.float16), mask=mask[:, None], sem='relaxed')
