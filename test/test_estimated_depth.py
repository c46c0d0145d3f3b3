"""Estimated depth: what a network says, in any unit, becomes metres by points that are known."""
import numpy as np
import pytest
from test_mapper import CONFIG
from test_motion import SETTINGS, trajectory
from test_plane_sweep import CAMERA, NORMAL, POINT, render_plane

from instant_nerf_ros.nerf import Camera, EstimatedDepth, Mapper, replace
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED
from instant_nerf_ros.nerf.estimated_depth import local_correction
from instant_nerf_ros.nerf.estimated_depth.depth_fitter import DepthFitter
from instant_nerf_ros.nerf.estimated_depth.global_fit import FORMS, fit_form
from instant_nerf_ros.nerf.estimated_depth.local_correction import Residuals
from instant_nerf_ros.nerf.motion.depth_estimate import DepthEstimate

SMALL = Camera(80, 60, 60.0, 60.0, 39.5, 29.5)
SHAPE = SMALL.height, SMALL.width
ROWS, COLUMNS = np.mgrid[: SMALL.height, : SMALL.width]
# A floor, and a box on it in front of a wall.
TRUTH = np.minimum(4.0, 1.0 / np.maximum((ROWS - 20) / 60, 1e-3)) - 1.2 * (
    (abs(COLUMNS - 50) < 12) & (abs(ROWS - 30) < 9))
# What networks say: metres with a wrong scale, depth from 0 to 1, disparity, its negative.
SAID = {
    'metres': lambda depth: 0.37 * depth,
    'depth from 0 to 1': lambda depth: (depth - depth.min()) / np.ptp(depth) + 1e-6,
    'inverse depth': lambda depth: 5 / depth + 0.8,
    'near is small': lambda depth: 3 - 1.1 / depth,
    'metres with a shift of their inverse': lambda depth: 1 / (0.6 / depth + 0.15),
}


def stereo(keyframe, share=0.2, noise=0.01, seed=0):
    """Return a DepthEstimate that knows a share of the pixels of the scene."""
    random = np.random.default_rng(seed)
    depth = TRUTH * (1 + noise * random.standard_normal(SHAPE))
    known = random.random(SHAPE) < share
    return DepthEstimate(
        keyframe, SMALL.matrix(), np.where(known, depth, np.nan).astype(np.float32),
        np.where(known, noise * TRUTH, np.nan).astype(np.float32))


def smooth_error(seed, deviation):
    """Return a smooth field (H, W) with a standard deviation."""
    random = np.random.default_rng(seed)
    phases, field = random.uniform(0, 2 * np.pi, 6), np.zeros(SHAPE)
    for k, phase in enumerate(phases):
        field += np.cos(2 * np.pi * (COLUMNS * (k % 3) + ROWS * (k // 3)) / 90 + phase)
    return deviation * field / field.std()


def fitted(values, estimate, fitter=None):
    """Return the depth that a fitter makes of values; None if it refuses them."""
    fitter = fitter or DepthFitter()
    fitter.add(estimate.keyframe, values, np.eye(4))
    return fitter.fit(estimate, {estimate.keyframe: np.eye(4)}, SMALL)


@pytest.mark.parametrize('form', FORMS, ids=lambda form: form.name)
def test_a_form_is_recovered_although_a_third_of_the_points_is_wrong(form):
    random = np.random.default_rng(1)
    values = random.uniform(0.5, 4.0, 300)
    result = 0.4 * form.regressor(values) + 0.3 * form.shifted
    depth = 1 / result if form.to_inverse else result
    depth[:100] *= random.uniform(1.5, 4.0, 100)
    fit = fit_form(form, values, depth, np.ones(300), random)
    np.testing.assert_allclose(fit.coefficients, [0.4, 0.3 * form.shifted], atol=0.01)
    np.testing.assert_allclose(fit.depth(values[100:])[0], depth[100:], rtol=0.02)


@pytest.mark.parametrize('name', SAID)
def test_whatever_a_network_says_becomes_metres(name):
    result = fitted(SAID[name](TRUTH), stereo(1, noise=0.005))
    error = np.log(result.depth / TRUTH)
    assert np.isfinite(error).mean() > 0.99
    assert np.nanmedian(abs(error)) < 0.005
    assert np.nanpercentile(abs(error), 95) < 0.03


@pytest.mark.parametrize('size', [(120, 160), (60, 80), (30, 40)])
def test_the_image_of_a_network_may_have_another_size(size):
    rows, columns = ((np.arange(n) + 0.5) * old / n for n, old in zip(size, SHAPE))
    values = TRUTH[rows.astype(int)[:, None], columns.astype(int)]
    error = abs(np.log(fitted(values, stereo(1)).depth / TRUTH))
    assert np.nanmedian(error) < 0.01


def test_a_smooth_error_is_corrected_from_place_to_place():
    before, after = [], []
    for seed in range(5):
        error = smooth_error(seed, 0.05)
        result = fitted(TRUTH * np.exp(error), stereo(1, seed=seed))
        before.append(np.std(error))
        after.append(np.std(np.log(result.depth / TRUTH)))
    assert np.mean(after) < 0.6 * np.mean(before)


def test_deviations_say_how_large_errors_are():
    pulls = []
    for seed in range(10):
        scale = np.random.default_rng(seed).normal(0, 0.03)  # that all of an image shares
        estimate = stereo(1, seed=seed)
        known = DepthEstimate(1, estimate.matrix, (estimate.depth * np.exp(scale)).astype(
            np.float32), estimate.sigma)
        result = fitted(TRUTH * np.exp(smooth_error(seed, 0.04)), known)
        pulls.append((result.depth - TRUTH) / result.sigma)
    assert 0.5 < np.nanstd(pulls) < 1.5


def test_the_correction_is_the_prior_far_from_points():
    near = np.array([30 * 80 + 5])
    correction, deviation = local_correction.correct(
        SHAPE, [Residuals(near, np.array([0.1]), np.array([1e-3]))], 0.05, 0.0, 1.0)
    assert correction[30, 5] == pytest.approx(0.1, rel=0.01)
    assert deviation[30, 5] < 0.005
    assert abs(correction[30, 75]) < 1e-3
    assert deviation[30, 75] == pytest.approx(0.05, rel=1e-3)


def test_points_that_err_together_are_no_better_than_one_image():
    pixels = np.arange(0, 4800, 7)
    one = Residuals(pixels, np.full(len(pixels), 0.1), np.full(len(pixels), 0.01))
    _, deviation = local_correction.correct(SHAPE, [one], 1.0, 0.03, 1.0)
    assert deviation.min() > 0.029
    _, of_four = local_correction.correct(SHAPE, [one] * 4, 1.0, 0.03, 1.0)
    assert of_four.min() == pytest.approx(deviation.min() / 2, rel=0.01)


@pytest.mark.parametrize(('values', 'share', 'reason'), [
    (TRUTH, 0.005, 'fewer than 50'),
    (np.full(SHAPE, np.nan), 0.2, 'fewer than 50'),
    (np.random.default_rng(0).uniform(0.1, 1, SHAPE), 0.2, 'no scale and shift'),
    (np.full(SHAPE, 0.5), 0.2, 'no scale and shift'),
])
def test_what_does_not_fit_is_refused_with_a_reason(values, share, reason, caplog):
    fitter = DepthFitter()
    assert fitted(values, stereo(1, share), fitter) is None
    assert [reason in text for text in fitter.refusals] == [True]
    assert reason in caplog.text


def test_a_topic_that_stands_while_the_camera_moves_is_refused(caplog):
    fitter = DepthFitter()
    fitter.add(1, TRUTH, np.eye(4))
    moved = np.eye(4)
    moved[0, 3] = 0.5
    fitter.add(2, TRUTH.copy(), moved)
    assert not fitter.expects(2)
    assert 'the same image while the camera has moved' in caplog.text
    fitter.add(3, 1.01 * TRUTH, moved)
    assert fitter.expects(3)


def mapped(estimated, **settings):
    """Return a Mapper of a plane, with what a network says of its depth; None: without."""
    mapper = Mapper(replace(CONFIG, {**SETTINGS, 'motion.align': False, **settings}))
    for pose in trajectory(16):
        image, depth = render_plane(pose)
        mapper.add(np.repeat(image[..., None], 3, axis=-1), CAMERA, pose, estimated and
                   EstimatedDepth(estimated(depth).astype(np.float32)))
    return mapper


def test_estimated_depth_of_a_mapper_votes_where_the_surface_is():
    mapper, without = mapped(lambda depth: 2 / depth + 0.5), mapped(None)
    states, before = mapper.voxels().states, without.voxels().states
    assert mapper.measurements.depth_prior.fitter.fitted == 4
    voxels = mapper.voxels()
    occupied = voxels.origin + voxels.voxel_size * (np.argwhere(states == OCCUPIED) + 0.5)
    reach = voxels.voxel_size * abs(NORMAL).sum() / 2  # of a voxel that the plane touches
    assert len(occupied) > 50 and abs((occupied - POINT) @ NORMAL).max() < 1.001 * reach
    assert (states == FREE).sum() > (before == FREE).sum()
    assert not mapper.keyframes.depths[: mapper.keyframes.pixels.sum()].any()  # no measurement


def test_estimated_depth_votes_again_after_a_correction():
    mapper = mapped(lambda depth: 2 / depth + 0.5)
    before = mapper.points()[0]
    mapper.correct_poses({1: np.eye(4)})
    np.testing.assert_allclose(mapper.points()[0], before, atol=1e-9)
    assert len(before) > 50


def test_estimated_depth_that_fits_nothing_changes_nothing():
    random = np.random.default_rng(0)
    mapper = mapped(lambda depth: random.uniform(0.1, 1, depth.shape))
    np.testing.assert_array_equal(mapper.voxels().states, mapped(None).voxels().states)


def test_without_stereo_it_says_what_to_set(caplog):
    mapped(lambda depth: depth, **{'motion.stereo': False})
    assert "set 'motion.stereo'" in caplog.text


def test_the_size_of_estimated_depth_is_checked():
    mapper = Mapper(CONFIG)
    image = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    with pytest.raises(ValueError, match='depth must be'):
        mapper.add(image, CAMERA, np.eye(4), EstimatedDepth(np.ones((3, 4), np.float32)))
    assert not mapper.keyframe_count
