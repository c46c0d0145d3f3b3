"""Columns: the kernels say what plain numpy says, of whatever voxels."""
import numpy as np
import pytest
import torch
from randomness import generator

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends.reference import columns
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, UNKNOWN

kernels = pytest.importorskip('instant_nerf_ros.nerf.backends.cpu.kernels.columns')


def voxels(random, shape):
    """Return states and votes that fit them, of columns that are much alike."""
    hits = random.integers(1, 9, shape) * (random.random(shape) < random.choice([0.02, 0.3]))
    misses = random.integers(0, 17 - hits) * (random.random(shape) < random.choice([0.6, 0.95]))
    hits, misses = hits.astype(np.uint8), misses.astype(np.uint8)
    states = backends.select('reference').states(torch.from_numpy(hits), torch.from_numpy(misses))
    return states.numpy(), hits, misses


@pytest.mark.parametrize('climb', [0, 1, 3])
@pytest.mark.parametrize('layers', [1, 2, 17])
def test_kernels_survey_as_numpy_does(climb, layers):
    random = generator()
    for _ in range(5):
        states, _, _ = voxels(random, (9, 7, layers))
        for ours, theirs in zip(kernels.survey(states, climb),
                                columns.survey(states, climb)):  # fmt: skip
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(('low', 'high'), [(1, 9), (0, 1), (-3, 4), (2, 40), (30, 40)])
def test_kernels_judge_as_numpy_does(low, high):
    random = generator()
    found = set()
    for _ in range(20):
        shape = 9, 7, 17
        states, hits, misses = voxels(random, shape)
        bases = random.integers(-2, 8, shape[:2])
        (cells, shares), (others, other_shares) = (
            module.judge(states, hits, misses, bases, low, high)
            for module in (kernels, reference_columns))  # fmt: skip
        np.testing.assert_array_equal(cells, others)
        np.testing.assert_allclose(shares, other_shares, atol=1e-6)
        found |= set(np.unique(cells))
    assert UNKNOWN in found and (low == 30 or {FREE, OCCUPIED} <= found)


def test_a_gap_above_the_floor_is_where_it_ends():
    states = np.full((1, 1, 9), FREE, np.int8)
    states[0, 0, [1, 2, 3, 6]] = OCCUPIED
    for module in (kernels, reference_columns):
        for climb, top, ground in ((0, 2, False), (1, 3, True), (5, 3, True)):
            areas, tops, grounds = module.survey(states, climb)
            assert (tops[0, 0], grounds[0, 0]) == (top, ground)
            assert areas.tolist() == [0, 0, 0, 1, 0, 0, 1, 0, 0]
