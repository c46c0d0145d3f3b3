"""Worker: steps of our field: rays, samples, field, composite, loss, gradients, Adam.

Usage: our_field.py SAMPLES. Answers the median seconds of some steps.
"""
import sys
import time

import numpy as np
import torch
from workers import serve

from instant_nerf_ros.nerf import Config, backends, lesson, replace
from instant_nerf_ros.nerf.backends.reference_voxels import SOLID
from instant_nerf_ros.nerf.field import Field
from instant_nerf_ros.nerf.occupancy import Occupancy
from instant_nerf_ros.nerf.rays import Rays

EXTENT = 20.0  # metres, edge of the cube from whose places light is taken
ALONG = 16  # samples of a ray, all of them seen
REPEATS = 10


def make_step(count):
    """Return a function that takes one training step, with as many samples as are asked for."""
    config = replace(Config(), {
        'occupancy.voxel_size': 0.2, 'occupancy.length': EXTENT + 8, 'occupancy.width': EXTENT + 8,
        'occupancy.height': EXTENT + 8, 'sampling.near': 0.0, 'sampling.cone': 0.0,
        'sampling.min_step': 0.1, 'sampling.far': 0.1 * (ALONG - 0.01),
    })  # fmt: skip
    engine = backends.select(config.device)
    field = Field(config.field, engine)
    settings = config.optimizer
    optimizer = engine.Adam(
        field.geometry, field.color, settings.beta1, settings.beta2, settings.epsilon,
        settings.weight_decay)
    occupancy = Occupancy(config.occupancy, [0.0, 0.0, 0.0], engine)
    occupancy.voxels.fill_(SOLID)
    number = count // ALONG
    directions = torch.randn(number, 3)
    directions /= directions.norm(dim=-1, keepdim=True)
    rays = Rays(
        EXTENT * (torch.rand(number, 3) - 0.5), directions, torch.zeros(number),
        torch.randint(0, 256, (number, 3)).byte())
    jitter, background = torch.zeros(number), torch.rand(number, 3)

    def step():
        learnt = lesson.learn(field, rays, occupancy, config, engine, jitter, background, 1.0)
        assert len(learnt.positions) == number * ALONG
        optimizer.step(1e-6)  # so small that the fog stays as thin as it is
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
