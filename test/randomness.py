"""Random inputs; the seed is printed, and pytest shows it with a failure.

They are new in every run, which finds unexpected failures. On a build server, which sets CI, each
test always has the same inputs, so that a failure is due to a change and not to chance (as with
Hypothesis).
"""
import os
import secrets
import zlib

import numpy as np
import torch

from instant_nerf_ros.nerf.capture.rays import Rays


def generator():
    """Return a numpy Generator with a new seed; where CI is set, with the seed of the test."""
    if os.environ.get('CI'):
        seed = zlib.crc32(os.environ['PYTEST_CURRENT_TEST'].encode())
    else:
        seed = secrets.randbits(32)
    print(f'seed of the random inputs: {seed}')
    return np.random.default_rng(seed)


def floats(array):
    """Return an array as a float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def unit(random, count):
    """Return unit vectors (count, 3) float32, uniform on the sphere."""
    vectors = random.normal(size=(count, 3))
    return floats(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def random_rays(random, count, measured):
    """Return rays from in and around the grid, a share of them with a measured surface."""
    surfaces = random.uniform(0.05, 2.5, count) * (random.random(count) < measured)
    return Rays(
        floats(random.uniform(-3.5, 3.5, (count, 3))), unit(random, count), floats(surfaces),
        torch.from_numpy(random.integers(0, 256, (count, 3), dtype=np.uint8)))
