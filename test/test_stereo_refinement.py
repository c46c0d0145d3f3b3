"""Refinement of stereo: the kernels against the reference and closed forms."""
import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.nerf.backends.cpu.kernels import stereo_refinement as cpu
from instant_nerf_ros.nerf.backends.reference import stereo_refinement as reference

MODULES = pytest.mark.parametrize('module', [cpu, reference])


def random_values(random):
    """Return values (P, H, W), some unknown, and variances; no value is at the gate."""
    values = random.normal(size=(6, 12, 16))
    values[random.random(values.shape) < 0.3] = np.nan
    values[:, 0, 0] = np.nan
    return values.astype(np.float32), random.uniform(0.1, 2, values.shape).astype(np.float32)


def test_gradients_are_those_of_the_reference():
    random = generator()
    image, other = random.uniform(0, 100, (2, 24, 32)).astype(np.float32)
    affine = (np.eye(3) + random.normal(scale=(0.01, 0.01, 1e-4), size=(3, 3))).astype(np.float32)
    shift = random.normal(scale=(8, 8, 0.3), size=3).astype(np.float32)
    inverse_depth = random.uniform(0.1, 2, image.shape).astype(np.float32)
    inverse_depth[3] = np.nan
    arguments = image, other, affine, shift, inverse_depth
    for actual, expected in zip(
            cpu.epipolar_gradients(*arguments), reference.epipolar_gradients(*arguments)):
        # At the border of an image, either may call a pixel inside.
        assert (abs(actual - expected) < 1e-2 + 1e-3 * abs(expected)).mean() > 0.99
        assert (expected[4:] != 0).mean() > 0.1 and not expected[3].any()


@MODULES
def test_gradients_of_a_ramp_in_closed_form(module):
    # Three gray levels a pixel, seen by a camera beside: a disparity of 4 pixels m, and 1.5 / m.
    columns = np.broadcast_to(np.arange(32, dtype=np.float32), (24, 32))
    shift = np.array([4, 0, 0], np.float32)
    error, gradient, speed = module.epipolar_gradients(
        3 * columns, 3 * columns, np.eye(3, dtype=np.float32), shift,
        np.full((24, 32), 1.5, np.float32))
    inside = np.s_[:-1, :25]
    np.testing.assert_allclose(error[inside], -18, rtol=1e-5)
    np.testing.assert_allclose(gradient[inside], 3, rtol=1e-5)
    np.testing.assert_allclose(speed[inside], 4, rtol=1e-5)
    assert not error[:, 26:].any() and not speed[:, 26:].any()


def test_agreement_is_that_of_the_reference():
    values, variances = random_values(generator())
    for actual, expected in zip(
            cpu.agreement(values, variances, 1.5), reference.agreement(values, variances, 1.5)):
        same = np.isclose(actual, expected, rtol=1e-4, equal_nan=True)
        assert same.mean() > 0.99  # a value at the gate may be on either side


@MODULES
def test_agreement_in_closed_form(module):
    values = np.array([1.0, 1.1, 0.9, 5.0, np.nan], np.float32)[:, None, None]
    variances = np.array([0.01, 0.02, 0.02, 0.01, 0.01], np.float32)[:, None, None]
    mean, variance, count = module.agreement(values, variances, 3.0)
    assert count == 3  # not the one that is far away, nor the unknown one
    np.testing.assert_allclose(mean, 1.0, rtol=1e-5)
    np.testing.assert_allclose(variance, 1 / 200, rtol=1e-5)  # the sum of the precisions
    # Values that scatter more than their variances say, by a factor of (0.5 + 0.5) / 2.
    mean, variance, count = module.agreement(
        values[:3] * 10, 100 * variances[:3] / 25, 5.0)
    np.testing.assert_allclose(mean, 10, rtol=1e-5)
    np.testing.assert_allclose(variance, (25 * 0.5 + 25 * 0.5) / 2 / (25 / 100 * 200), rtol=1e-4)


@MODULES
def test_nothing_agrees_where_nothing_is_known(module):
    mean, variance, count = module.agreement(
        np.full((3, 2, 2), np.nan, np.float32), np.ones((3, 2, 2), np.float32), 3.0)
    assert np.isnan(mean).all() and np.isnan(variance).all() and not count.any()


@MODULES
def test_the_variance_of_agreement_is_that_of_the_mean(module):
    random = np.random.default_rng(0)
    variances = random.uniform(0.5, 2, (8, 100, 100)).astype(np.float32)
    values = (random.normal(size=variances.shape) * np.sqrt(variances)).astype(np.float32)
    mean, variance, _ = module.agreement(values, variances, 6.0)
    ratios = mean / np.sqrt(variance)
    assert 0.8 < ratios.std() < 1.0  # where values happen to scatter more, it is larger
