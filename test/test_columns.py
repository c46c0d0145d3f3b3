"""Columns: the kernels agree with NumPy for random voxels."""
import numpy as np
import pytest
import torch
from randomness import generator

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends.reference import columns as reference_columns
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, UNKNOWN

cpu_columns = pytest.importorskip('instant_nerf_ros.nerf.backends.cpu.kernels.columns')


def random_voxels(random, shape):
    """Return random states, and the votes that give them."""
    hits = random.integers(1, 9, shape) * (random.random(shape) < random.choice([0.02, 0.3]))
    misses = random.integers(0, 17 - hits) * (random.random(shape) < random.choice([0.6, 0.95]))
    hits, misses = hits.astype(np.uint8), misses.astype(np.uint8)
    states = backends.select('reference').states(torch.from_numpy(hits), torch.from_numpy(misses))
    return states.numpy(), hits, misses


@pytest.mark.parametrize('climb', [0, 1, 3])
@pytest.mark.parametrize('layers', [1, 2, 17])
def test_survey_columns_is_that_of_the_reference(climb, layers):
    random = generator()
    for _ in range(5):
        states, _, _ = random_voxels(random, (9, 7, layers))
        for actual, expected in zip(cpu_columns.survey_columns(states, climb),
                                    reference_columns.survey_columns(states, climb)):  # fmt: skip
            np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize('lower_shares', [(0.0, 0.0), (0.6, 0.6), (0.25, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize(('low', 'high'), [(1, 9), (0, 1), (-3, 4), (2, 40), (30, 40)])
def test_classify_columns_is_that_of_the_reference(low, high, lower_shares):
    random = generator()
    found = set()
    for _ in range(20):
        shape = 9, 7, 17
        states, hits, misses = random_voxels(random, shape)
        bases = random.integers(-2, 8, shape[:2])
        (cells, shares), (expected_cells, expected_shares) = (
            module.classify_columns(states, hits, misses, bases, low, high, *lower_shares)
            for module in (cpu_columns, reference_columns))  # fmt: skip
        np.testing.assert_array_equal(cells, expected_cells)
        np.testing.assert_allclose(shares, expected_shares, atol=1e-6)
        found |= set(np.unique(cells))
    assert UNKNOWN in found and (low == 30 or OCCUPIED in found)
    assert low == 30 or lower_shares[0] == 1 or FREE in found


def test_ground_ends_below_the_first_gap():
    states = np.full((1, 1, 9), FREE, np.int8)
    states[0, 0, [1, 2, 3, 6]] = OCCUPIED
    for module in (cpu_columns, reference_columns):
        for climb, top, ground in ((0, 2, False), (1, 3, True), (5, 3, True)):
            areas, tops, grounds = module.survey_columns(states, climb)
            assert (tops[0, 0], grounds[0, 0]) == (top, ground)
            assert areas.tolist() == [0, 0, 0, 1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize('columns', [cpu_columns, reference_columns])
def test_a_gap_between_rays_is_free_amid_free_columns(columns):
    states = np.full((5, 5, 12), FREE, np.int8)
    states[2, 2, 1:] = UNKNOWN

    def middle(states):
        none = np.zeros(states.shape, np.uint8)
        cells, shares = columns.classify_columns(
            states, none, none, np.zeros((5, 5), np.int64), 0, 12, 0.0, 0.0)
        assert (shares >= 0).tolist() == (cells != UNKNOWN).tolist()
        return cells[2, 2]

    assert middle(states) == FREE
    nothing, upper, beside, edge = (states.copy() for _ in range(4))
    nothing[2, 2] = UNKNOWN
    upper[2, 2, :2] = UNKNOWN, UNKNOWN
    upper[2, 2, 10] = FREE
    beside[2, 2, 5] = OCCUPIED
    edge[3, :, :] = UNKNOWN
    assert middle(nothing) == middle(upper) == middle(edge) == UNKNOWN
    assert middle(beside) == OCCUPIED


@pytest.mark.parametrize('columns', [cpu_columns, reference_columns])
def test_a_share_of_the_lower_half_must_be_free(columns):
    """Of twelve layers, the lower half has six."""
    def free(known, lower_share):
        states = np.full((1, 1, 12), FREE, np.int8)
        states[0, 0, known:6] = UNKNOWN
        none = np.zeros(states.shape, np.uint8)
        cells, _ = columns.classify_columns(
            states, none, none, np.zeros((1, 1), np.int64), 0, 12, lower_share, 0.0)
        return cells[0, 0] == FREE

    assert free(1, 0.0) and not free(0, 0.0)
    assert free(3, 0.5) and not free(2, 0.5)
    assert free(6, 1.0) and not free(5, 1.0)


@pytest.mark.parametrize('columns', [cpu_columns, reference_columns])
def test_beside_an_obstacle_more_of_the_lower_half_must_be_free(columns):
    """Of twelve layers, the lower half has six."""
    states = np.full((5, 1, 12), FREE, np.int8)
    states[0, 0, 8] = OCCUPIED
    states[1:, 0, 5] = UNKNOWN

    def free(obstacle_share):
        none = np.zeros(states.shape, np.uint8)
        cells, shares = columns.classify_columns(
            states, none, none, np.zeros((5, 1), np.int64), 0, 12, 0.25, obstacle_share)
        assert (shares >= 0).tolist() == (cells != UNKNOWN).tolist()
        return (cells[1:, 0] == FREE).tolist()

    assert free(1.0) == [False, False, True, True]
    assert free(0.8) == [True, True, True, True]
