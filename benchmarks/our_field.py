"""Worker: steps of our field: rays, samples, field, composite, loss, gradients, Adam.

Usage: our_field.py FILE. Learns the RGB-D scene for a while and writes an .npz of the `positions`
(N, 3) in [0, 1] of the samples of one step. Answers the median seconds of some steps on these.
"""
import sys
import time

import numpy as np
import torch
from datasets import load_rgbd
from workers import serve

from instant_nerf_ros.nerf.capture import rays
from instant_nerf_ros.nerf.field import train_step

EXTENT = 20.0  # metres that are [0, 1], so that the finest cells of the peer are about ours: 1 cm
SAMPLES = 16384
STEPS = 600  # until few samples are in empty space
REPEATS = 10


def make_step(path):
    """Return a function that takes one training step, and write where its samples are."""
    mapper = load_rgbd().trained(STEPS, {'sampling.samples_per_step': SAMPLES})
    batch, _ = rays.sample_rays(
        mapper.keyframes, mapper.schedule.rays, mapper.random, mapper.config.sampling.error_share)
    jitter, background = torch.rand(len(batch)), torch.rand(len(batch), 3)

    def learn():
        return train_step.train_step(
            mapper.field, batch, mapper.occupancy, mapper.config, mapper.backend, jitter,
            background, mapper.schedule.stride, mapper.backend.SAMPLES)

    positions = learn().positions.numpy()
    np.savez(path, positions=np.clip(
        (positions - positions.mean(0)) / EXTENT + 0.5, 0, 1).astype(np.float32))

    def step():
        learnt = learn()
        mapper.optimizer.step(1e-6)  # so small that the samples stay those
        # A place that has become opaque meanwhile hides another, now and then.
        assert abs(len(learnt.positions) - len(positions)) < 0.01 * len(positions)
    return step


def main():
    """Answer until standard input ends."""
    step = make_step(sys.argv[1])

    def measure():
        times = []
        for _ in range(REPEATS):
            begin = time.perf_counter()
            step()
            times.append(time.perf_counter() - begin)
        return float(np.median(times))
    serve(measure)


main()
