"""Numba kernels of the geometry network: positions -> log density and features."""
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf import constants
from instant_nerf_ros.nerf.backends.cpu.kernels.hash_grid import encode
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import copy, exp, fetch_add, jit
from instant_nerf_ros.nerf.backends.cpu.kernels.layers import layer
from instant_nerf_ros.nerf.backends.cpu.kernels.products import NO_FLOOR, RELU

POSITIONS = 512  # that a thread evaluates at a time
MAX_LOG_DENSITY = np.float32(constants.MAX_LOG_DENSITY)

# The parameters of a field: lines and scales of the hash grid, and the matrices of the networks,
# transposed, so that a layer is inputs @ matrix. The first matrix of the color network has two
# parts, for directions and features; the matrix of the colors has LINE columns.
PackedField = namedtuple(
    'PackedField', 'lines scales hidden geometry directions features hidden2 colors')


@jit
def evaluate_geometry(field, positions, encoded, hidden, geometry):
    """Write the layers of the geometry network at positions (N, 3) in [0, 1]."""
    count = len(positions)
    encode(positions, field.lines, field.scales, encoded)
    layer(encoded, field.hidden, hidden, count, False, RELU)
    layer(hidden, field.geometry, geometry, count, False, NO_FLOOR)


@jit
def density_of(logarithm):
    """Return the density for a log density, the first output of the field."""
    return exp(MAX_LOG_DENSITY if logarithm > MAX_LOG_DENSITY else logarithm)


@jit
def evaluate(positions, field, results, chunk, counter):
    """Write the outputs of the geometry network at positions (N, 3) to results.

    All threads call this, and share the counter (1,).
    """
    while True:
        first = fetch_add(counter.ctypes.data) * POSITIONS
        if first >= len(positions):
            return
        part = positions[first : first + POSITIONS]
        evaluate_geometry(field, part, chunk.encoded, chunk.hidden, chunk.geometry)
        for n in range(len(part)):
            copy(chunk.geometry[n], results[first + n])
