"""Numba kernels of a training step: rays in, gradients out, each chunk of rays on one core."""
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf.backends.cpu.kernels.color_network import color_network
from instant_nerf_ros.nerf.backends.cpu.kernels.hash_grid import adam, encode_backward
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import aligned_zeros, fetch_add, jit
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
    order_of,
    trace,
)
from instant_nerf_ros.nerf.constants import FEATURES, GEOMETRY, HARMONICS

PART = 64  # samples that go back through all layers together

# What a thread has learnt: samples that light comes from, with their densities and the gradients
# of their encodings; the gradients of the matrices, all in one vector, and each.
ThreadResults = namedtuple('ThreadResults', 'positions densities encoded gradients matrices')
# Gradients of the matrices, which lie like those of numba_light.Field but not transposed.
Matrices = namedtuple('Matrices', 'hidden geometry directions features hidden2 colors')
# The matrices as reference.py has them, (outputs, inputs), for the way back.
BackwardMatrices = namedtuple('BackwardMatrices', 'hidden geometry features hidden2 colors')
# Gradients on their way back: of samples, of a part of the samples, of rays.
BackwardWork = namedtuple('BackwardWork', 'ray densities colors hidden1 hidden2 geometry hidden directional')


def make_backward_work(hidden):
    """Return the Work for hidden layers of a width."""
    shapes = (
        (3,), (ROWS,), (ROWS, LINE), (PART, hidden), (PART, hidden), (PART, GEOMETRY),
        (PART, hidden), (RAYS, hidden))
    return BackwardWork(*map(aligned_zeros, shapes))


def make_results(samples, encoded, hidden):
    """Return the Learnt with room for so many samples of so many encoded features."""
    shapes = (samples, 3), (samples,), (samples + BLOCK, encoded)
    return ThreadResults(*map(aligned_zeros, shapes), *make_gradients(encoded, hidden))


def make_gradients(encoded, hidden):
    """Return room for the gradients of the matrices: one vector, and the Matrices that it is."""
    shapes = (
        (hidden, encoded), (GEOMETRY, hidden), (hidden, HARMONICS), (hidden, GEOMETRY),
        (hidden, hidden), (BLOCK, hidden))
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    vector = aligned_zeros(ends[-1])
    parts = np.split(vector, ends[:-1])
    return vector, Matrices(*(part.reshape(shape) for part, shape in zip(parts, shapes)))


@jit
def train_step(
    rays, targets, space, loss, field, extent, back, rendered, chunk, work, results, counts, counter,
):  # fmt: skip
    """Take rays forward and back, chunk by chunk, until none is left; threads share the counter (1,).

    Adds to counts (COUNTS,): terms of the loss, samples lit. Rays that find no room
    in learnt are left out.
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
                    first, stop, count, rays, targets, loss, space.band, back, rendered, chunk, work,
                    results, counts)
            first = stop


@jit
def _take_rays(rays, counter):
    """Take the next chunk of rays for a thread: return its first one and its end."""
    first = fetch_add(counter.ctypes.data) * RAYS
    return first, min(first + RAYS, len(rays.origins))


@jit
def _trace(first, last, rays, space, field, extent, chunk):
    """Trace as many rays as the chunk has room for: return their end, and their samples."""
    stop = last
    count = trace(first, stop, rays, space, field, extent, chunk)
    while count < 0:
        stop = first + (stop - first) // 2
        count = trace(first, stop, rays, space, field, extent, chunk)
    return stop, count


@jit
def _loss_and_backward(first, last, count, rays, targets, loss, band, back, rendered, chunk, work, results, counts):
    """Compare what rays show with what they should, and take the difference back."""
    done = int(counts[VISIBLE_SAMPLES])
    for i in range(last - first):
        order = order_of(i, chunk)
        composite(first + i, order, chunk, rendered)
        loss_and_gradients(first + i, order, rays, targets, loss, band, rendered, chunk, work, counts)
    work.directional[:] = 0
    for start in range(0, count, PART):
        stop = min(start + PART, count)
        _backward(start, stop, back, chunk, work, results.matrices, results.encoded[done + start :])
    outer(work.directional, chunk.harmonics, results.matrices.directions, RAYS)
    results.positions[done : done + count] = chunk.positions[:count]
    results.densities[done : done + count] = chunk.densities[:count]
    counts[VISIBLE_SAMPLES] += count


@jit
def _backward(start, stop, back, chunk, work, found, encoded):
    """Take the gradients of a part of the samples back through all layers."""
    count = stop - start
    colors = work.colors[start:]
    outer(colors, chunk.hidden2[start:], found.colors, count)
    layer(colors, back.colors, work.hidden2, count, False, NO_FLOOR)
    _cut(chunk.hidden2[start:stop], work.hidden2)
    outer(work.hidden2, chunk.hidden1[start:], found.hidden2, count)
    layer(work.hidden2, back.hidden2, work.hidden1, count, False, NO_FLOOR)
    _cut(chunk.hidden1[start:stop], work.hidden1)
    outer(work.hidden1, chunk.geometry[start:], found.features, count)
    for n in range(count):
        gradients, sums = work.hidden1[n], work.directional[chunk.ray[start + n]]
        for column in range(len(sums)):
            sums[column] += gradients[column]
    layer(work.hidden1, back.features, work.geometry, count, False, NO_FLOOR)
    for n in range(count):
        work.geometry[n, 0] += work.densities[start + n]
    outer(work.geometry, chunk.hidden[start:], found.geometry, count)
    layer(work.geometry, back.geometry, work.hidden, count, False, NO_FLOOR)
    _cut(chunk.hidden[start:stop], work.hidden)
    outer(work.hidden, chunk.encoded[start:], found.hidden, count)
    layer(work.hidden, back.hidden, encoded, count, False, NO_FLOOR)


@jit
def _cut(activated, gradients):
    """Zero gradients where a ReLU lets nothing through."""
    for n in range(len(activated)):
        values, row = activated[n], gradients[n]
        for column in range(len(row)):
            row[column] = row[column] if values[column] > 0 else np.float32(0)


@jit
def update(results, counts, scales, lines, steps, entries, settings, counter):
    """Take the gradients of the encodings into the grid, level by level, and Adam's step.

    A level is one thread's, so there is no race; learnt and counts are those of all threads, and
    threads share the counter (1,). entries (levels, entries of a level) is room for lists.
    """
    while True:
        level = len(scales) - 1 - fetch_add(counter.ctypes.data)  # the costly ones first
        if level < 0:
            return
        count = 0
        for part in range(len(results)):
            visible_samples = int(counts[part, VISIBLE_SAMPLES])
            count = encode_backward(
                results[part].positions[:visible_samples], results[part].encoded[:visible_samples], scales[level],
                level * FEATURES, lines[level], entries[level], count)
        adam(lines[level], steps[level], entries[level, :count], *settings)


@jit
def update_matrices(
    values, gradients, firsts, seconds, decay, correction1, correction2, rate, beta1, beta2,
    epsilon,
):  # fmt: skip
    """Take the Adam step of reference.py for all matrices, each argument one vector of them."""
    one = np.float32(1)
    for n in range(len(values)):
        gradient = gradients[n] + decay * values[n]
        firsts[n] += (one - beta1) * (gradient - firsts[n])
        seconds[n] += (one - beta2) * (gradient * gradient - seconds[n])
        root = np.sqrt(seconds[n] / correction2) + epsilon
        values[n] -= rate / correction1 * firsts[n] / root


@jit
def render_rays(rays, space, field, extent, rendered, chunk, counter):
    """Write what rays show, chunk by chunk, until none is left; threads share the counter (1,)."""
    while True:
        first, last = _take_rays(rays, counter)
        if first >= last:
            return
        while first < last:
            stop, count = _trace(first, last, rays, space, field, extent, chunk)
            color_network(first, stop, count, rays, field, chunk)
            for i in range(stop - first):
                composite(first + i, order_of(i, chunk), chunk, rendered)
            first = stop
