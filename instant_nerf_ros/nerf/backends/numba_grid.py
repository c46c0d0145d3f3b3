"""Numba kernels of the hash grid: interpolation, its gradient, Adam.

A level is owned by one thread wherever entries are written, so there is no race and no atomic.
All that belongs to an entry lies in one cache line, `lines[level, entry]`: value, gradient, first
and second moment, FEATURES each. Hashing makes every access a cache miss, so their number counts.
"""
import numba
import numpy as np

FEATURES = 4
GRADIENT = 4  # first column of the gradient in a line; the moments begin at 8 and 12
LINE = 16  # float32 values in a cache line
PRIME_Y, PRIME_Z = np.uint32(2654435761), np.uint32(805459861)
CHUNK = 256  # samples a thread takes through one level before the next

# Lets LLVM join the operations on the FEATURES of an entry into vector instructions.
numba.config.SLP_VECTORIZE = 1
jit = numba.njit(cache=True, fastmath={'contract'}, error_model='numpy', nogil=True)
parallel = numba.njit(
    cache=True, fastmath={'contract'}, error_model='numpy', nogil=True, parallel=True)


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


@parallel
def encode(positions, lines, scales, encoded):
    """Write hash_encode of reference.py into encoded (N, levels * FEATURES)."""
    count = positions.shape[0]
    mask = np.uint32(lines.shape[1] - 1)
    for chunk in numba.prange((count + CHUNK - 1) // CHUNK):
        indices = np.empty(8, dtype=np.uint32)
        weights = np.empty(8, dtype=np.float32)
        for level in range(lines.shape[0]):
            column = level * FEATURES
            for n in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
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


@parallel
def encode_backward(positions, gradients, scales, order, lines, touched, entries, counts):
    """Add the gradient of `encode` to the lines, and list the entries that it touches.

    gradients (N, levels * FEATURES); order: the levels, so that each thread's share costs the
    same; touched (levels, entries) uint8 marks those in the list, which is entries (levels,
    entries) int32 with counts (levels,).
    """
    mask = np.uint32(lines.shape[1] - 1)
    for turn in numba.prange(len(order)):
        level = order[turn]
        column = level * FEATURES
        count = counts[level]
        indices = np.empty(8, dtype=np.uint32)
        weights = np.empty(8, dtype=np.float32)
        for n in range(positions.shape[0]):
            a, b = gradients[n, column], gradients[n, column + 1]
            c, d = gradients[n, column + 2], gradients[n, column + 3]
            if a == 0 and b == 0 and c == 0 and d == 0:
                continue
            _corners(positions[n], scales[level], mask, indices, weights)
            for corner in range(8):
                weight = weights[corner]
                index = indices[corner]
                if not touched[level, index]:
                    touched[level, index] = 1
                    entries[level, count] = index
                    count += 1
                lines[level, index, GRADIENT] += weight * a
                lines[level, index, GRADIENT + 1] += weight * b
                lines[level, index, GRADIENT + 2] += weight * c
                lines[level, index, GRADIENT + 3] += weight * d
        counts[level] = count


@parallel
def adam(
    lines, steps, touched, entries, counts, order, corrections1, corrections2,
    learning_rate, beta1, beta2, epsilon,
):  # fmt: skip
    """Take the Adam step of reference.py for the touched entries, and forget their gradients.

    steps (levels, entries) uint16 counts the updates of an entry; corrections[s] = 1 - beta**s,
    the last of them, nearly 1, holds from then on.
    """
    rest1, rest2, one = np.float32(1) - beta1, np.float32(1) - beta2, np.float32(1)
    last = len(corrections1) - 1
    for turn in numba.prange(len(order)):
        level = order[turn]
        for position in range(counts[level]):
            index = np.uint32(entries[level, position])
            touched[level, index] = 0
            line = lines[level, index]
            # Written out, four alike make one vector instruction.
            g0, g1, g2, g3 = line[4], line[5], line[6], line[7]
            if g0 == 0 and g1 == 0 and g2 == 0 and g3 == 0:
                continue
            count = min(steps[level, index] + 1, last)
            steps[level, index] = count
            rate = learning_rate / corrections1[count]
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
            line[0] -= rate * first0 / root0
            line[1] -= rate * first1 / root1
            line[2] -= rate * first2 / root2
            line[3] -= rate * first3 / root3
        counts[level] = 0


@jit
def relu_backward(gradients, activated):
    """Zero gradients (N, width) where activated is; both as integers of their bits."""
    for n in range(gradients.shape[0]):
        for column in range(gradients.shape[1]):
            if activated[n, column] == 0:
                gradients[n, column] = 0
