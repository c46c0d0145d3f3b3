"""Random inputs, fresh in every run; the seed is printed, and pytest shows it with a failure."""
import secrets

import numpy as np
import torch


def generator():
    """Return a numpy Generator with a new seed."""
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
