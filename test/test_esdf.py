"""ESDF: distances against brute force and closed forms."""
import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf.products import esdf
from instant_nerf_ros.nerf.products.grids import VoxelGrid

SIZE = 0.05
ORIGIN = np.array([-1.0, 2.0, -0.025])


def brute_force(states, level):
    """Return the signed distances [voxels] of a layer as {index: distance}."""
    padded = np.pad(states, 1, constant_values=UNKNOWN)
    free, other = np.argwhere(padded == FREE) - 1, np.argwhere(padded != FREE) - 1
    result = {}
    for index in np.argwhere(states != UNKNOWN):
        if index[2] == level:
            targets, sign = (other, 1) if states[tuple(index)] == FREE else (free, -1)
            result[tuple(index)] = sign * np.sqrt(((targets - index) ** 2).sum(-1).min())
    return result


@pytest.mark.parametrize('unknown', [0.0, 0.1, 0.6])
def test_distances_are_exact_and_unknown_counts_as_occupied(unknown):
    random = generator()
    states = np.full((11, 13, 9), FREE, np.int8)
    states[random.random(states.shape) < 0.03] = OCCUPIED
    states[random.random(states.shape) < unknown] = UNKNOWN
    found = esdf.esdf_slice(VoxelGrid(states, ORIGIN, SIZE), 4 * SIZE)
    index = np.round((found.positions - ORIGIN) / SIZE - 0.5).astype(int)
    expected = brute_force(states, 4)
    assert {tuple(one) for one in index} == set(expected) and len(index) == len(expected)
    np.testing.assert_allclose(
        found.distances, [expected[tuple(one)] * SIZE for one in index], rtol=1e-5)
    # Against the gradient, at the distance, there is a voxel of the other kind.
    ends = np.round(
        (found.positions - found.distances[:, None] * found.gradients - ORIGIN) / SIZE - 0.5)
    ends = ends.astype(int) + 1
    padded = np.pad(states, 1, constant_values=UNKNOWN)
    assert ((padded[tuple(ends.T)] == FREE) == (found.distances < 0)).all()
    np.testing.assert_allclose(np.linalg.norm(found.gradients, axis=-1), 1, atol=1e-5)


def test_distances_in_front_of_a_wall_in_closed_form():
    states = np.full((100, 100, 100), FREE, np.int8)
    states[:10] = OCCUPIED
    found = esdf.esdf_slice(VoxelGrid(states, np.zeros(3), SIZE), 2.5)
    middle = np.abs(found.positions[:, 1] - 2.5) < 0.1
    x = found.positions[middle, 0]
    # Outside of the grid is unknown.
    expected = np.minimum(x - 0.475, np.minimum(5.025 - x, 2.475))
    near = (x > 0.5) & (x < 2.4)
    np.testing.assert_allclose(found.distances[middle][near], expected[near], atol=1e-5)
    np.testing.assert_allclose(found.gradients[middle][near], [[1, 0, 0]] * near.sum(), atol=1e-6)
    inside = x < 0.5
    np.testing.assert_allclose(found.distances[middle][inside], (x - 0.525)[inside], atol=1e-5)


@pytest.mark.parametrize(('fill', 'height'), [
    (UNKNOWN, 0.1), (OCCUPIED, 0.1), (FREE, -1.0), (FREE, 9.0)])
def test_without_free_voxels_or_outside_of_the_grid_it_is_empty(fill, height):
    grid = VoxelGrid(np.full((4, 5, 6), fill, np.int8), ORIGIN, SIZE)
    found = esdf.esdf_slice(grid, height)
    assert len(found.positions) == len(found.distances) == len(found.gradients) == 0
    assert found.positions.dtype == np.float64 and found.distances.dtype == np.float32
