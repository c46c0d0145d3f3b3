"""Depth fusion: exact depths of a wall, and what other images say about it."""
import numpy as np
import pytest

from instant_nerf_ros.nerf.motion import depth_fusion
from instant_nerf_ros.nerf.motion.depth_estimate import DepthEstimate
from instant_nerf_ros.nerf.motion.depth_fusion import fused

MATRIX = np.array([[50.0, 0, 20], [0, 50.0, 15], [0, 0, 1]])
SHAPE, DEPTH, ERROR = (30, 40), 2.0, 0.05
NARROW = np.s_[:, 10:-10]  # pixels that are in the images of all cameras


def estimate(keyframe, depth=DEPTH, sigma=ERROR * DEPTH):
    return DepthEstimate(keyframe, MATRIX, np.full(SHAPE, depth, np.float32),
                         np.full(SHAPE, sigma, np.float32))


def beside(count):
    """Return poses of keyframes 0 to count - 1, 0.1 m apart along x, before a wall at z = 2 m."""
    poses = {}
    for number in range(count):
        poses[number] = np.eye(4)
        poses[number][0, 3] = 0.1 * number
    return poses


def result(*depths):
    """Return the fused depth of the first of images that have such depths of the wall."""
    first, *others = (estimate(number, depth) for number, depth in enumerate(depths))
    return fused(first, others, beside(len(depths)))


def test_the_mean_of_equal_images_is_as_they_are_and_more_certain():
    for count in (2, 3, 5):
        both = result(*[DEPTH] * count)
        np.testing.assert_allclose(both.depth[NARROW], DEPTH, rtol=1e-6)
        np.testing.assert_allclose(both.sigma[NARROW], DEPTH * np.hypot(
            ERROR, depth_fusion.SINGLE_ERROR) / np.sqrt(count), rtol=1e-5)


def test_the_mean_is_weighted_by_the_deviations():
    first, other = estimate(0, 2.0, 0.04), estimate(1, 2.04, 0.02)
    inverse = [1 / ((sigma / depth) ** 2 + depth_fusion.SINGLE_ERROR**2)
               for sigma, depth in ((0.04, 2.0), (0.02, 2.04))]
    expected = np.average([2.0, 2.04], weights=inverse)
    np.testing.assert_allclose(
        fused(first, [other], beside(2)).depth[NARROW], expected, rtol=1e-5)


def test_what_no_other_image_confirms_is_dropped():
    assert not np.isfinite(fused(estimate(0), [], beside(1)).depth).any()
    unknown = estimate(1, np.nan, np.nan)
    assert not np.isfinite(fused(estimate(0), [unknown], beside(2)).depth).any()
    # The second image does not show the first columns of the first one.
    assert not np.isfinite(result(DEPTH, DEPTH).depth[:, 0]).any()


def test_an_image_that_looks_through_a_point_contradicts_it():
    assert np.isfinite(result(DEPTH, DEPTH, 3.0).depth[NARROW]).all()  # one against one
    assert not np.isfinite(result(DEPTH, DEPTH, 3.0, 3.0).depth[NARROW]).any()


def test_an_image_from_which_a_point_is_hidden_says_nothing():
    nearer = result(DEPTH, DEPTH, 1.0, 1.0, 1.0)
    np.testing.assert_allclose(nearer.depth[NARROW], DEPTH, rtol=1e-6)
    np.testing.assert_array_equal(nearer.sigma[NARROW], result(DEPTH, DEPTH).sigma[NARROW])


def test_images_that_differ_are_as_uncertain_as_they_differ():
    """The error of a scale is not that of independent pixels: more images do not reduce it."""
    depths = [DEPTH, *(DEPTH * (1 + 0.05 * side) for side in (-1, 1) * 4)]
    spread = fused(estimate(0, sigma=0.01), [
        estimate(number, depth, 0.01) for number, depth in enumerate(depths) if number],
        beside(len(depths)))
    expected = 1.4826 * 0.05 / np.sqrt(2)
    np.testing.assert_allclose(np.nanmax(spread.sigma / spread.depth), expected, rtol=0.05)


@pytest.mark.parametrize(('metres', 'degrees'), [(1.6, 0.0), (0.1, 70.0)])
def test_images_from_far_away_are_not_compared(metres, degrees):
    poses = beside(2)
    angle = np.radians(degrees)
    poses[1][:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    poses[1][2, 3] = metres * 0.999
    assert not np.isfinite(fused(
        estimate(0), [estimate(1, DEPTH - poses[1][2, 3])], poses).depth).any()
