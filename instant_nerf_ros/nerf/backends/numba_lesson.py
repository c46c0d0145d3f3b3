"""Numba kernels of a training step: rays in, gradients out, each chunk of rays on one core."""
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf.backends.numba_grid import FEATURES, adam, encode_backward
from instant_nerf_ros.nerf.backends.numba_jit import jit, take_number
from instant_nerf_ros.nerf.backends.numba_light import (
    GEOMETRY,
    HARMONICS,
    LINE,
    RAYS,
    ROWS,
    shine,
    trace,
)
from instant_nerf_ros.nerf.backends.numba_products import BLOCK, NO_FLOOR, layer, outer

PART = 64  # samples that go back through all layers together
COLOR, DEPTH, FREE_SPACE, LIT = range(4)  # columns of counts
TERMS, COUNTS = 3, 4  # the first ones are terms of the loss

# What the rays should show: pixels (R, 3) in [0, 1], background (R, 3).
Wanted = namedtuple('Wanted', 'pixels background')
# Weights of the loss, see loss.terms.
Loss = namedtuple('Loss', 'huber_delta depth_weight free_space_weight')
# What the rays show, (R, ...): colours, distances, opacities, median distances.
Shown = namedtuple('Shown', 'colors distances opacities medians')
# What a thread has learnt: samples that light comes from, with their densities and the gradients
# of their encodings; the gradients of the matrices, which lie like those of numba_light.Field but
# not transposed.
Learnt = namedtuple('Learnt', [
    'positions', 'densities', 'encoded',
    'hidden', 'geometry', 'directions', 'features', 'hidden2', 'colors',
])  # fmt: skip
# The matrices as reference.py has them, (outputs, inputs), for the way back.
Back = namedtuple('Back', 'hidden geometry features hidden2 colors')
# Gradients on their way back: of samples, of a part of the samples, of rays.
Work = namedtuple('Work', 'ray densities colors hidden1 hidden2 geometry hidden directional')


def make_work(hidden):
    """Return the Work for hidden layers of a width."""
    shapes = (
        (3,), (ROWS,), (ROWS, LINE), (PART, hidden), (PART, hidden), (PART, GEOMETRY),
        (PART, hidden), (RAYS, hidden))
    return Work(*(np.zeros(shape, dtype=np.float32) for shape in shapes))


def make_learnt(samples, encoded, hidden):
    """Return the Learnt with room for so many samples of so many encoded features."""
    shapes = (
        (samples, 3), (samples,), (samples + BLOCK, encoded), (hidden, encoded), (GEOMETRY, hidden),
        (hidden, HARMONICS), (hidden, GEOMETRY), (hidden, hidden), (LINE, hidden))
    return Learnt(*(np.zeros(shape, dtype=np.float32) for shape in shapes))


@jit
def learn(rays, wanted, space, loss, field, extent, back, shown, chunk, work, learnt, counts, turn):
    """Take rays forward and back, chunk by chunk, until none is left; threads share the turn (1,).

    Adds to counts (COUNTS,): terms of the loss, samples lit. Rays that find no room
    in learnt are left out.
    """
    while True:
        first = take_number(turn.ctypes.data) * RAYS
        last = min(first + RAYS, len(rays.origins))
        if first >= last:
            return
        while first < last:
            stop = last
            count = trace(first, stop, rays, space, field, extent, chunk)
            while count < 0:
                stop = first + (stop - first) // 2
                count = trace(first, stop, rays, space, field, extent, chunk)
            if counts[LIT] + count <= len(learnt.densities):
                shine(first, stop, count, rays, field, chunk)
                _teach(
                    first, stop, count, rays, wanted, loss, space.band, back, shown, chunk, work,
                    learnt, counts)
            first = stop


@jit
def _teach(first, last, count, rays, wanted, loss, band, back, shown, chunk, work, learnt, counts):
    """Compare what rays show with what they should, and take the difference back."""
    done = int(counts[LIT])
    for i in range(last - first):
        order = chunk.order[chunk.offsets[i] : chunk.offsets[i + 1]]
        composite(first + i, order, chunk, shown)
        _compare(first + i, order, rays, wanted, loss, band, shown, chunk, work, counts)
    work.directional[:] = 0
    for start in range(0, count, PART):
        stop = min(start + PART, count)
        _back(start, stop, back, chunk, work, learnt, learnt.encoded[done + start :])
    outer(work.directional, chunk.harmonics, learnt.directions, RAYS)
    learnt.positions[done : done + count] = chunk.positions[:count]
    learnt.densities[done : done + count] = chunk.densities[:count]
    counts[LIT] += count


@jit
def composite(ray, order, chunk, shown):
    """Write what a ray shows: see reference.composite and reference.median_distance."""
    half = np.float32(0.5)
    red = green = blue = distance = opacity = median = np.float32(0)
    for n in order:
        weight = chunk.weights[n]
        red += weight * chunk.colors[n, 0]
        green += weight * chunk.colors[n, 1]
        blue += weight * chunk.colors[n, 2]
        distance += weight * (chunk.t_starts[n] + chunk.t_ends[n]) * half
        if opacity < half and opacity + weight >= half:
            share = (half - opacity) / weight
            median = chunk.t_starts[n] + share * (chunk.t_ends[n] - chunk.t_starts[n])
        opacity += weight
    shown.colors[ray, 0], shown.colors[ray, 1], shown.colors[ray, 2] = red, green, blue
    shown.distances[ray], shown.opacities[ray], shown.medians[ray] = distance, opacity, median


@jit
def _huber(error, delta):
    """Return the Huber loss over delta, and its derivative."""
    size, half = abs(error), np.float32(0.5)
    if size < delta:
        return half * error * error / delta, error / delta
    return size - half * delta, np.float32(1) if error > 0 else np.float32(-1)


@jit
def _compare(ray, order, rays, wanted, loss, band, shown, chunk, work, counts):
    """Add a ray's terms of the loss, and write the gradients of its samples."""
    one, zero = np.float32(1), np.float32(0)
    share = one / np.float32(len(rays.origins))
    by_color, by_opacity, by_distance = work.ray, zero, zero
    for channel in range(3):
        light = wanted.background[ray, channel]
        rendered = shown.colors[ray, channel] + (one - shown.opacities[ray]) * light
        term, slope = _huber(rendered - wanted.pixels[ray, channel], loss.huber_delta)
        counts[COLOR] += term * share / np.float32(3)
        by_color[channel] = slope * share / np.float32(3)
        by_opacity -= by_color[channel] * light
    surface = rays.surfaces[ray]
    if surface > 0:
        term, slope = _huber(shown.distances[ray] - surface, loss.huber_delta)
        counts[DEPTH] += loss.depth_weight * share * term
        by_distance = loss.depth_weight * share * slope
    free = loss.free_space_weight * share
    behind = zero
    for n in order:
        weight = chunk.weights[n]
        by_weight = by_opacity + by_distance * (
            (chunk.t_starts[n] + chunk.t_ends[n]) * np.float32(0.5))
        for channel in range(3):
            color = chunk.colors[n, channel]
            by_weight += by_color[channel] * color
            work.colors[n, channel] = weight * by_color[channel] * color * (one - color)
        if chunk.t_ends[n] < surface - band:
            counts[FREE_SPACE] += free * weight * weight
            by_weight += np.float32(2) * free * weight
        work.densities[n] = by_weight
        behind += weight * by_weight
    for n in order:
        # dL/ddensity_i = length_i (T_{i+1} dL/dw_i - sum_{j>i} w_j dL/dw_j); and the gradient of
        # the logarithm is the density times that.
        by_weight = work.densities[n]
        behind -= chunk.weights[n] * by_weight
        thickness = chunk.densities[n] * (chunk.t_ends[n] - chunk.t_starts[n])
        work.densities[n] = thickness * (chunk.through[n] * by_weight - behind)


@jit
def _back(start, stop, back, chunk, work, learnt, encoded):
    """Take the gradients of a part of the samples back through all layers."""
    count = stop - start
    colors = work.colors[start:]
    outer(colors, chunk.hidden2[start:], learnt.colors, count)
    layer(colors, back.colors, work.hidden2, count, False, NO_FLOOR)
    _cut(chunk.hidden2[start:stop], work.hidden2)
    outer(work.hidden2, chunk.hidden1[start:], learnt.hidden2, count)
    layer(work.hidden2, back.hidden2, work.hidden1, count, False, NO_FLOOR)
    _cut(chunk.hidden1[start:stop], work.hidden1)
    outer(work.hidden1, chunk.geometry[start:], learnt.features, count)
    for n in range(count):
        i = chunk.ray[start + n]
        for column in range(work.hidden1.shape[1]):
            work.directional[i, column] += work.hidden1[n, column]
    layer(work.hidden1, back.features, work.geometry, count, False, NO_FLOOR)
    for n in range(count):
        work.geometry[n, 0] += work.densities[start + n]
    outer(work.geometry, chunk.hidden[start:], learnt.geometry, count)
    layer(work.geometry, back.geometry, work.hidden, count, False, NO_FLOOR)
    _cut(chunk.hidden[start:stop], work.hidden)
    outer(work.hidden, chunk.encoded[start:], learnt.hidden, count)
    layer(work.hidden, back.hidden, encoded, count, False, NO_FLOOR)


@jit
def _cut(activated, gradients):
    """Zero gradients where a ReLU lets nothing through."""
    for n in range(activated.shape[0]):
        for column in range(activated.shape[1]):
            if activated[n, column] <= 0:
                gradients[n, column] = 0


@jit
def update(learnt, counts, scales, lines, steps, entries, settings, turn):
    """Take the gradients of the encodings into the grid, level by level, and Adam's step.

    A level is one thread's, so there is no race; learnt and counts are those of all threads, and
    threads share the turn (1,). entries (levels, entries of a level) is room for lists.
    """
    while True:
        level = len(scales) - 1 - take_number(turn.ctypes.data)  # the costly ones first
        if level < 0:
            return
        count = 0
        for part in range(len(learnt)):
            lit = int(counts[part, LIT])
            count = encode_backward(
                learnt[part].positions[:lit], learnt[part].encoded[:lit], scales[level],
                level * FEATURES, lines[level], entries[level], count)
        adam(lines[level], steps[level], entries[level, :count], *settings)


@jit
def look(rays, space, field, extent, shown, chunk, turn):
    """Write what rays show, chunk by chunk, until none is left; threads share the turn (1,)."""
    while True:
        first = take_number(turn.ctypes.data) * RAYS
        last = min(first + RAYS, len(rays.origins))
        if first >= last:
            return
        while first < last:
            stop = last
            count = trace(first, stop, rays, space, field, extent, chunk)
            while count < 0:
                stop = first + (stop - first) // 2
                count = trace(first, stop, rays, space, field, extent, chunk)
            shine(first, stop, count, rays, field, chunk)
            for i in range(stop - first):
                order = chunk.order[chunk.offsets[i] : chunk.offsets[i + 1]]
                composite(first + i, order, chunk, shown)
            first = stop
