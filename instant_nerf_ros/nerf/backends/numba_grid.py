"""Numba kernels of the hash grid: interpolation, its gradient, Adam.

A level is owned by one thread wherever entries are written, so there is no race and no atomic.
All that belongs to an entry lies in one cache line, `lines[level, entry]`: value, gradient, first
and second moment, FEATURES each. Hashing makes every access a cache miss, so their number counts.
"""
import numba
import numpy as np

FEATURES = 4
VALUE, GRADIENT, FIRST, SECOND = 0, 4, 8, 12
LINE = 16  # float32 values in a cache line
PRIME_Y, PRIME_Z = np.uint32(2654435761), np.uint32(805459861)
CHUNK = 256  # samples a thread takes through one level before the next

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
def _cell(position, scale):
    """Return the hash terms of both corners and the fraction, per axis, on a level."""
    x = position[0] * scale + np.float32(0.5)
    y = position[1] * scale + np.float32(0.5)
    z = position[2] * scale + np.float32(0.5)
    i, j, k = np.uint32(x), np.uint32(y), np.uint32(z)
    u, v, w = x - np.float32(i), y - np.float32(j), z - np.float32(k)
    j, k = np.uint32(j * PRIME_Y), np.uint32(k * PRIME_Z)
    next_i = np.uint32(i + np.uint32(1))
    next_j, next_k = np.uint32(j + PRIME_Y), np.uint32(k + PRIME_Z)
    return i, next_i, j, next_j, k, next_k, u, v, w


@parallel
def encode(positions, lines, scales, encoded):
    """Write hash_encode of reference.py into encoded (N, levels * FEATURES)."""
    count = positions.shape[0]
    mask = np.uint32(lines.shape[1] - 1)
    one = np.float32(1)
    for chunk in numba.prange((count + CHUNK - 1) // CHUNK):
        for level in range(lines.shape[0]):
            entries = lines[level]
            for n in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
                x0, x1, y0, y1, z0, z1, u, v, w = _cell(positions[n], scales[level])
                a = b = c = d = np.float32(0)
                for x, wx in ((x0, one - u), (x1, u)):
                    for y, wy in ((y0, one - v), (y1, v)):
                        for z, wz in ((z0, one - w), (z1, w)):
                            entry = entries[np.uint32(x ^ y ^ z) & mask]
                            weight = wx * wy * wz
                            a += weight * entry[0]
                            b += weight * entry[1]
                            c += weight * entry[2]
                            d += weight * entry[3]
                column = level * FEATURES
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
    one = np.float32(1)
    for turn in numba.prange(len(order)):
        level = order[turn]
        column = level * FEATURES
        count = counts[level]
        for n in range(positions.shape[0]):
            a, b = gradients[n, column], gradients[n, column + 1]
            c, d = gradients[n, column + 2], gradients[n, column + 3]
            if a == 0 and b == 0 and c == 0 and d == 0:
                continue
            x0, x1, y0, y1, z0, z1, u, v, w = _cell(positions[n], scales[level])
            for x, wx in ((x0, one - u), (x1, u)):
                for y, wy in ((y0, one - v), (y1, v)):
                    for z, wz in ((z0, one - w), (z1, w)):
                        index = np.uint32(x ^ y ^ z) & mask
                        if not touched[level, index]:
                            touched[level, index] = 1
                            entries[level, count] = index
                            count += 1
                        line = lines[level, index]
                        weight = wx * wy * wz
                        line[GRADIENT] += weight * a
                        line[GRADIENT + 1] += weight * b
                        line[GRADIENT + 2] += weight * c
                        line[GRADIENT + 3] += weight * d
        counts[level] = count


@parallel
def adam(
    lines, steps, touched, entries, counts, order, corrections1, corrections2,
    learning_rate, beta1, beta2, epsilon,
):  # fmt: skip
    """Take the Adam step of reference.py for the touched entries, and forget their gradients.

    steps (levels, entries) uint16 counts the updates of an entry; corrections[s] = 1 - beta**s,
    and is taken as 1 where s is beyond their end.
    """
    one = np.float32(1)
    last = len(corrections1) - 1
    for turn in numba.prange(len(order)):
        level = order[turn]
        for position in range(counts[level]):
            index = entries[level, position]
            touched[level, index] = 0
            line = lines[level, index]
            if (
                line[GRADIENT] == 0 and line[GRADIENT + 1] == 0
                and line[GRADIENT + 2] == 0 and line[GRADIENT + 3] == 0
            ):  # fmt: skip
                continue
            count = min(steps[level, index] + 1, last)
            steps[level, index] = count
            rate = learning_rate / corrections1[count]
            inverse = one / corrections2[count]
            for feature in range(FEATURES):
                gradient = line[GRADIENT + feature]
                first = line[FIRST + feature] * beta1 + gradient * (one - beta1)
                second = line[SECOND + feature] * beta2 + gradient * gradient * (one - beta2)
                line[GRADIENT + feature] = 0
                line[FIRST + feature] = first
                line[SECOND + feature] = second
                line[VALUE + feature] -= rate * first / (np.sqrt(second * inverse) + epsilon)
        counts[level] = 0


@parallel
def relu_backward(gradients, activated):
    """Zero gradients (N, width) where activated is; both as integers of their bits."""
    for n in numba.prange(gradients.shape[0]):
        for column in range(gradients.shape[1]):
            if activated[n, column] == 0:
                gradients[n, column] = 0
