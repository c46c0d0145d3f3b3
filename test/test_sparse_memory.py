"""Sparse memory: only written pages take memory, also after a copy."""
import os

import numpy as np
import torch

from instant_nerf_ros.nerf.occupancy import sparse_memory

SHAPE = 512, 512, 256  # 64 MiB as bytes


def resident():
    """Return the resident memory of this process [MiB]."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20


def test_a_few_columns_of_a_large_grid_take_little_memory():
    grid = sparse_memory.zeros((10, 10, 256), torch.float32)
    sparse_memory.copy_used(grid, grid.clone())  # so that torch has loaded its libraries
    before = resident()
    grid = sparse_memory.zeros(SHAPE, torch.uint8)
    columns = np.random.default_rng(0).choice(SHAPE[0] * SHAPE[1], 500, replace=False)
    grid.view(-1, SHAPE[2])[torch.from_numpy(columns)] = 7
    assert resident() - before < 8
    grown = sparse_memory.zeros((SHAPE[0], 2 * SHAPE[1], SHAPE[2]), torch.uint8)
    sparse_memory.copy_used(grid, grown[:, SHAPE[1] :])
    assert resident() - before < 16
    assert torch.equal(grown[:, SHAPE[1] :][::7], grid[::7])
    assert int((grown != 0).sum()) == 500 * SHAPE[2]


def test_grids_of_all_types_are_zero_and_writable():
    for shape, kind in (((3, 4, 5), torch.float32), ((3, 4, 5, 3), torch.uint8),
                        ((0, 4, 5), torch.uint8)):  # fmt: skip
        grid = sparse_memory.zeros(shape, kind)
        assert tuple(grid.shape) == shape and not grid.any()
        grid += 1
        copy = torch.zeros_like(grid)
        sparse_memory.copy_used(grid, copy)
        assert torch.equal(copy, grid)
