"""Worker: training steps of our field: rays, samples, field, composite, loss, gradients, Adam.

Usage: our_field.py FILE. Trains on the RGB-D scene for a while, and writes an .npz of the
`positions` (N, 3) in [0, 1] of the samples of one step. Returns the median seconds of some steps
on these samples.
"""
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from datasets import load_rgbd
from workers import serve

from instant_nerf_ros.nerf.field.train_step import StepResult

EXTENT = 20.0  # metres that are [0, 1], so that the finest cells of the peer are about ours: 1 cm
SAMPLES = 16384
STEPS = 600  # until few samples are in empty space
RATE = 1e-6  # learning rate: so small that the samples stay the same
REPEATS = 10


def make_step(path: str) -> Callable[[], None]:
    """Return a function that takes one training step, and write the positions of its samples."""
    mapper = load_rgbd().trained(STEPS, {'sampling.samples_per_step': SAMPLES})
    backend, config, schedule = mapper.backend, mapper.trainer.config, mapper.trainer.schedule
    batch, _ = backend.sample_rays(
        mapper.keyframes, schedule.rays, np.random.default_rng(0), config.sampling.error_share)
    jitter, background = torch.rand(len(batch)), torch.rand(len(batch), 3)

    def compute_gradients() -> StepResult:
        return backend.train_step(
            mapper.trainer.field, batch, mapper.occupancy, config, jitter, background,
            schedule.stride, SAMPLES)

    positions = compute_gradients().positions.numpy().copy()
    np.savez(path, positions=np.clip(
        (positions - positions.mean(0)) / EXTENT + 0.5, 0, 1).astype(np.float32))

    def step() -> None:
        result = compute_gradients()
        mapper.trainer.optimizer.step(RATE)
        # Now and then, something that has become opaque hides a few samples.
        assert abs(len(result.positions) - len(positions)) < 0.01 * len(positions)
    return step


def main() -> None:
    """Serve until standard input ends."""
    step = make_step(sys.argv[1])

    def measure() -> float:
        times = []
        for _ in range(REPEATS):
            begin = time.perf_counter()
            step()
            times.append(time.perf_counter() - begin)
        return float(np.median(times))
    serve(measure)


main()
