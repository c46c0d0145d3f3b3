"""Worker: steps of our field, with nothing around it.

Usage: our_field.py SAMPLES. Answers the median seconds of some steps: forward, backward, Adam.
"""
import sys
import time

import numpy as np
import torch
from workers import serve

from instant_nerf_ros.nerf import Config, backends
from instant_nerf_ros.nerf.field import Field
from instant_nerf_ros.nerf.samples import Samples

EXTENT = 20.48  # metres, with which the finest cell is that of the peer
REPEATS = 10


def make_step(count):
    """Return a function that takes one training step; every sample is a ray of its own."""
    config = Config()
    engine = backends.select(config.device)
    field = Field(config.field, engine)
    settings = config.optimizer
    optimizer = engine.Adam(
        field.geometry, field.color, settings.beta1, settings.beta2, settings.epsilon,
        settings.weight_decay)
    directions = torch.randn(count, 3)
    directions /= directions.norm(dim=-1, keepdim=True)
    samples = Samples(
        torch.arange(count + 1), torch.arange(count), torch.zeros(count), torch.ones(count),
        EXTENT * (torch.rand(count, 3) - 0.5))
    gradients = torch.randn(count), torch.randn(count, 3)

    def step():
        densities, colors = field(samples, directions, torch.ones_like)  # all are visible
        optimizer.zero_grad()
        torch.autograd.backward([densities, colors], gradients)
        optimizer.step(settings.learning_rate)
    return step


def main():
    """Answer until standard input ends."""
    step = make_step(int(sys.argv[1]))

    def measure():
        times = []
        for _ in range(REPEATS):
            begin = time.perf_counter()
            step()
            times.append(time.perf_counter() - begin)
        return float(np.median(times))
    serve(measure)


main()
