"""Worker: lower bounds of a training step, as bare matrix products and bare gathers in torch.

Usage: lower_bounds.py FILE, an .npz of `samples` (how many go through both networks), `geometry`
and `color` (rows of outputs, inputs), `positions` (N, 3) in [0, 1], `scales` (L,) and
`entries`. Returns {'products': ..., 'gathers': ...} of one step in float32, each the seconds
with all threads and with one.
"""
import math
import sys
import time

import numpy as np
import torch
from workers import serve

PRIMES = (1, 2654435761, 805459861)  # of the spatial hash (Mueller et al. 2022, eq. 4)
FEATURES = 4
ALL_THREADS = torch.get_num_threads()
DURATION = 1.0  # s, long enough for one run that no other process disturbs


def product(rows, outputs, inputs):
    """Return a function of a layer's three products: forward, and the gradients of both inputs."""
    values, gradient = torch.randn(rows, inputs), torch.randn(rows, outputs)
    weights = torch.randn(outputs, inputs)
    results = torch.empty(rows, outputs), torch.empty(rows, inputs), torch.empty(outputs, inputs)

    def run():
        torch.mm(values, weights.T, out=results[0])
        torch.mm(gradient, weights, out=results[1])
        torch.mm(gradient.T, values, out=results[2])
    return run


def gather(positions, scale, entries):
    """Return a function that reads the eight entries of every position on a level."""
    corner = (positions * scale + 0.5).long()
    offsets = torch.tensor([[bits & 1, bits >> 1 & 1, bits >> 2 & 1] for bits in range(8)])
    x, y, z = ((corner[:, None] + offsets) * torch.tensor(PRIMES)).unbind(-1)
    index = ((x ^ y ^ z) & (entries - 1)).flatten()
    table, result = torch.randn(entries, FEATURES), torch.empty(len(index), FEATURES)
    return lambda: torch.index_select(table, 0, index, out=result)


def seconds(parts):
    """Return the shortest times of running all parts once, with all threads and with one.

    The shortest is the bound: longer ones were disturbed by other processes.
    """
    shortest = {}
    for threads in (ALL_THREADS, 1):
        torch.set_num_threads(threads)
        start, shortest[threads] = time.perf_counter(), math.inf
        while time.perf_counter() - start < DURATION:
            begin = time.perf_counter()
            for run in parts:
                run()
            shortest[threads] = min(shortest[threads], time.perf_counter() - begin)
    return shortest[ALL_THREADS], shortest[1]


def main():
    """Serve until standard input ends."""
    step = np.load(sys.argv[1])
    products = [product(int(step['samples']), *shape)
                for network in ('geometry', 'color') for shape in step[network].tolist()]
    positions = torch.from_numpy(step['positions'])
    gathers = [gather(positions, float(scale), int(step['entries'])) for scale in step['scales']]
    serve(lambda: {'products': seconds(products), 'gathers': seconds(gathers)})


main()
