"""Numba kernels of the hash grid: interpolation, its gradient, Adam.

All that belongs to an entry lies in one cache line, `lines[level, entry]`: value, gradient, first
and second moment, FEATURES each. Hashing makes every access a cache miss, so their number counts.
"""
import numpy as np

from instant_nerf_ros.nerf.backends.numba_jit import jit, prefetch

FEATURES = 4
LINE = 16  # float32 values in a cache line: value, gradient, first and second moment
AHEAD = 16  # entries that Adam asks for before it needs them
BATCH = 32  # samples whose entries are asked for at once
PRIME_Y, PRIME_Z = np.uint32(2654435761), np.uint32(805459861)


def aligned_lines(levels, entries):
    """Return zeros (levels, entries, LINE) float32, each line one cache line of the processor."""
    size = levels * entries * LINE
    memory = np.zeros(size + LINE, dtype=np.float32)
    first = -(memory.ctypes.data // 4) % LINE
    return memory[first : first + size].reshape(levels, entries, LINE)


@jit
def _corners(position, scale, mask, indices, weights):
    """Write the entry (8,) and the weight (8,) of each corner of a position's cell on a level."""
    one, half = np.float32(1), np.float32(0.5)
    x, y, z = position[0] * scale + half, position[1] * scale + half, position[2] * scale + half
    # Signed, since processors before AVX-512 convert nothing else.
    i, j, k = np.int32(x), np.int32(y), np.int32(z)
    u, v, w = x - np.float32(i), y - np.float32(j), z - np.float32(k)
    x0, y0, z0 = np.uint32(i), np.uint32(j * PRIME_Y), np.uint32(k * PRIME_Z)
    x1, y1, z1 = np.uint32(x0 + np.uint32(1)), np.uint32(y0 + PRIME_Y), np.uint32(z0 + PRIME_Z)
    for corner in range(8):
        hx, wx = (x1, u) if corner & 1 else (x0, one - u)
        hy, wy = (y1, v) if corner & 2 else (y0, one - v)
        hz, wz = (z1, w) if corner & 4 else (z0, one - w)
        indices[corner] = np.uint32(hx ^ hy ^ hz) & mask
        weights[corner] = wx * wy * wz


@jit
def encode(positions, lines, scales, encoded):
    """Write hash_encode of reference.py into the first columns of encoded (N, >= 4 levels)."""
    mask = np.uint32(lines.shape[1] - 1)
    indices = np.empty(8, dtype=np.uint32)
    weights = np.empty(8, dtype=np.float32)
    for level in range(lines.shape[0]):
        column = level * FEATURES
        for n in range(positions.shape[0]):
            _corners(positions[n], scales[level], mask, indices, weights)
            a = b = c = d = np.float32(0)
            for corner in range(8):
                weight = weights[corner]
                index = indices[corner]
                a += weight * lines[level, index, 0]
                b += weight * lines[level, index, 1]
                c += weight * lines[level, index, 2]
                d += weight * lines[level, index, 3]
            encoded[n, column] = a
            encoded[n, column + 1] = b
            encoded[n, column + 2] = c
            encoded[n, column + 3] = d


@jit
def encode_backward(positions, gradients, scale, column, lines, entries, count):
    """Add the gradient of `encode` on one level to its lines (entries, LINE).

    gradients (N, >= 4 levels), of which those from column on are the level's. Entries whose
    gradient was zero are appended to entries[:count]; returns the new count.
    """
    zero = np.float32(0)
    mask = np.uint32(lines.shape[0] - 1)
    indices = np.empty((BATCH, 8), dtype=np.uint32)
    weights = np.empty((BATCH, 8), dtype=np.float32)
    for first in range(0, positions.shape[0], BATCH):
        last = min(first + BATCH, positions.shape[0])
        for n in range(first, last):
            _corners(positions[n], scale, mask, indices[n - first], weights[n - first])
            for corner in range(8):
                prefetch(lines.ctypes.data + 4 * LINE * np.uintp(indices[n - first, corner]))
        for n in range(first, last):
            a, b = gradients[n, column], gradients[n, column + 1]
            c, d = gradients[n, column + 2], gradients[n, column + 3]
            for corner in range(8):
                index, weight = indices[n - first, corner], weights[n - first, corner]
                line = lines[index]
                g0, g1, g2, g3 = line[4], line[5], line[6], line[7]
                h0, h1, h2, h3 = g0 + weight * a, g1 + weight * b, g2 + weight * c, g3 + weight * d
                # What had cancelled to zero is listed again: Adam finds nothing the second time.
                if (g0 == zero and g1 == zero and g2 == zero and g3 == zero
                        and (h0 != zero or h1 != zero or h2 != zero or h3 != zero)
                        and count < len(entries)):  # fmt: skip
                    entries[count] = index
                    count += 1
                line[4], line[5], line[6], line[7] = h0, h1, h2, h3
    return count


@jit
def adam(lines, steps, entries, corrections1, corrections2, rate, beta1, beta2, epsilon):
    """Take the Adam step of reference.py for some entries of a level; forget their gradients.

    steps (entries of the level,) uint16 counts the updates of an entry; corrections[s] =
    1 - beta**s, the last of them, nearly 1, holds from then on.
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
        # Written out, four alike make one vector instruction.
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
