"""What the kernels of a lesson take, on one thread: the processor backend, taken apart."""
import time

import numba
import numpy as np
import torch
from report import Table

from instant_nerf_ros.nerf.backends.cpu import train_step
from instant_nerf_ros.nerf.backends.cpu.kernels import hash_grid, ray_tracing, train_step
from instant_nerf_ros.nerf.backends.cpu.kernels.marching import Rays
from instant_nerf_ros.nerf.backends.cpu.kernels.pixels import VISIBLE_SAMPLES, Targets
from instant_nerf_ros.nerf.backends.cpu.networks import pack, pack_back
from instant_nerf_ros.nerf.capture import rays

REPEATS = 15


@numba.njit(nogil=True)
def trace(seen, space, field, extent, chunk, with_colors):
    """Go as far as the samples, or as their colours."""
    for first in range(0, len(seen.origins), ray_tracing.RAYS):
        last = min(first + ray_tracing.RAYS, len(seen.origins))
        stop, count = train_step._trace(first, last, seen, space, field, extent, chunk)
        if with_colors:
            train_step.color_network(first, stop, count, seen, field, chunk)


def measure(mapper):
    """Return the table of a mapper that is warm."""
    config, geometry = mapper.config, mapper.field.geometry
    batch, _ = rays.sample_rays(mapper.keyframes, mapper.schedule.rays, mapper.random, 0.0)
    jitter, light = torch.rand(len(batch)).numpy(), torch.rand(len(batch), 3).numpy()
    seen = Rays(*(x.numpy() for x in (batch.origins, batch.directions)), jitter,
                batch.surfaces.numpy())
    targets = Targets(batch.pixels.numpy() / np.float32(255), light)
    space = train_step._space(mapper.occupancy, config.sampling, mapper.schedule.stride, False)
    field, extent = pack(geometry, mapper.field.color), np.float32(mapper.field.extent)
    back, loss = pack_back(geometry, mapper.field.color), train_step.weights(config.loss)
    chunk, buffers, rendered = geometry.chunks[0], geometry.buffers, train_step._empty_rendering(len(batch))
    work, results, counts = buffers.works[0], buffers.results[0], buffers.counts[0]

    def learn():
        counts[:] = 0
        train_step.train_step(seen, targets, space, loss, field, extent, back, rendered, chunk, work,
                           results, counts, np.zeros(1, dtype=np.int64))

    def scatter(level):
        return hash_grid.encode_backward(
            results.positions[:visible_samples], results.encoded[:visible_samples], field.scales[level],
            level * hash_grid.FEATURES, geometry.lines[level], entries, 0)

    def update():
        for level in range(len(field.scales)):
            hash_grid.adam(
                geometry.lines[level], optimizer.updates[level], entries[:scatter(level)],
                *optimizer.corrections, np.float32(0), *optimizer.settings)

    optimizer, entries = mapper.optimizer, mapper.optimizer.entries[0]
    learn()
    visible_samples = int(counts[VISIBLE_SAMPLES])
    traced, colored, taught = (_shortest(call) for call in (
        lambda: trace(seen, space, field, extent, chunk, False),
        lambda: trace(seen, space, field, extent, chunk, True), learn))
    encoded = np.empty_like(results.encoded[:visible_samples])
    places = results.positions[:visible_samples].copy()
    interpolated = _shortest(
        lambda: hash_grid.encode(places, field.lines, field.scales, encoded))
    updated = _shortest(update)
    rows = [
        ['march, grid, density network', traced],
        ['in it: the grid, of the samples lit', interpolated],
        ['colour network', colored - traced],
        ['composite, loss, back through the networks', taught - colored],
        ['gradients of the grid, and Adam', updated],
    ]  # fmt: skip
    return Table([f'{visible_samples:,} samples, one thread', 'ms', 'ns per sample'],
                 [[name, 1e3 * took, 1e9 * took / visible_samples] for name, took in rows])


def _shortest(call):
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)
