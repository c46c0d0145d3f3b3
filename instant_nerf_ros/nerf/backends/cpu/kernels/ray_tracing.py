"""Numba kernels that trace a few rays until they are opaque: march, encode, density, weight.

One core processes a chunk of rays completely, so that its data stay in the cache of that core. The
samples are placed in waves, a few on each ray at a time, so that the field is not evaluated behind
the first opaque surface.
"""
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cpu.kernels.geometry_network import (
    density_of,
    evaluate_geometry,
)
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import aligned_zeros, copy, exp, jit
from instant_nerf_ros.nerf.backends.cpu.kernels.marching import MarchState, advance, begin, clip
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BLOCK
from instant_nerf_ros.nerf.constants import GEOMETRY, HARMONICS, MAX_SAMPLES

RAYS = 32  # in a chunk
WAVE = 8  # samples of a ray in a wave
ROWS = 4096  # capacity of a chunk, in samples
LINE = 16  # columns of the colors: a vector
MIN_TRANSMITTANCE = np.float32(constants.MIN_TRANSMITTANCE)

# The working memory of a chunk. Of each sample, up to colors: the ray, the interval, the position
# in the unit cube, the density, the weight, the transmittance behind it, the values of all layers;
# order: the rows sorted by ray. Of each ray: the state of its march, the transmittance so far,
# the rays that go on and the ends of their samples, the first row in order, the harmonics, and the
# part of the first color layer that depends on the direction.
Chunk = namedtuple('Chunk', [
    'ray_indices', 't_starts', 't_ends', 'positions', 'densities', 'weights',
    'transmittances_behind', 'encoded', 'hidden', 'geometry', 'hidden1', 'hidden2', 'colors',
    'order', 'march_state', 'transmittances', 'alive', 'stops', 'offsets', 'harmonics',
    'directions_layer',
])  # fmt: skip
assert ROWS >= MAX_SAMPLES + 64 + WAVE + BLOCK  # enough for any single ray


def make_chunk(encoded, hidden):
    """Return a Chunk for a field with so many encoded features and hidden layers so wide."""
    def per_sample(*columns, kind=np.float32):
        return aligned_zeros((ROWS, *columns), kind)

    def per_ray(*columns, kind=np.float32):
        return aligned_zeros((RAYS, *columns), kind)

    return Chunk(
        per_sample(kind=np.int32), per_sample(), per_sample(), per_sample(3), per_sample(),
        per_sample(), per_sample(), per_sample(encoded), per_sample(hidden), per_sample(GEOMETRY),
        per_sample(hidden), per_sample(hidden), per_sample(LINE), per_sample(kind=np.int32),
        MarchState(
            per_ray(), per_ray(), per_ray(), per_ray(kind=np.int32), per_ray(kind=np.int32)),
        per_ray(), per_ray(kind=np.int32), per_ray(kind=np.int32),
        np.zeros(RAYS + 1, dtype=np.int32), per_ray(HARMONICS), per_ray(hidden),
    )  # fmt: skip


@jit
def trace(first, last, rays, space, field, extent, chunk):
    """Write the visible samples of rays first to last to the first rows of the chunk.

    Returns their number, or -1 if they exceed the capacity. Those of ray i are, front to back,
    chunk.order[chunk.offsets[i] : chunk.offsets[i + 1]].
    """
    live = last - first
    for i in range(live):
        chunk.alive[i] = i
        chunk.transmittances[i] = 1
        near, far = clip(rays.origins[first + i], rays.directions[first + i], space)
        begin(i, first + i, near, far, rays, space, chunk.march_state)
    chunk.offsets[:] = 0
    count = 0
    while live:
        if count + live * WAVE + BLOCK > len(chunk.ray_indices):
            return -1
        stop, remaining = count, 0
        for position in range(live):
            i = chunk.alive[position]
            more = stop + WAVE
            found, follow = advance(
                i, first + i, rays, space, chunk.march_state,
                chunk.t_starts[stop:more], chunk.t_ends[stop:more])
            _write_positions(first + i, i, stop, stop + found, rays, extent, chunk)
            stop += found
            chunk.stops[position] = stop if follow else -stop
        evaluate_geometry(
            field, chunk.positions[count:stop], chunk.encoded[count:], chunk.hidden[count:],
            chunk.geometry[count:])
        _evaluate_densities(count, stop, chunk)
        start = count
        for position in range(live):
            i, stop = chunk.alive[position], abs(chunk.stops[position])
            count = _compact_visible(i, start, stop, count, chunk)
            if chunk.stops[position] > 0 and chunk.transmittances[i] >= MIN_TRANSMITTANCE:
                chunk.alive[remaining] = i
                remaining += 1
            start = stop
        live = remaining
    _sort_by_ray(count, chunk)
    return count


@jit
def _write_positions(ray, i, start, stop, rays, extent, chunk):
    """Write the positions of new samples, in the unit cube of the field."""
    half, scale = np.float32(0.5), np.float32(1) / extent
    for n in range(start, stop):
        chunk.ray_indices[n] = i
        middle = (chunk.t_starts[n] + chunk.t_ends[n]) * half
        for axis in range(3):
            position = rays.origins[ray, axis] + middle * rays.directions[ray, axis]
            chunk.positions[n, axis] = position * scale + half


@jit
def _evaluate_densities(start, stop, chunk):
    """Write the densities of new samples, and to weights the transmittance of each sample."""
    densities, transmitted = chunk.densities[start:stop], chunk.weights[start:stop]
    t_starts, t_ends = chunk.t_starts[start:stop], chunk.t_ends[start:stop]
    for n in range(len(densities)):
        densities[n] = chunk.geometry[start + n, 0]
    for n in range(len(densities)):
        densities[n] = density_of(densities[n])
        transmitted[n] = exp(-densities[n] * (t_ends[n] - t_starts[n]))


@jit
def _compact_visible(i, start, stop, count, chunk):
    """Write the weights of new samples of a ray, and move the visible ones to row count and on.

    Before, _evaluate_densities wrote the transmittance of each sample to weights.
    """
    transmittance = chunk.transmittances[i]
    for n in range(start, stop):
        if transmittance < MIN_TRANSMITTANCE:
            break
        density, transmitted = chunk.densities[n], chunk.weights[n]
        if n != count:
            chunk.ray_indices[count] = i
            chunk.t_starts[count], chunk.t_ends[count] = chunk.t_starts[n], chunk.t_ends[n]
            copy(chunk.positions[n], chunk.positions[count])
            copy(chunk.encoded[n], chunk.encoded[count])
            copy(chunk.hidden[n], chunk.hidden[count])
            copy(chunk.geometry[n], chunk.geometry[count])
        chunk.densities[count] = density
        chunk.weights[count] = transmittance * (np.float32(1) - transmitted)
        transmittance *= transmitted
        chunk.transmittances_behind[count] = transmittance
        count += 1
        chunk.offsets[i + 1] += 1
    chunk.transmittances[i] = transmittance
    return count


@jit
def _sort_by_ray(count, chunk):
    """Write the rows to order, sorted by ray, and turn the counts in offsets into first rows."""
    for i in range(RAYS):
        chunk.offsets[i + 1] += chunk.offsets[i]
        chunk.stops[i] = chunk.offsets[i]
    for n in range(count):
        i = chunk.ray_indices[n]
        chunk.order[chunk.stops[i]] = n
        chunk.stops[i] += 1
