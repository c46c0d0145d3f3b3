"""The kernels of a training step on the CPU, each timed on one thread."""
import time
from collections.abc import Callable

import numba
import numpy as np
import torch
from report import Table

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.nerf.backends.cpu.kernels import hash_grid, ray_tracing, train_step
from instant_nerf_ros.nerf.backends.cpu.kernels.color_network import color_network
from instant_nerf_ros.nerf.backends.cpu.kernels.marching import Rays
from instant_nerf_ros.nerf.backends.cpu.kernels.pixels import VISIBLE_SAMPLES, Targets
from instant_nerf_ros.nerf.backends.cpu.networks import pack, pack_backward
from instant_nerf_ros.nerf.backends.cpu.step_buffers import empty_rendering
from instant_nerf_ros.nerf.backends.cpu.train_step import _space, weights
from instant_nerf_ros.nerf.constants import FEATURES

REPEATS = 15


@numba.njit(nogil=True)
def forward(rays, space, field, extent, chunk, with_colors):
    """Trace all rays, chunk by chunk, and evaluate the color network if that is wanted."""
    for first in range(0, len(rays.origins), ray_tracing.RAYS):
        last = min(first + ray_tracing.RAYS, len(rays.origins))
        stop, count = train_step._trace(first, last, rays, space, field, extent, chunk)
        if with_colors:
            color_network(first, stop, count, rays, field, chunk)


def measure(mapper: Mapper) -> Table:
    """Return the table of a mapper that is warm."""
    trainer = mapper.trainer
    geometry, color, config = trainer.field.geometry, trainer.field.color, trainer.config
    batch, _ = mapper.backend.sample_rays(
        mapper.keyframes, trainer.schedule.rays, np.random.default_rng(0), 0.0)
    jitter, background = torch.rand(len(batch)).numpy(), torch.rand(len(batch), 3).numpy()
    rays = Rays(*(x.numpy() for x in (batch.origins, batch.directions)), jitter,
                batch.surfaces.numpy())
    targets = Targets(batch.pixels.numpy() / np.float32(255), background)
    space = _space(mapper.occupancy, config.sampling, trainer.schedule.stride, False)
    field, extent = pack(geometry, color), np.float32(trainer.field.extent)
    backward, loss = pack_backward(geometry, color), weights(config.loss)
    chunk, buffers = geometry.chunks[0], geometry.step_buffers(0)
    rendered = empty_rendering(len(batch))
    work, results, counts = buffers.works[0], buffers.results[0], buffers.counts[0]
    optimizer, entries = trainer.optimizer, trainer.optimizer.entries[0]

    def whole() -> None:
        counts[:] = 0
        train_step.train_step(
            rays, targets, space, loss, field, extent, backward, rendered, chunk, work, results,
            counts, np.zeros(1, dtype=np.int64))

    def scatter(level: int) -> int:
        return hash_grid.encode_backward(
            results.positions[:visible], results.encoded[:visible], field.scales[level],
            level * FEATURES, geometry.lines[level], entries, 0)

    def update() -> None:
        for level in range(len(field.scales)):
            hash_grid.adam(
                geometry.lines[level], optimizer.updates[level], entries[:scatter(level)],
                *optimizer.corrections, np.float32(0), *optimizer.settings)

    whole()
    visible = int(counts[VISIBLE_SAMPLES])
    traced, colored, complete = (_shortest(call) for call in (
        lambda: forward(rays, space, field, extent, chunk, False),
        lambda: forward(rays, space, field, extent, chunk, True), whole))
    encoded = np.empty_like(results.encoded[:visible])
    positions = results.positions[:visible].copy()
    interpolated = _shortest(
        lambda: hash_grid.encode(positions, field.lines, field.scales, encoded))
    updated = _shortest(update)
    rows = [
        ['march, hash grid, density network', traced],
        ['in it: the hash grid, of the visible samples', interpolated],
        ['color network', colored - traced],
        ['composite, loss, backward pass of the networks', complete - colored],
        ['gradients of the hash grid, and Adam', updated],
    ]  # fmt: skip
    return Table([f'{visible:,} samples, one thread', 'ms', 'ns per sample'],
                 [[name, 1e3 * took, 1e9 * took / visible] for name, took in rows])


def _shortest(call: Callable[[], None]) -> float:
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)
