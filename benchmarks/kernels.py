"""What the kernels of a lesson take, on one thread: the processor backend, taken apart."""
import time

import numba
import numpy as np
import torch
from report import Table

from instant_nerf_ros.nerf.capture import rays
from instant_nerf_ros.nerf.backends.cpu import train_step
from instant_nerf_ros.nerf.backends.cpu.kernels import hash_grid, train_step, ray_tracing
from instant_nerf_ros.nerf.backends.cpu.networks import pack, pack_back
from instant_nerf_ros.nerf.backends.cpu.kernels.marching import Rays
from instant_nerf_ros.nerf.backends.cpu.kernels.pixels import LIT, Wanted

REPEATS = 15


@numba.njit(nogil=True)
def trace(seen, space, field, extent, chunk, with_colors):
    """Go as far as the samples, or as their colours."""
    for first in range(0, len(seen.origins), ray_tracing.RAYS):
        last = min(first + ray_tracing.RAYS, len(seen.origins))
        stop, count = train_step._trace(first, last, seen, space, field, extent, chunk)
        if with_colors:
            train_step.shine(first, stop, count, seen, field, chunk)


def measure(mapper):
    """Return the table of a mapper that is warm."""
    config, geometry = mapper.config, mapper.field.geometry
    batch, _ = rays.draw(mapper.keyframes, mapper.schedule.rays, mapper.random, 0.0)
    jitter, light = torch.rand(len(batch)).numpy(), torch.rand(len(batch), 3).numpy()
    seen = Rays(*(x.numpy() for x in (batch.origins, batch.directions)), jitter,
                batch.surfaces.numpy())
    wanted = Wanted(batch.pixels.numpy() / np.float32(255), light)
    space = train_step._space(mapper.occupancy, config.sampling, mapper.schedule.stride, False)
    field, extent = pack(geometry, mapper.field.color), np.float32(mapper.field.extent)
    back, loss = pack_back(geometry, mapper.field.color), train_step.weights(config.loss)
    chunk, room, shown = geometry.chunks[0], geometry.room, train_step._shown(len(batch))
    work, learnt, counts = room.works[0], room.learnt[0], room.counts[0]

    def learn():
        counts[:] = 0
        train_step.learn(seen, wanted, space, loss, field, extent, back, shown, chunk, work,
                           learnt, counts, np.zeros(1, dtype=np.int64))

    def scatter(level):
        return hash_grid.encode_backward(
            learnt.positions[:lit], learnt.encoded[:lit], field.scales[level],
            level * hash_grid.FEATURES, geometry.lines[level], entries, 0)

    def update():
        for level in range(len(field.scales)):
            hash_grid.adam(
                geometry.lines[level], optimizer.updates[level], entries[:scatter(level)],
                *optimizer.corrections, np.float32(0), *optimizer.settings)

    optimizer, entries = mapper.optimizer, mapper.optimizer.entries[0]
    learn()
    lit = int(counts[LIT])
    traced, colored, taught = (_shortest(call) for call in (
        lambda: trace(seen, space, field, extent, chunk, False),
        lambda: trace(seen, space, field, extent, chunk, True), learn))
    encoded = np.empty_like(learnt.encoded[:lit])
    places = learnt.positions[:lit].copy()
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
    return Table([f'{lit:,} samples, one thread', 'ms', 'ns per sample'],
                 [[name, 1e3 * took, 1e9 * took / lit] for name, took in rows])


def _shortest(call):
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)
