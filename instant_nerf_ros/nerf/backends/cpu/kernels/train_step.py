"""Numba kernels of a training step: rays in, gradients out, each chunk of rays on one core."""
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf.backends.cpu.kernels.color_network import color_network
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import aligned_zeros, copy, fetch_add, jit
from instant_nerf_ros.nerf.backends.cpu.kernels.layers import layer, outer
from instant_nerf_ros.nerf.backends.cpu.kernels.pixels import (
    VISIBLE_SAMPLES,
    composite,
    loss_and_gradients,
)
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BLOCK, NO_FLOOR
from instant_nerf_ros.nerf.backends.cpu.kernels.ray_tracing import (
    LINE,
    RAYS,
    ROWS,
    trace,
)
from instant_nerf_ros.nerf.constants import GEOMETRY, HARMONICS

PART = 64  # samples of a backward pass

# The results of a thread: visible samples, with their densities and the gradients of their
# encodings (in encoded); the gradients of the matrices, as one vector and as the Matrices in it.
ThreadResults = namedtuple('ThreadResults', 'positions densities encoded gradients matrices')
# Gradients of the matrices: those of geometry_network.PackedField, but (outputs, inputs).
Matrices = namedtuple('Matrices', 'hidden geometry directions features hidden2 colors')
# The matrices for the backward pass, (outputs, inputs) as in the reference.
BackwardMatrices = namedtuple('BackwardMatrices', 'hidden geometry features hidden2 colors')
# Gradients in the backward pass: of the color of a ray; of the log densities and the colors of all
# samples; of the layers of a part of the samples; of the directions_layer of all rays.
BackwardWork = namedtuple(
    'BackwardWork', 'ray densities colors hidden1 hidden2 geometry hidden directions_layer')


def make_backward_work(hidden):
    """Return the BackwardWork for hidden layers of a width."""
    shapes = (
        (3,), (ROWS,), (ROWS, LINE), (PART, hidden), (PART, hidden), (PART, GEOMETRY),
        (PART, hidden), (RAYS, hidden))
    return BackwardWork(*map(aligned_zeros, shapes))


def make_results(samples, encoded, hidden):
    """Return the ThreadResults for so many samples with so many encoded features."""
    shapes = (samples, 3), (samples,), (samples + BLOCK, encoded)
    return ThreadResults(*map(aligned_zeros, shapes), *make_gradients(encoded, hidden))


def make_gradients(encoded, hidden):
    """Return arrays for the gradients of the matrices: one vector, and the Matrices in it."""
    shapes = (
        (hidden, encoded), (GEOMETRY, hidden), (hidden, HARMONICS), (hidden, GEOMETRY),
        (hidden, hidden), (BLOCK, hidden))
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    vector = aligned_zeros(ends[-1])
    parts = np.split(vector, ends[:-1])
    return vector, Matrices(*(part.reshape(shape) for part, shape in zip(parts, shapes)))


@jit
def train_step(
    rays, targets, space, loss, field, extent, backward, rendered, chunk, work, results, counts,
    counter,
):  # fmt: skip
    """Write rendered values, loss and gradients of rays, chunk by chunk.

    All threads call this, and share the counter (1,). Adds the terms of the loss and the number of
    visible samples to counts (COUNTS,). Rays whose samples exceed the capacity of results are left
    out.
    """
    while True:
        first, last = _take_rays(rays, counter)
        if first >= last:
            return
        while first < last:
            stop, count = _trace(first, last, rays, space, field, extent, chunk)
            if counts[VISIBLE_SAMPLES] + count <= len(results.densities):
                color_network(first, stop, count, rays, field, chunk)
                _loss_and_backward(
                    first, stop, count, rays, targets, loss, space.band, backward, rendered,
                    chunk, work, results, counts)
            first = stop


@jit
def _take_rays(rays, counter):
    """Return the first and the last ray (exclusive) of the next chunk that no thread has taken."""
    first = fetch_add(counter.ctypes.data) * RAYS
    return first, min(first + RAYS, len(rays.origins))


@jit
def _trace(first, last, rays, space, field, extent, chunk):
    """Trace as many rays as fit into the chunk: return the last one (exclusive), and samples."""
    stop = last
    count = trace(first, stop, rays, space, field, extent, chunk)
    while count < 0:
        stop = first + (stop - first) // 2
        count = trace(first, stop, rays, space, field, extent, chunk)
    return stop, count


@jit
def _loss_and_backward(
    first, last, count, rays, targets, loss, band, backward, rendered, chunk, work, results,
    counts,
):  # fmt: skip
    """Composite the samples of a chunk, and write the loss and all gradients."""
    done = int(counts[VISIBLE_SAMPLES])
    for i in range(last - first):
        order = chunk.order[chunk.offsets[i] : chunk.offsets[i + 1]]
        composite(first + i, order, chunk, rendered)
        loss_and_gradients(
            first + i, order, rays, targets, loss, band, rendered, chunk, work, counts)
    work.directions_layer[:] = 0
    for start in range(0, count, PART):
        stop = min(start + PART, count)
        _backward(
            start, stop, backward, chunk, work, results.matrices, results.encoded[done + start :])
    outer(work.directions_layer, chunk.harmonics, results.matrices.directions, RAYS)
    for n in range(count):
        copy(chunk.positions[n], results.positions[done + n])
        results.densities[done + n] = chunk.densities[n]
    counts[VISIBLE_SAMPLES] += count


@jit
def _backward(start, stop, backward, chunk, work, matrices, encoded):
    """Propagate the gradients of samples start to stop backward through all layers.

    Adds the gradients of the matrices, and writes those of the encodings to encoded.
    """
    count = stop - start
    colors = work.colors[start:]
    outer(colors, chunk.hidden2[start:], matrices.colors, count)
    layer(colors, backward.colors, work.hidden2, count, False, NO_FLOOR)
    _relu_backward(chunk.hidden2[start:stop], work.hidden2)
    outer(work.hidden2, chunk.hidden1[start:], matrices.hidden2, count)
    layer(work.hidden2, backward.hidden2, work.hidden1, count, False, NO_FLOOR)
    _relu_backward(chunk.hidden1[start:stop], work.hidden1)
    outer(work.hidden1, chunk.geometry[start:], matrices.features, count)
    for n in range(count):
        gradients, sums = work.hidden1[n], work.directions_layer[chunk.ray_indices[start + n]]
        for column in range(len(sums)):
            sums[column] += gradients[column]
    layer(work.hidden1, backward.features, work.geometry, count, False, NO_FLOOR)
    for n in range(count):
        work.geometry[n, 0] += work.densities[start + n]
    outer(work.geometry, chunk.hidden[start:], matrices.geometry, count)
    layer(work.geometry, backward.geometry, work.hidden, count, False, NO_FLOOR)
    _relu_backward(chunk.hidden[start:stop], work.hidden)
    outer(work.hidden, chunk.encoded[start:], matrices.hidden, count)
    layer(work.hidden, backward.hidden, encoded, count, False, NO_FLOOR)


@jit
def _relu_backward(activated, gradients):
    """Set gradients to zero where a ReLU is not active."""
    for n in range(len(activated)):
        values, row = activated[n], gradients[n]
        for column in range(len(row)):
            row[column] = row[column] if values[column] > 0 else np.float32(0)


@jit
def render_rays(rays, space, field, extent, rendered, chunk, counter):
    """Write the rendered values of rays, chunk by chunk.

    All threads call this, and share the counter (1,).
    """
    while True:
        first, last = _take_rays(rays, counter)
        if first >= last:
            return
        while first < last:
            stop, count = _trace(first, last, rays, space, field, extent, chunk)
            color_network(first, stop, count, rays, field, chunk)
            for i in range(stop - first):
                order = chunk.order[chunk.offsets[i] : chunk.offsets[i + 1]]
                composite(first + i, order, chunk, rendered)
            first = stop
