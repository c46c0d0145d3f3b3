"""Layers: the matrix products of the CPU kernels, and their exponential."""
import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import exp
from instant_nerf_ros.nerf.backends.cpu.kernels.layers import layer, make_packed, outer, pack
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BFLOAT16, BLOCK, NO_FLOOR, RELU

ROUNDING = 2**-7 if BFLOAT16 else 1e-6  # of a product, relative: that of both its factors


def packed(matrix):
    result = make_packed(*matrix.shape)
    pack(matrix, result)
    return result

@pytest.mark.parametrize('rows, depth, width', [(8, 16, 16), (64, 32, 64), (203, 64, 48)])
def test_products_are_those_of_numpy(rows, depth, width):
    random = generator()
    inputs, gradients = (
        random.normal(size=(rows + 8, columns)).astype(np.float32) for columns in (depth, width))
    matrix = random.normal(size=(depth, width)).astype(np.float32)
    given = random.normal(size=(rows + 8, width)).astype(np.float32)
    whole = -(-rows // BLOCK) * BLOCK
    for adds, floor in ((False, RELU), (True, RELU), (False, NO_FLOOR), (True, NO_FLOOR)):
        results = given.copy()
        layer(inputs, packed(matrix), results, rows, adds, floor)
        expected = np.maximum(inputs @ matrix + adds * given, floor)
        error = ROUNDING * (np.abs(inputs) @ np.abs(matrix)) + 1e-5
        assert (np.abs(results - expected) < error)[:rows].all()
        np.testing.assert_array_equal(results[whole:], given[whole:])
    results = np.ones((width, depth), dtype=np.float32)
    gradients[rows:] = inputs[rows:] = np.nan  # nothing of these counts
    outer(gradients, inputs, results, rows)
    gradients, inputs = gradients[:rows], inputs[:rows]
    error = ROUNDING * (np.abs(gradients).T @ np.abs(inputs)) + 1e-4
    assert (np.abs(results - 1 - gradients.T @ inputs) < error).all()


def test_products_propagate_nan_and_infinity():
    for number in (np.nan, np.inf, -np.inf):
        values = np.full((8, 16), number, dtype=np.float32)
        results, gradient = np.zeros((8, 16), np.float32), np.zeros((16, 16), np.float32)
        layer(values, packed(gradient), results, 8, False, RELU)
        outer(values, np.zeros_like(values), gradient, 8)
        assert np.isnan(results).all() and np.isnan(gradient).all()

def test_the_exponential_is_that_of_numpy():
    values = generator().uniform(-86, 87, 20_000).astype(np.float32)
    results = np.array([exp(value) for value in values])
    np.testing.assert_allclose(results, np.exp(values.astype(float)), rtol=3e-7)
    assert np.isnan(exp(np.float32(np.nan))) and exp(np.float32(0)) == 1
    assert 0 < exp(np.float32(-np.inf)) < 1e-37 and 1e37 < exp(np.float32(np.inf)) < np.inf
