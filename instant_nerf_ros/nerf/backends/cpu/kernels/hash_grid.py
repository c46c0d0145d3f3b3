"""Numba kernels of the hash grid: interpolation, its gradient, Adam.

All data of an entry are in one cache line, `lines[level, entry]`: value, gradient, first and
second moment, FEATURES each. As hashing makes every access a cache miss, their number matters.
"""
from collections import namedtuple

import numpy as np

from instant_nerf_ros.nerf.backends.cpu.kernels.hash_cells import (
    CORNERS,
    LINE,
    add_gradient,
    find_corners,
    interpolate,
)
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import aligned_zeros, allocating, jit, prefetch
from instant_nerf_ros.nerf.constants import FEATURES

AHEAD = 16  # samples or entries whose lines are prefetched

# Entries (AHEAD, CORNERS) and weights of the corners of the cells of the next positions.
Cells = namedtuple('Cells', 'indices weights')


def aligned_lines(levels, entries):
    """Return zeros (levels, entries, LINE) float32, each line one cache line of the processor."""
    return aligned_zeros((levels, entries, LINE))


@allocating
def encode(positions, lines, scales, encoded):
    """Write reference.hash_encode to the first columns of encoded (N, >= 4 levels)."""
    cells = _make_cells()
    for level in range(lines.shape[0]):
        for n in range(-AHEAD, len(positions)):
            if n >= 0:
                result = encoded[n, level * FEATURES :]
                interpolate(
                    lines[level].ctypes.data, cells.indices[n % AHEAD].ctypes.data,
                    cells.weights[n % AHEAD].ctypes.data, result.ctypes.data)
            if n + AHEAD < len(positions):
                _prefetch(positions[n + AHEAD], scales[level], lines[level], cells, n % AHEAD)


@allocating
def encode_backward(positions, gradients, scale, column, lines, entries, count):
    """Add the gradient of `encode` on one level to its lines (entries, LINE).

    gradients (N, >= 4 levels), from a column on those of the level. Entries whose gradient was
    zero are appended to entries[:count], an array for one more than the level has; returns the
    new count. An entry whose gradients cancel to zero is listed again: Adam skips it then.
    """
    cells, last = _make_cells(), len(entries) - 1
    for n in range(-AHEAD, len(positions)):
        if n >= 0:
            gradient = gradients[n, column:]
            count = add_gradient(
                lines.ctypes.data, cells.indices[n % AHEAD].ctypes.data,
                cells.weights[n % AHEAD].ctypes.data, gradient.ctypes.data,
                entries.ctypes.data, count, last)
        if n + AHEAD < len(positions):
            _prefetch(positions[n + AHEAD], scale, lines, cells, n % AHEAD)
    return count


@allocating
def _make_cells():
    shape = AHEAD, CORNERS
    return Cells(np.empty(shape, dtype=np.uint32), np.empty(shape, dtype=np.float32))


@jit
def _prefetch(position, scale, lines, cells, slot):
    """Write the corners of the cell of a position to a slot of cells, and prefetch their lines."""
    find_corners(
        position.ctypes.data, scale, np.uint32(len(lines) - 1),
        cells.indices[slot].ctypes.data, cells.weights[slot].ctypes.data)
    for corner in range(CORNERS):
        prefetch(lines.ctypes.data + 4 * LINE * np.uintp(cells.indices[slot, corner]))


@jit
def adam(lines, steps, entries, corrections1, corrections2, rate, beta1, beta2, epsilon):
    """Take the step of reference.Adam for some entries of a level, and clear their gradients.

    steps (entries of the level,) uint16 counts the updates of each entry; corrections[s] =
    1 - beta**s, of which the last, nearly 1, is used from then on.
    """
    rest1, rest2, one = np.float32(1) - beta1, np.float32(1) - beta2, np.float32(1)
    last = len(corrections1) - 1
    for position in range(len(entries)):
        if position + AHEAD < len(entries):
            following = np.uintp(entries[position + AHEAD])
            prefetch(lines.ctypes.data + 4 * LINE * following)
            prefetch(steps.ctypes.data + 2 * following)
        index = np.uint32(entries[position])
        line = lines[index]
        # LLVM joins four equal operations to one vector instruction.
        g0, g1, g2, g3 = line[4], line[5], line[6], line[7]
        if g0 == 0 and g1 == 0 and g2 == 0 and g3 == 0:
            continue
        count = min(steps[index] + 1, last)
        steps[index] = count
        step = rate / corrections1[count]
        inverse = one / corrections2[count]
        first0 = line[8] * beta1 + g0 * rest1
        first1 = line[9] * beta1 + g1 * rest1
        first2 = line[10] * beta1 + g2 * rest1
        first3 = line[11] * beta1 + g3 * rest1
        second0 = line[12] * beta2 + g0 * g0 * rest2
        second1 = line[13] * beta2 + g1 * g1 * rest2
        second2 = line[14] * beta2 + g2 * g2 * rest2
        second3 = line[15] * beta2 + g3 * g3 * rest2
        root0 = np.sqrt(second0 * inverse) + epsilon
        root1 = np.sqrt(second1 * inverse) + epsilon
        root2 = np.sqrt(second2 * inverse) + epsilon
        root3 = np.sqrt(second3 * inverse) + epsilon
        line[4] = line[5] = line[6] = line[7] = 0
        line[8], line[9], line[10], line[11] = first0, first1, first2, first3
        line[12], line[13], line[14], line[15] = second0, second1, second2, second3
        line[0] -= step * first0 / root0
        line[1] -= step * first1 / root1
        line[2] -= step * first2 / root2
        line[3] -= step * first3 / root3
