"""Numba kernels of the optimizer: Adam for the hash grid and for the matrices."""
import numpy as np

from instant_nerf_ros.nerf.backends.cpu.kernels.hash_grid import adam, encode_backward
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import fetch_add, jit
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
        count = 0
        for part in range(len(results)):
            visible = int(counts[part, VISIBLE_SAMPLES])
            count = encode_backward(
                results[part].positions[:visible], results[part].encoded[:visible],
                scales[level], level * FEATURES, lines[level], entries[level], count)
        adam(lines[level], steps[level], entries[level, :count], *settings)


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
