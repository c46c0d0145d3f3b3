"""Triton kernels of the networks: colours of samples, and the way back through all layers.

A few programs share the samples, and keep the sums of their matrices' gradients in registers
until the end: no layer of a sample is written to memory but what the next kernel reads. What the
way back needs of the way there is computed again, which costs less than to keep it.
"""
import triton
import triton.language as tl

from instant_nerf_ros.nerf.backends.cuda.kernels.hash_grid import encode
from instant_nerf_ros.nerf.backends.cuda.kernels.layers import (
    add_gradients,
    color_network,
    harmonics,
    relu,
    weights,
)
from instant_nerf_ros.nerf.backends.cuda.kernels.ray_tracing import SAMPLE


@triton.jit
def _inputs(n, there, links, directions, geometries):
    """Return the two parts of the colour network's inputs for samples (B,)."""
    ray = tl.load(links + n * 2, mask=there, other=0)
    x = tl.load(directions + ray * 3, mask=there, other=0.0)
    y = tl.load(directions + ray * 3 + 1, mask=there, other=0.0)
    z = tl.load(directions + ray * 3 + 2, mask=there, other=0.0)
    c = tl.arange(0, 16)[None, :]
    geometry = tl.load(geometries + (n[:, None] * 16 + c), mask=there[:, None], other=0.0)
    return harmonics(x, y, z), geometry


@triton.jit
def color(
    links, directions, geometries, first, second, last, count, capacity, samples,
    HIDDEN: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the colours of samples (N, SAMPLE), blocks shared among the programs."""
    first_d = weights(first, HIDDEN, 16, 32, WIDTH, 16, True)
    first_g = weights(first + 16, HIDDEN, 16, 32, WIDTH, 16, True)
    to_second = weights(second, HIDDEN, HIDDEN, HIDDEN, WIDTH, WIDTH, True)
    to_colors = weights(last, 3, HIDDEN, HIDDEN, 16, WIDTH, True)
    total = tl.minimum(tl.load(count), capacity)
    for begin in range(tl.program_id(0) * BLOCK, total, tl.num_programs(0) * BLOCK):
        n = begin + tl.arange(0, BLOCK)
        there = n < total
        directional, geometry = _inputs(n, there, links, directions, geometries)
        rendered, _, _ = color_network(directional, geometry, first_d, first_g, to_second, to_colors)
        c = tl.arange(0, 16)[None, :]
        tl.store(samples + (n[:, None] * SAMPLE + 5 + c), rendered, mask=there[:, None] & (c < 3))


@triton.jit
def _half(gradient):
    """Return a gradient in half precision, as large as that can be; NaN stays NaN."""
    bounded = tl.minimum(tl.maximum(gradient, -60000.0), 60000.0)
    return tl.where(gradient == gradient, bounded, gradient).to(tl.float16)


@triton.jit
def color_back(
    links, directions, geometries, first, second, last, gradients, count, capacity,
    first_gradients, second_gradients, last_gradients,
    HIDDEN: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Take slopes (N, 4) back: gradients of the matrices are added, geometries replaced by theirs.

    The slope of the log density goes into the first of these.
    """
    first_d = weights(first, HIDDEN, 16, 32, WIDTH, 16, True)
    first_g = weights(first + 16, HIDDEN, 16, 32, WIDTH, 16, True)
    to_second = weights(second, HIDDEN, HIDDEN, HIDDEN, WIDTH, WIDTH, True)
    to_colors = weights(last, 3, HIDDEN, HIDDEN, 16, WIDTH, True)
    sum_d, sum_g = tl.zeros((WIDTH, 16), tl.float32), tl.zeros((WIDTH, 16), tl.float32)
    sum_second = tl.zeros((WIDTH, WIDTH), tl.float32)
    sum_last = tl.zeros((16, WIDTH), tl.float32)
    total = tl.minimum(tl.load(count), capacity)
    for begin in range(tl.program_id(0) * BLOCK, total, tl.num_programs(0) * BLOCK):
        n = begin + tl.arange(0, BLOCK)
        there = n < total
        directional, geometry = _inputs(n, there, links, directions, geometries)
        _, hidden1, hidden2 = color_network(directional, geometry, first_d, first_g, to_second, to_colors)
        c = tl.arange(0, 16)[None, :]
        slope = _half(tl.load(
            gradients + (n[:, None] * 4 + c), mask=there[:, None] & (c < 3), other=0.0))
        sum_last = tl.dot(tl.trans(slope), hidden2, sum_last)
        back2 = _half(tl.where(hidden2 > 0, tl.dot(slope, tl.trans(to_colors)), 0.0))
        sum_second = tl.dot(tl.trans(back2), hidden1, sum_second)
        back1 = _half(tl.where(hidden1 > 0, tl.dot(back2, tl.trans(to_second)), 0.0))
        sum_d = tl.dot(tl.trans(back1), directional, sum_d)
        sum_g = tl.dot(tl.trans(back1), geometry, sum_g)
        by_log = tl.load(gradients + n * 4 + 3, mask=there, other=0.0)[:, None]
        by_geometry = tl.dot(back1, tl.trans(first_g)) + tl.where(c == 0, by_log, 0.0)
        tl.store(geometries + (n[:, None] * 16 + c), _half(by_geometry), mask=there[:, None])
    add_gradients(first_gradients, sum_d, HIDDEN, 16, 32)
    add_gradients(first_gradients + 16, sum_g, HIDDEN, 16, 32)
    add_gradients(second_gradients, sum_second, HIDDEN, HIDDEN, HIDDEN)
    add_gradients(last_gradients, sum_last, 3, HIDDEN, HIDDEN)


@triton.jit
def geometry_back(
    encodings, geometries, hidden, output, count, capacity, hidden_gradients, output_gradients,
    ENCODED: tl.constexpr, COLUMNS: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Take the gradients of geometries back: of the matrices added, encodings replaced by theirs.

    Of the COLUMNS of the encodings the first ENCODED are real.
    """
    to_hidden = weights(hidden, HIDDEN, ENCODED, ENCODED, WIDTH, COLUMNS, True)
    to_geometry = weights(output, 16, HIDDEN, HIDDEN, 16, WIDTH, True)
    sum_hidden = tl.zeros((WIDTH, COLUMNS), tl.float32)
    sum_output = tl.zeros((16, WIDTH), tl.float32)
    total = tl.minimum(tl.load(count), capacity)
    for begin in range(tl.program_id(0) * BLOCK, total, tl.num_programs(0) * BLOCK):
        n = begin + tl.arange(0, BLOCK)
        there = (n < total)[:, None]
        c = tl.arange(0, COLUMNS)[None, :]
        encoding = tl.load(encodings + (n[:, None] * COLUMNS + c), mask=there, other=0.0)
        g = tl.arange(0, 16)[None, :]
        slope = tl.load(geometries + (n[:, None] * 16 + g), mask=there, other=0.0)
        layer = relu(tl.dot(encoding, to_hidden))
        sum_output = tl.dot(tl.trans(slope), layer, sum_output)
        back = _half(tl.where(layer > 0, tl.dot(slope, tl.trans(to_geometry)), 0.0))
        sum_hidden = tl.dot(tl.trans(back), encoding, sum_hidden)
        by_encoding = _half(tl.dot(back, tl.trans(to_hidden)))
        tl.store(encodings + (n[:, None] * COLUMNS + c), by_encoding, mask=there)
    add_gradients(hidden_gradients, sum_hidden, HIDDEN, ENCODED, ENCODED)
    add_gradients(output_gradients, sum_output, 16, HIDDEN, HIDDEN)


@triton.jit(do_not_specialize=['number'])
def evaluate(
    positions, number, table, scales, entries, hidden, output, results,
    LEVELS: tl.constexpr, SLOTS: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write what the geometry network says at positions (N, 3) in [0, 1]: results (N, 16)."""
    to_hidden = weights(hidden, HIDDEN, LEVELS * 4, LEVELS * 4, WIDTH, SLOTS * 4, True)
    to_geometry = weights(output, 16, HIDDEN, HIDDEN, 16, WIDTH, True)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = n < number
    x = tl.load(positions + n * 3, mask=there, other=0.0)
    y = tl.load(positions + n * 3 + 1, mask=there, other=0.0)
    z = tl.load(positions + n * 3 + 2, mask=there, other=0.0)
    encoding = encode(x, y, z, there, table, scales, entries, LEVELS, SLOTS).to(tl.float16)
    geometry = tl.dot(relu(tl.dot(encoding, to_hidden)), to_geometry)
    c = tl.arange(0, 16)[None, :]
    tl.store(results + (n[:, None] * 16 + c), geometry, mask=there[:, None])
