"""Numba kernels of the optimizer: Adam for the hash grid and for the matrices."""
import numpy as np

from instant_nerf_ros.nerf.backends.cpu.kernels.hash_cells import LINE
from instant_nerf_ros.nerf.backends.cpu.kernels.hash_grid import AHEAD, adam, encode_backward
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import fetch_add, jit, prefetch
from instant_nerf_ros.nerf.backends.cpu.kernels.pixels import VISIBLE_SAMPLES
from instant_nerf_ros.nerf.constants import FEATURES


@jit
def update_table(results, counts, scales, lines, steps, entries, settings, counter):
    """Add the gradients of the encodings to the hash grid, and take the step of Adam.

    results and counts are those of all threads. All threads call this, and share the counter (1,);
    each level is updated by one thread, so that there is no race. entries (levels, entries of a
    level + 1) is a buffer for lists.
    """
    while True:
        level = len(scales) - 1 - fetch_add(counter.ctypes.data)  # the expensive ones first
        if level < 0:
            return
        count = _add_gradients(level, results, counts, scales, lines, entries)
        adam(lines[level], steps[level], entries[level, :count], *settings)


@jit
def add_gradients(results, counts, scales, lines, entries, listed, counter):
    """Do the first half of `update_table`; listed (levels,) gets the lengths of the lists."""
    while True:
        level = len(scales) - 1 - fetch_add(counter.ctypes.data)
        if level < 0:
            return
        listed[level] = _add_gradients(level, results, counts, scales, lines, entries)


@jit
def take_gradients(lines, entries, listed, begins, rows, values, share, counter):
    """Write the listed entries to rows (N,), share times their gradients to values (N, FEATURES).

    The gradients are zero afterwards. Those of level l begin at begins[l]; see Ranks.gather_rows.
    """
    while True:
        level = len(listed) - 1 - fetch_add(counter.ctypes.data)
        if level < 0:
            return
        begin, own = begins[level], entries[level]
        for n in range(listed[level]):
            if n + AHEAD < listed[level]:
                prefetch(lines[level].ctypes.data + 4 * LINE * np.uintp(own[n + AHEAD]))
            line = lines[level, own[n]]
            rows[begin + n] = level * lines.shape[1] + own[n]
            for feature in range(FEATURES):
                values[begin + n, feature] = share * line[FEATURES + feature]
                line[FEATURES + feature] = 0


@jit
def add_rows(lines, entries, listed, rows, values, begins, counter):
    """Add what `take_gradients` of a rank has written, and list the entries that it adds.

    Those of level l are rows[begins[l] : begins[l + 1]].
    """
    while True:
        level = len(listed) - 1 - fetch_add(counter.ctypes.data)
        if level < 0:
            return
        first, end, own = level * lines.shape[1], begins[level + 1], entries[level]
        for n in range(begins[level], end):
            if n + AHEAD < end:
                prefetch(lines[level].ctypes.data + 4 * LINE * np.uintp(rows[n + AHEAD] - first))
            line, is_zero = lines[level, rows[n] - first], True
            for feature in range(FEATURES):
                is_zero &= line[FEATURES + feature] == 0
                line[FEATURES + feature] += values[n, feature]
            if is_zero:
                own[min(listed[level], len(own) - 1)] = rows[n] - first
                listed[level] = min(listed[level] + 1, len(own) - 1)


@jit
def update_entries(lines, steps, entries, listed, settings, counter):
    """Do the second half of `update_table`, for the listed entries."""
    while True:
        level = len(listed) - 1 - fetch_add(counter.ctypes.data)
        if level < 0:
            return
        adam(lines[level], steps[level], entries[level, : listed[level]], *settings)


@jit
def _add_gradients(level, results, counts, scales, lines, entries):
    """Add the gradients of a level to its lines, list its entries, and return their number."""
    count = 0
    for part in range(len(results)):
        visible = int(counts[part, VISIBLE_SAMPLES])
        count = encode_backward(
            results[part].positions[:visible], results[part].encoded[:visible],
            scales[level], level * FEATURES, lines[level], entries[level], count)
    return count


@jit
def update_matrices(
    values, gradients, firsts, seconds, decay, correction1, correction2, rate, beta1, beta2,
    epsilon,
):  # fmt: skip
    """Take the step of reference.Adam for all matrices; each argument is one vector of them."""
    one = np.float32(1)
    for n in range(len(values)):
        gradient = gradients[n] + decay * values[n]
        firsts[n] += (one - beta1) * (gradient - firsts[n])
        seconds[n] += (one - beta2) * (gradient * gradient - seconds[n])
        root = np.sqrt(seconds[n] / correction2) + epsilon
        values[n] -= rate / correction1 * firsts[n] / root
