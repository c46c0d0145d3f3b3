"""Lens: corrections in closed form, and what bundle adjustment finds of a wrong CameraInfo."""
import dataclasses
import types

import numpy as np
import pytest
from test_alignment import noisy
from test_plane_sweep import CAMERA, pose, render_plane

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.motion.alignment import Alignment
from instant_nerf_ros.nerf.motion.lens import Lens, LensEstimate
from instant_nerf_ros.nerf.motion.observations import NOISE, Observations

CONFIG = types.SimpleNamespace(position_error=0.002, rotation_error=0.05)
KEYPOINTS = np.array([[0.3, -0.2, 1.0], [0.0, 0.0, 1.0], [-0.5, 0.4, 1.0]])


def adjusted(values):
    lens = Lens(CAMERA)
    lens.update(np.array([*values, 0.0]), np.eye(3) * 1e-8, 1)
    return lens


def test_the_derivatives_of_logarithms_are_numerical_ones():
    values, small = np.array([0.02, -0.05]), 1e-6
    for k in range(2):
        step = small * np.eye(2)[k]
        numerical = (adjusted(values + step).correct(KEYPOINTS)
                     - adjusted(values - step).correct(KEYPOINTS)) / (2 * small)
        lens = adjusted(values)
        scale = lens.log_derivatives(KEYPOINTS)[:, k]
        np.testing.assert_allclose(
            scale[:, None] * lens.correct(KEYPOINTS)[:, :2], numerical[:, :2], atol=1e-8)


def test_the_corrected_camera_has_the_corrected_rays():
    lens = adjusted([0.01, 0.04])
    true = lens.estimate().camera(CAMERA)
    rays = lens.correct(KEYPOINTS)
    given = KEYPOINTS[:, :2] * (CAMERA.fx, CAMERA.fy) + (CAMERA.cx, CAMERA.cy)
    # To first order: the polynomials of pixels and of rays are inverse.
    np.testing.assert_allclose(true.project(rays), given, atol=0.5)
    assert abs(CAMERA.project(rays) - given).max() > 1.5


def test_each_image_counts_once():
    # Windows that overlap: the same information, added again and again as a share of one.
    lens = Lens(CAMERA)
    prior, window = lens.precision.copy(), np.diag([4e6, 1e5, 1e6])
    for _ in range(8):
        covariance = np.linalg.inv(lens.precision + window)
        target = covariance @ (lens.information + window @ [0.01, -0.03, 0.02])
        lens.update(target - lens.values, covariance, 8)
    np.testing.assert_allclose(lens.precision, prior + window)
    np.testing.assert_allclose(
        np.linalg.solve(lens.precision, lens.information),
        np.linalg.solve(prior + window, window @ [0.01, -0.03, 0.02]))


@pytest.mark.parametrize('focal, radial, wrong', [
    (1.0, 0.0, False), (1.003, 0.0, False), (1.012, 0.0, True), (1.0, -0.08, True)])
def test_a_warning_has_the_better_numbers(focal, radial, wrong):
    warning = LensEstimate(focal, radial, 0.003, 0.01).warning(CAMERA)
    assert (warning is not None) == wrong
    if warning:
        assert f'fx = {CAMERA.fx * focal:.1f}' in warning and f'k1 = {radial:.3f}' in warning


def test_an_uncertain_lens_gives_no_warning():
    assert LensEstimate(1.012, -0.08, 0.01, 0.05).warning(CAMERA) is None


def test_a_fisheye_is_not_corrected():
    fisheye = Camera(160, 120, 100.0, 100.0, 79.5, 59.5, 'equidistant', (0.0,) * 4)
    assert LensEstimate(1.02, 0.1).camera(fisheye) is fisheye
    ratios = Lens(fisheye).precision.diagonal() / Lens(CAMERA).precision.diagonal()
    assert (ratios[:2] > 1e6).all() and ratios[2] == 1  # its shutter may roll


def test_a_wrong_radial_term_is_found():
    true = dataclasses.replace(
        CAMERA, distortion_model='plumb_bob', distortion=(-0.15, 0.0, 0.0, 0.0))
    poses = [pose(x=0.05 * k - 0.5, y=0.1 * np.sin(k), z=0.05 * np.cos(k), yaw=0.02 * np.sin(k))
             for k in range(20)]
    alignment, exact = Alignment(CONFIG), Alignment(CONFIG)
    for keyframe, T in enumerate(poses):
        alignment.add(render_plane(T, true)[0], CAMERA, T, keyframe)
        exact.add(render_plane(T)[0], CAMERA, T, keyframe)
    assert abs(exact.lens_of(CAMERA).radial) < 0.02
    assert abs(exact.lens_of(CAMERA).focal - 1) < 0.005
    assert -0.2 < alignment.lens_of(CAMERA).radial < -0.06


def test_noise_of_keypoints_does_not_look_like_a_longer_lens():
    # A longer focal length makes all residuals smaller, the noise as well.
    random, focal, count = np.random.default_rng(0), 100.0, 3000
    points = random.uniform([-1, -1, 2], [1, 1, 4], size=(count, 3))
    T_camera_anchor = np.eye(4)
    T_camera_anchor[:3, 3] = 0.4, 0.2, 0.1
    anchor_keypoints = points / points[:, 2:]
    moved = points + T_camera_anchor[:3, 3]
    keypoints = moved / moved[:, 2:] + np.pad(
        random.normal(scale=1.5 / focal, size=(count, 2)), ((0, 0), (0, 1)))
    lens = Lens(CAMERA)
    observations = Observations(
        np.arange(count), np.zeros(count, int), np.ones(count, int),
        np.repeat(T_camera_anchor[None], count, axis=0), np.full((count, 1), focal),
        anchor_keypoints, keypoints, np.zeros(count), np.zeros(count),
        np.zeros((count, 3, 1)), np.zeros((count, 3, 1)),
        lens.log_derivatives(anchor_keypoints), lens.log_derivatives(keypoints))
    hessian, gradient = observations.normal_equations(2, 2)  # the poses are fixed
    hessian, gradient = hessian[:2, :2], gradient[:2]  # all rows are exposed at once
    steps = np.linalg.solve(hessian, gradient)
    deviations = np.sqrt(np.linalg.inv(hessian).diagonal()) * 1.5 / NOISE
    assert (abs(steps) < 3 * deviations).all()


def test_the_report_says_what_was_corrected():
    alignment = Alignment(types.SimpleNamespace(position_error=0.01, rotation_error=0.3))
    assert alignment.report() is None
    true = np.array([pose(x=0.05 * k) for k in range(8)])
    for keyframe, (T, given) in enumerate(zip(true, noisy(true))):
        alignment.add(render_plane(T)[0], CAMERA, given, keyframe)
    report = alignment.report()
    assert 0.001 < report.position < 0.05 and 0.02 < report.rotation < 1.0
    assert report.lens == alignment.lens_of(CAMERA)
