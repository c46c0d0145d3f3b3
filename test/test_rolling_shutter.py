"""Rolling shutter: rows that a turning camera exposes one after another, and its readout."""
import dataclasses
import types

import cv2
import numpy as np
import pytest
from test_alignment import noisy, normalize
from test_plane_sweep import CAMERA, pose, render_plane

from instant_nerf_ros.nerf.angular_velocity import angular_velocity
from instant_nerf_ros.nerf.motion import rolling_shutter, stereo_image
from instant_nerf_ros.nerf.motion.alignment import Alignment
from instant_nerf_ros.nerf.motion.lens import Lens
from instant_nerf_ros.nerf.motion.observations import Observations

CONFIG = types.SimpleNamespace(position_error=0.005, rotation_error=0.15)
READOUT = 0.03  # s
ROWS = np.arange(CAMERA.height)
TIMES = (ROWS - (CAMERA.height - 1) / 2) / CAMERA.height


def turned(T_world_camera, rotation):
    T = T_world_camera.copy()
    T[:3, :3] = T[:3, :3] @ cv2.Rodrigues(np.asarray(rotation, float))[0]
    return T


def rolling(T_world_camera, rotation):
    """Return the image of the plane (H, W) whose rows are exposed while the camera turns."""
    return np.concatenate([
        render_plane(turned(T_world_camera, time * np.asarray(rotation)), dataclasses.replace(
            CAMERA, height=1, cy=CAMERA.cy - row))[0] for row, time in zip(ROWS, TIMES)])


def drive(count):
    """Return poses, and angular velocities [rad/s], of a camera that now and then turns."""
    rates = 0.8 * np.sign(np.sin(0.9 * np.arange(count)))
    velocities = np.stack([0.2 * rates, rates, 0 * rates], axis=-1)
    yaw = 0.05 * np.sin(np.arange(count))
    return np.array([pose(x=0.04 * k - 0.3, z=0.05 * np.cos(k), yaw=yaw[k])
                     for k in range(count)]), velocities


def align(poses, velocities, readout, known=True):
    alignment = Alignment(CONFIG)
    for keyframe, (T, given, velocity) in enumerate(zip(poses, noisy(poses), velocities)):
        given[:3, :3], given[:3, 3] = T[:3, :3], (T[:3, 3] + given[:3, 3]) / 2
        alignment.add(rolling(T, readout * velocity), CAMERA, given, keyframe,
                      velocity if known else None)
    return alignment


def test_the_angular_velocity_turns_one_pose_into_the_other():
    before = turned(pose(0.1, 0.2, 0.3, 0.4), [0.3, -0.2, 0.1])
    after = turned(before, [0.02, -0.04, 0.06])
    np.testing.assert_allclose(
        angular_velocity(before, after, 0.1), [0.2, -0.4, 0.6], atol=1e-12)
    np.testing.assert_array_equal(angular_velocity(before, before, 0.1).round(12), 0)


def test_rows_are_exposed_from_top_to_bottom():
    ends = np.array([[79.5, 0], [0, 59.5], [159, 119]])
    keypoints = np.concatenate([
        (ends - (CAMERA.cx, CAMERA.cy)) / (CAMERA.fx, CAMERA.fy), np.ones((3, 1))], axis=1)
    np.testing.assert_allclose(
        rolling_shutter.row_times(CAMERA, keypoints), [-59.5 / 120, 0, 59.5 / 120])


def test_keypoints_of_a_global_shutter_are_those_of_a_camera_that_stands():
    random = np.random.default_rng(0)
    points = random.uniform([-1, -1, 2], [1, 1, 4], size=(50, 3))
    times, rotation = random.uniform(-0.5, 0.5, 50), np.array([0.01, -0.02, 0.03])
    seen = np.array([point @ cv2.Rodrigues(time * rotation)[0]
                     for point, time in zip(points, times)])
    global_shutter = rolling_shutter.global_shutter(*normalize(seen)[:, :2].T, times, rotation)
    left = abs(np.transpose(global_shutter) - normalize(points)[:, :2]).max()
    shift = abs(normalize(seen) - normalize(points)).max()
    assert left < abs(rotation).max() ** 2 / 2 < shift / 10


@pytest.mark.parametrize('rotation', [[0, 0.04, 0], [0.04, 0, 0], [0.01, -0.02, 0.05]])
def test_a_rolling_image_becomes_that_of_a_camera_that_stands(rotation):
    T = pose()
    still, image = (stereo_image.undistort(each, CAMERA, rotation=given).gray.astype(float)
                    for each, given in ((render_plane(T)[0], np.zeros(3)),
                                        (rolling(T, rotation), np.array(rotation))))
    inside = np.s_[8:-8, 8:-8]
    before = abs(rolling(T, rotation)[inside] - still[inside]).mean()
    assert abs(image[inside] - still[inside]).mean() < before / 5


@pytest.mark.parametrize('readout', [0.0, READOUT])
def test_the_readout_is_found(readout):
    poses, velocities = drive(40)
    alignment = align(poses, velocities, readout)
    lens = alignment.lens_of(CAMERA)
    assert abs(lens.readout - readout) < lens.readout_error < READOUT / 3
    # What the readout does not explain yet, the rotations of single images do.
    rotations = np.array([alignment.readout_rotation(k) for k in range(20, 40)])
    assert abs(rotations - readout * velocities[20:])[:, 1].mean() < 0.15 * READOUT * 0.8


def test_without_velocities_the_rotations_of_images_are_found():
    poses, velocities = drive(20)
    alignment = align(poses, velocities, READOUT, known=False)
    found = np.array([alignment.readout_rotation(k) for k in range(20)])[4:, 1]
    true = READOUT * velocities[4:, 1]
    assert np.std((found - true) - np.mean(found - true)) < np.std(true) / 2
    still = align(poses, velocities, 0.0, known=False)
    assert np.std([still.readout_rotation(k)[1] for k in range(4, 20)]) < np.std(true) / 6
    assert alignment.readout_rotation(20) is None


def test_the_rotation_of_a_known_velocity_is_that_of_the_readout():
    poses, velocities = drive(3)
    alignment = Alignment(CONFIG)
    for keyframe, (T, velocity) in enumerate(zip(poses, velocities)):
        alignment.add(rolling(T, 0 * velocity), CAMERA, T, keyframe, velocity)
    alignment.lenses[CAMERA].values[2] = READOUT
    for image, velocity in zip(alignment.images, velocities):
        image.extra_rotation = np.array([0.001, 0.002, 0.003])
        np.testing.assert_allclose(
            alignment.readout_rotation(image.keyframe), READOUT * velocity + image.extra_rotation)


def test_a_step_finds_a_rotation_and_a_readout():
    # Without noise, and with known poses, one step is right but for squares of the rotation.
    random, count, images = np.random.default_rng(0), 200, 4
    points = random.uniform([-1, -1, 2], [1, 1, 4], size=(count, 3))
    tracks, cameras = np.repeat(np.arange(count), images), np.tile(np.arange(1, images + 1), count)
    T_camera_anchor = np.repeat(np.eye(4)[None], len(tracks), axis=0)
    T_camera_anchor[:, :3, 3] = random.uniform(-0.3, 0.3, size=(images + 1, 3))[cameras]
    still = normalize(points[tracks] + T_camera_anchor[:, :3, 3])
    times = still[:, 1]
    rotations = random.normal(scale=1e-3, size=(images + 1, 3))
    velocities = random.normal(scale=0.1, size=(images + 1, 3))
    readout = 0.01
    exposed = rotations[cameras] + readout * velocities[cameras]
    seen = normalize(still - times[:, None] * np.cross(exposed, still))
    lens, anchors = Lens(CAMERA), normalize(points)[tracks]
    observations = Observations(
        tracks, np.zeros(len(tracks), int), cameras, T_camera_anchor,
        np.full((len(tracks), 1), 100.0), anchors, seen, np.zeros(len(tracks)), times,
        np.zeros((len(tracks), 3, 1)), velocities[cameras][..., None],
        lens.log_derivatives(anchors), lens.log_derivatives(seen))
    hessian, gradient = observations.normal_equations(images + 1, 1)
    free = np.concatenate([np.tile(np.arange(9) >= 6, images), [False, False, True]])
    # A readout explains a part of random rotations, so only the sum of both is compared closely.
    prior = np.where(np.arange(free.sum()) < 3 * images, 1e-2, 1e-6)
    step = np.linalg.solve(hessian[np.ix_(free, free)] + np.diag(prior), -gradient[free])
    found = step[:-1].reshape(images, 3) + step[-1] * velocities[1:]
    np.testing.assert_allclose(found, rotations[1:] + readout * velocities[1:], atol=2e-5)
    assert abs(step[-1] - readout) < 0.01
