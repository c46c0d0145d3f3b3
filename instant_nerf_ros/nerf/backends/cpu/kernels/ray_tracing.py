"""Numba kernels that follow a few rays until their light ends, and give the samples colours.

A chunk of rays goes through all of it on one core, so that what it needs stays in that core's
cache. Its samples are found in waves, a few of each ray at a time: nothing is asked of the field
behind the first opaque surface.
"""
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cpu.kernels.hash_grid import encode
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import (
    aligned_zeros,
    copy,
    exp,
    fetch_add,
    jit,
)
from instant_nerf_ros.nerf.backends.cpu.kernels.layers import layer
from instant_nerf_ros.nerf.backends.cpu.kernels.marching import (
    Places,
    advance,
    begin,
    clip,
)
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BLOCK, NO_FLOOR, RELU
from instant_nerf_ros.nerf.constants import GEOMETRY, HARMONICS, MAX_SAMPLES

RAYS = 32  # in a chunk
WAVE = 8  # samples of a ray in a wave
ROWS = 4096  # samples that a chunk has room for
POSITIONS = 512  # positions that a thread takes at a time
LINE = 16  # columns of the colours: a vector
MIN_TRANSMITTANCE = np.float32(constants.MIN_TRANSMITTANCE)
MAX_LOG_DENSITY = np.float32(constants.MAX_LOG_DENSITY)

# The parameters of a field: lines and scales of the grid, and the matrices of the networks, transposed: a layer is
# inputs @ matrix. The first one of the colours is in two parts, the colours have LINE columns.
PackedField = namedtuple('PackedField', 'lines scales hidden geometry directions features hidden2 colors')
# What a chunk works with. Of each sample: its ray and place, density, weight in its pixel, the
# transmittance behind it, and the values of all layers. Of each ray: where it is, transmittance,
# whether samples follow, samples.
Chunk = namedtuple('Chunk', [
    'ray', 't_starts', 't_ends', 'positions', 'densities', 'weights', 'through', 'encoded',
    'hidden', 'geometry', 'hidden1', 'hidden2', 'colors', 'order',
    'places', 'transmittances', 'alive', 'stops', 'offsets', 'harmonics', 'directional',
])  # fmt: skip
assert ROWS >= MAX_SAMPLES + 64 + WAVE + BLOCK  # a single ray always has room


def make_chunk(encoded, hidden):
    """Return a Chunk for a field of so many encoded features and so wide hidden layers."""
    def per_sample(*columns, kind=np.float32):
        return aligned_zeros((ROWS, *columns), kind)

    def per_ray(*columns, kind=np.float32):
        return aligned_zeros((RAYS, *columns), kind)

    return Chunk(
        per_sample(kind=np.int32), per_sample(), per_sample(), per_sample(3), per_sample(),
        per_sample(), per_sample(), per_sample(encoded), per_sample(hidden), per_sample(GEOMETRY),
        per_sample(hidden), per_sample(hidden), per_sample(LINE), per_sample(kind=np.int32),
        Places(per_ray(), per_ray(), per_ray(kind=np.int32), per_ray(kind=np.int32)),
        per_ray(), per_ray(kind=np.int32), per_ray(kind=np.int32),
        np.zeros(RAYS + 1, dtype=np.int32), per_ray(HARMONICS), per_ray(hidden),
    )  # fmt: skip


@jit
def evaluate_geometry(field, positions, encoded, hidden, geometry):
    """Write the layers of the geometry network at positions (N, 3) in [0, 1]."""
    count = len(positions)
    encode(positions, field.lines, field.scales, encoded)
    layer(encoded, field.hidden, hidden, count, False, RELU)
    layer(hidden, field.geometry, geometry, count, False, NO_FLOOR)


@jit
def density_of(logarithm):
    """Return the density that a field's first output stands for."""
    return exp(MAX_LOG_DENSITY if logarithm > MAX_LOG_DENSITY else logarithm)


@jit
def trace(first, last, rays, space, field, extent, chunk):
    """Find the samples that light comes from, and return how many.

    They lie in the first rows of the chunk; order_of tells which are whose. Returns -1 if the
    chunk has no room for all.
    """
    live = last - first
    for i in range(live):
        chunk.alive[i] = i
        chunk.transmittances[i] = 1
        near, far = clip(rays.origins[first + i], rays.directions[first + i], space)
        begin(i, first + i, near, far, rays, space, chunk.places)
    chunk.offsets[:] = 0
    count = 0
    while live:
        if count + live * WAVE + BLOCK > len(chunk.ray):
            return -1
        stop, waiting = count, 0
        for position in range(live):
            i = chunk.alive[position]
            more = stop + WAVE
            found, follow = advance(
                i, first + i, rays, space, chunk.places,
                chunk.t_starts[stop:more], chunk.t_ends[stop:more])
            _place(first + i, i, stop, stop + found, rays, extent, chunk)
            stop += found
            chunk.stops[position] = stop if follow else -stop
        evaluate_geometry(
            field, chunk.positions[count:stop], chunk.encoded[count:], chunk.hidden[count:],
            chunk.geometry[count:])
        _densities_and_transmittances(count, stop, chunk)
        start = count
        for position in range(live):
            i, stop = chunk.alive[position], abs(chunk.stops[position])
            count = _compact_visible(i, start, stop, count, chunk)
            if chunk.stops[position] > 0 and chunk.transmittances[i] >= MIN_TRANSMITTANCE:
                chunk.alive[waiting] = i
                waiting += 1
            start = stop
        live = waiting
    _sort(count, chunk)
    return count


@jit
def _place(ray, i, start, stop, rays, extent, chunk):
    """Write the positions of new samples, in the unit cube of the field."""
    half, scale = np.float32(0.5), np.float32(1) / extent
    for n in range(start, stop):
        chunk.ray[n] = i
        middle = (chunk.t_starts[n] + chunk.t_ends[n]) * half
        for axis in range(3):
            position = rays.origins[ray, axis] + middle * rays.directions[ray, axis]
            chunk.positions[n, axis] = position * scale + half


@jit
def _densities_and_transmittances(start, stop, chunk):
    """Write the densities of new samples, and as weights what share of light they let by."""
    densities, kept = chunk.densities[start:stop], chunk.weights[start:stop]
    t_starts, t_ends = chunk.t_starts[start:stop], chunk.t_ends[start:stop]
    for n in range(len(densities)):
        densities[n] = chunk.geometry[start + n, 0]
    for n in range(len(densities)):
        densities[n] = density_of(densities[n])
        kept[n] = exp(-densities[n] * (t_ends[n] - t_starts[n]))


@jit
def _compact_visible(i, start, stop, count, chunk):
    """Weigh new samples of a ray, and move those that light comes from to row count and on.

    _densities_and_transmittances has seen them.
    """
    transmittance = chunk.transmittances[i]
    for n in range(start, stop):
        if transmittance < MIN_TRANSMITTANCE:
            break
        density, kept = chunk.densities[n], chunk.weights[n]
        if n != count:
            chunk.ray[count] = i
            chunk.t_starts[count], chunk.t_ends[count] = chunk.t_starts[n], chunk.t_ends[n]
            copy(chunk.positions[n], chunk.positions[count])
            copy(chunk.encoded[n], chunk.encoded[count])
            copy(chunk.hidden[n], chunk.hidden[count])
            copy(chunk.geometry[n], chunk.geometry[count])
        chunk.densities[count] = density
        chunk.weights[count] = transmittance * (np.float32(1) - kept)
        transmittance *= kept
        chunk.through[count] = transmittance
        count += 1
        chunk.offsets[i + 1] += 1
    chunk.transmittances[i] = transmittance
    return count


@jit
def _sort(count, chunk):
    """Write the rows of each ray into order, where offsets says, which has their numbers."""
    for i in range(RAYS):
        chunk.offsets[i + 1] += chunk.offsets[i]
        chunk.stops[i] = chunk.offsets[i]
    for n in range(count):
        i = chunk.ray[n]
        chunk.order[chunk.stops[i]] = n
        chunk.stops[i] += 1


@jit
def order_of(i, chunk):
    """Return the rows of a ray's samples, front to back."""
    return chunk.order[chunk.offsets[i] : chunk.offsets[i + 1]]


@jit
def evaluate(positions, field, results, chunk, counter):
    """Write what the geometry network says at positions (N, 3); threads share the counter (1,)."""
    while True:
        first = fetch_add(counter.ctypes.data) * POSITIONS
        if first >= len(positions):
            return
        part = positions[first : first + POSITIONS]
        evaluate_geometry(field, part, chunk.encoded, chunk.hidden, chunk.geometry)
        results[first : first + len(part)] = chunk.geometry[: len(part)]
