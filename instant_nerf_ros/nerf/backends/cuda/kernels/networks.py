"""Triton kernels of the networks: colors of samples, and the backward pass through all layers.

A few programs share the samples. Each keeps the sums of its gradients of the matrices in registers
until the end. Of the layers of a sample, only what the next kernel reads is written to memory:
the backward pass computes the others again, which costs less than storing them.
"""
import triton
import triton.language as tl

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cuda.kernels.hash_grid import encode
from instant_nerf_ros.nerf.backends.cuda.kernels.layers import (
    add_gradients,
    color_network,
    load_weights,
    relu,
    spherical_harmonics,
)
from instant_nerf_ros.nerf.backends.cuda.kernels.ray_tracing import SAMPLE_COLUMNS

MAX_GRADIENT = tl.constexpr(constants.MAX_HALF_GRADIENT)


@triton.jit
def _color_inputs(n, mask, links, directions, geometries):
    """Return the two parts of the inputs of the color network for samples (B,)."""
    ray = tl.load(links + n * 2, mask=mask, other=0)
    x = tl.load(directions + ray * 3, mask=mask, other=0.0)
    y = tl.load(directions + ray * 3 + 1, mask=mask, other=0.0)
    z = tl.load(directions + ray * 3 + 2, mask=mask, other=0.0)
    c = tl.arange(0, 16)[None, :]
    geometry = tl.load(geometries + (n[:, None] * 16 + c), mask=mask[:, None], other=0.0)
    return spherical_harmonics(x, y, z), geometry


@triton.jit
def evaluate_color(
    links, directions, geometries, hidden1, hidden2, output, count, capacity, samples,
    HIDDEN: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the colors of samples (N, SAMPLE_COLUMNS); the programs share them in blocks."""
    directions_weights = load_weights(hidden1, HIDDEN, 16, 32, WIDTH, 16, True)
    features_weights = load_weights(hidden1 + 16, HIDDEN, 16, 32, WIDTH, 16, True)
    hidden2_weights = load_weights(hidden2, HIDDEN, HIDDEN, HIDDEN, WIDTH, WIDTH, True)
    colors_weights = load_weights(output, 3, HIDDEN, HIDDEN, 16, WIDTH, True)
    total = tl.minimum(tl.load(count), capacity)
    for begin in range(tl.program_id(0) * BLOCK, total, tl.num_programs(0) * BLOCK):
        n = begin + tl.arange(0, BLOCK)
        mask = n < total
        harmonics, geometry = _color_inputs(n, mask, links, directions, geometries)
        colors, _, _ = color_network(
            harmonics, geometry, directions_weights, features_weights, hidden2_weights,
            colors_weights)
        c = tl.arange(0, 16)[None, :]
        tl.store(
            samples + (n[:, None] * SAMPLE_COLUMNS + 5 + c), colors, mask=mask[:, None] & (c < 3))


@triton.jit
def _to_half(gradient):
    """Return a gradient in half precision, bounded to MAX_GRADIENT; NaN stays NaN."""
    bounded = tl.minimum(tl.maximum(gradient, -MAX_GRADIENT), MAX_GRADIENT)
    return tl.where(gradient == gradient, bounded, gradient).to(tl.float16)


@triton.jit
def color_backward(
    links, directions, geometries, hidden1, hidden2, output, gradients, count, capacity,
    hidden1_gradients, hidden2_gradients, output_gradients,
    HIDDEN: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add the gradients of the matrices, and replace geometries (N, 16) by their gradients.

    gradients (N, 4): see pixels.loss_and_gradients. The gradient of the log density is added to
    that of the first feature of the geometry.
    """
    directions_weights = load_weights(hidden1, HIDDEN, 16, 32, WIDTH, 16, True)
    features_weights = load_weights(hidden1 + 16, HIDDEN, 16, 32, WIDTH, 16, True)
    hidden2_weights = load_weights(hidden2, HIDDEN, HIDDEN, HIDDEN, WIDTH, WIDTH, True)
    colors_weights = load_weights(output, 3, HIDDEN, HIDDEN, 16, WIDTH, True)
    directions_sum = tl.zeros((WIDTH, 16), tl.float32)
    features_sum = tl.zeros((WIDTH, 16), tl.float32)
    hidden2_sum = tl.zeros((WIDTH, WIDTH), tl.float32)
    output_sum = tl.zeros((16, WIDTH), tl.float32)
    total = tl.minimum(tl.load(count), capacity)
    for begin in range(tl.program_id(0) * BLOCK, total, tl.num_programs(0) * BLOCK):
        n = begin + tl.arange(0, BLOCK)
        mask = n < total
        harmonics, geometry = _color_inputs(n, mask, links, directions, geometries)
        _, layer1, layer2 = color_network(
            harmonics, geometry, directions_weights, features_weights, hidden2_weights,
            colors_weights)
        c = tl.arange(0, 16)[None, :]
        color_gradient = _to_half(tl.load(
            gradients + (n[:, None] * 4 + c), mask=mask[:, None] & (c < 3), other=0.0))
        output_sum = tl.dot(tl.trans(color_gradient), layer2, output_sum)
        gradient2 = _to_half(
            tl.where(layer2 > 0, tl.dot(color_gradient, tl.trans(colors_weights)), 0.0))
        hidden2_sum = tl.dot(tl.trans(gradient2), layer1, hidden2_sum)
        gradient1 = _to_half(
            tl.where(layer1 > 0, tl.dot(gradient2, tl.trans(hidden2_weights)), 0.0))
        directions_sum = tl.dot(tl.trans(gradient1), harmonics, directions_sum)
        features_sum = tl.dot(tl.trans(gradient1), geometry, features_sum)
        density_gradient = tl.load(gradients + n * 4 + 3, mask=mask, other=0.0)[:, None]
        geometry_gradient = tl.dot(gradient1, tl.trans(features_weights)) + tl.where(
            c == 0, density_gradient, 0.0)
        tl.store(
            geometries + (n[:, None] * 16 + c), _to_half(geometry_gradient), mask=mask[:, None])
    add_gradients(hidden1_gradients, directions_sum, HIDDEN, 16, 32)
    add_gradients(hidden1_gradients + 16, features_sum, HIDDEN, 16, 32)
    add_gradients(hidden2_gradients, hidden2_sum, HIDDEN, HIDDEN, HIDDEN)
    add_gradients(output_gradients, output_sum, 3, HIDDEN, HIDDEN)


@triton.jit
def geometry_backward(
    encodings, geometry_gradients, hidden, output, count, capacity, hidden_gradients,
    output_gradients, ENCODED: tl.constexpr, COLUMNS: tl.constexpr, HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add the gradients of the matrices, and replace encodings (N, COLUMNS) by their gradients.

    Of the COLUMNS of the encodings the first ENCODED are real.
    """
    hidden_weights = load_weights(hidden, HIDDEN, ENCODED, ENCODED, WIDTH, COLUMNS, True)
    output_weights = load_weights(output, 16, HIDDEN, HIDDEN, 16, WIDTH, True)
    hidden_sum = tl.zeros((WIDTH, COLUMNS), tl.float32)
    output_sum = tl.zeros((16, WIDTH), tl.float32)
    total = tl.minimum(tl.load(count), capacity)
    for begin in range(tl.program_id(0) * BLOCK, total, tl.num_programs(0) * BLOCK):
        n = begin + tl.arange(0, BLOCK)
        mask = (n < total)[:, None]
        c = tl.arange(0, COLUMNS)[None, :]
        encoding = tl.load(encodings + (n[:, None] * COLUMNS + c), mask=mask, other=0.0)
        g = tl.arange(0, 16)[None, :]
        gradient = tl.load(geometry_gradients + (n[:, None] * 16 + g), mask=mask, other=0.0)
        layer = relu(tl.dot(encoding, hidden_weights))
        output_sum = tl.dot(tl.trans(gradient), layer, output_sum)
        layer_gradient = _to_half(
            tl.where(layer > 0, tl.dot(gradient, tl.trans(output_weights)), 0.0))
        hidden_sum = tl.dot(tl.trans(layer_gradient), encoding, hidden_sum)
        encoding_gradient = _to_half(tl.dot(layer_gradient, tl.trans(hidden_weights)))
        tl.store(encodings + (n[:, None] * COLUMNS + c), encoding_gradient, mask=mask)
    add_gradients(hidden_gradients, hidden_sum, HIDDEN, ENCODED, ENCODED)
    add_gradients(output_gradients, output_sum, 16, HIDDEN, HIDDEN)


@triton.jit(do_not_specialize=['number'])
def evaluate_geometry(
    positions, number, table, scales, entries, hidden, output, results,
    LEVELS: tl.constexpr, SLOTS: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the outputs (N, 16) of the geometry network at positions (N, 3) in [0, 1]."""
    hidden_weights = load_weights(hidden, HIDDEN, LEVELS * 4, LEVELS * 4, WIDTH, SLOTS * 4, True)
    output_weights = load_weights(output, 16, HIDDEN, HIDDEN, 16, WIDTH, True)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = n < number
    x = tl.load(positions + n * 3, mask=mask, other=0.0)
    y = tl.load(positions + n * 3 + 1, mask=mask, other=0.0)
    z = tl.load(positions + n * 3 + 2, mask=mask, other=0.0)
    encoding = encode(x, y, z, mask, table, scales, entries, LEVELS, SLOTS).to(tl.float16)
    geometry = tl.dot(relu(tl.dot(encoding, hidden_weights)), output_weights)
    c = tl.arange(0, 16)[None, :]
    tl.store(results + (n[:, None] * 16 + c), geometry, mask=mask[:, None])
