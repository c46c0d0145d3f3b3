"""Alignment: epipolar lines in closed form, and the correction of noisy poses."""
import types

import numpy as np
import pytest
from test_plane_sweep import CAMERA, NORMAL, POINT, render_plane

from instant_nerf_ros.nerf.motion import epipolar
from instant_nerf_ros.nerf.motion.alignment import FREE_POSES, Alignment

CONFIG = types.SimpleNamespace(position_error=0.01, rotation_error=0.3)


def normalize(points):
    """Return homogeneous normalized image coordinates (N, 3) of points (N, 3)."""
    return points / points[:, 2:]


def move(T, *motion):
    return epipolar.apply_motion(T, np.array(motion, float))


def random_pose(random, rotation, translation):
    return move(np.eye(4), *random.normal(scale=rotation, size=3),
                *random.normal(scale=translation, size=3))


def random_keypoints(random, T_other_camera, count=50):
    """Return keypoints (N, 3) of the same points in two cameras."""
    points = random.uniform([-1, -1, 2], [1, 1, 4], size=(count, 3))
    return normalize(points), normalize(points @ T_other_camera[:3, :3].T + T_other_camera[:3, 3])


def test_a_point_lies_on_its_epipolar_line():
    random = np.random.default_rng(0)
    T = random_pose(random, 0.2, 0.3)
    keypoints, others = random_keypoints(random, T)
    np.testing.assert_allclose(epipolar.sampson_distance(T, keypoints, others), 0, atol=1e-12)
    wrong = epipolar.sampson_distance(T, keypoints, others[::-1])
    assert abs(wrong).mean() > 0.05


def test_both_keypoints_share_the_distance_to_the_epipolar_line():
    # With a sideways baseline the lines are rows. An offset of d is d / 2 in both images, which is
    # d / sqrt(2) together.
    T = np.eye(4)
    T[0, 3] = 0.2
    distance = epipolar.sampson_distance(
        T, np.array([[0.1, 0.2, 1]]), np.array([[0.3, 0.26, 1]]))
    np.testing.assert_allclose(abs(distance), 0.06 / np.sqrt(2), rtol=1e-12)


def test_motion_of_is_the_inverse_of_apply_motion():
    motion = np.array([0.1, -0.2, 0.3, 1.0, 2.0, -3.0])
    np.testing.assert_allclose(epipolar.motion_of(move(np.eye(4), *motion)), motion)


def align(given, true, config=CONFIG):
    """Return the corrected poses (N, 4, 4) of images from true poses that were given others."""
    alignment, poses = Alignment(config), np.array(given)
    for keyframe, (T_given, T_true) in enumerate(zip(given, true)):
        corrected = alignment.add(render_plane(T_true)[0], CAMERA, T_given, keyframe)
        for k, pose in corrected.items():
            poses[k] = pose
    return poses


def pixel_errors(poses, true):
    """Return the mean error [pixels] of points of the plane, transferred between images."""
    random = np.random.default_rng(3)
    in_plane = np.linalg.svd(NORMAL[None])[2][1:]
    points = POINT + random.uniform(-0.5, 0.5, size=(30, 2)) @ in_plane
    points = np.concatenate([points, np.ones((30, 1))], axis=1)
    errors = []
    for k in range(len(poses) - 4):
        wrong, right = (
            normalize((np.linalg.inv(T[k]) @ T[k + 4] @ np.linalg.inv(true[k + 4])
                       @ points.T)[:3].T) for T in (poses, true))
        errors.append(np.linalg.norm((wrong - right)[:, :2], axis=1) * CAMERA.fx)
    return np.mean(errors)


def trajectory(count):
    """Return poses of a camera that moves sideways and turns a little."""
    return np.array([
        move(np.eye(4), 0, 0.01 * np.sin(k), 0, 0.04 * k - 0.3, 0.05 * np.cos(k), 0)
        for k in range(count)])


def noisy(poses, seed=5):
    random = np.random.default_rng(seed)
    return np.array([pose @ random_pose(random, np.radians(0.3), 0.01) for pose in poses])


def motions_between(poses, others):
    """Return the motions (N, 6) from poses to others."""
    return np.array([epipolar.motion_of(np.linalg.inv(pose) @ other)
                     for pose, other in zip(poses, others)])


@pytest.mark.parametrize('seed', range(5))
def test_noisy_poses_are_corrected(seed):
    true = trajectory(16)
    given = noisy(true, seed)
    before, after = pixel_errors(given, true), pixel_errors(align(given, true), true)
    assert before > 1.0 and after < before / 3


def test_exact_poses_hardly_change():
    true = trajectory(16)
    motions = motions_between(true, align(true, true))
    assert np.degrees(abs(motions[:, :3])).max() < CONFIG.rotation_error / 4
    assert abs(motions[:, 3:]).max() < CONFIG.position_error / 4


def test_the_standard_deviations_of_poses_limit_their_corrections():
    true = trajectory(16)
    given = noisy(true)
    exact = types.SimpleNamespace(position_error=1e-4, rotation_error=3e-3)
    small = abs(motions_between(given, align(given, true, exact)))
    assert small.max() < 3e-4 < abs(motions_between(given, align(given, true))).max() / 3


@pytest.mark.parametrize('turn', [0.0, 0.02])
def test_a_camera_without_translation_keeps_its_poses(turn):
    true = np.array([move(np.eye(4), 0, turn * k, 0, 0, 0, 0) for k in range(6)])
    np.testing.assert_allclose(align(true, true), true, atol=1e-12)


@pytest.mark.parametrize('jump', [
    [0, 0, 0, 0.5, 0, 0], [0, 0, 0, 0, 0, 0.6], [0.2, 0.2, 0, 0.4, 0.3, 0]])
def test_a_jump_of_the_given_poses_is_not_corrected(jump):
    # As after a loop closure of SLAM. Images from before and after the jump contradict the given
    # poses, at least along epipolar lines, and must not bend the trajectory.
    true = trajectory(24)
    given = true.copy()
    given[12:] = move(np.eye(4), *jump) @ true[12:]
    motions = motions_between(given, align(given, true))
    alone = [motions_between(poses, align(poses, seen)) for poses, seen in (
        (given[:12], true[:12]), (given[12:], true[12:]))]
    np.testing.assert_allclose(motions, np.concatenate(alone), atol=1e-4)
    assert abs(motions[:, 3:]).max() < CONFIG.position_error / 2


def test_the_window_starts_again_after_a_jump():
    true = trajectory(26)
    given, alignment = noisy(true), Alignment(CONFIG)
    given[8:] = move(np.eye(4), 0, 0, 0, 0.5, 0, 0) @ given[8:]
    for keyframe, (T_given, T_true) in enumerate(zip(given, true)):
        poses = alignment.add(render_plane(T_true)[0], CAMERA, T_given, keyframe)
        assert sorted(poses) == list(range(0 if keyframe < 8 else 8, keyframe + 1))
    after = pixel_errors([poses[k] for k in range(8, 26)], true[8:])
    assert after < pixel_errors(given[8:], true[8:]) / 3


def test_points_without_parallax_have_no_effect():
    # All images are the same, so that all points are at infinity, but the given poses move.
    image = render_plane(np.eye(4))[0]
    given = np.array([move(np.eye(4), 0, 0.001 * (k % 2), 0, 0.04 * k, 0, 0) for k in range(6)])
    alignment = Alignment(CONFIG)
    for keyframe, pose in enumerate(given):
        poses = alignment.add(image, CAMERA, pose, keyframe)
    np.testing.assert_allclose([poses[k] for k in range(6)], given, atol=1e-12)
    assert len(alignment.tracks.longest(99, 99))


def test_only_the_latest_poses_change():
    true = trajectory(FREE_POSES + 6)
    alignment = Alignment(CONFIG)
    for keyframe, (T_given, T_true) in enumerate(zip(noisy(true), true)):
        before = [image.pose for image in alignment.images]
        poses = alignment.add(render_plane(T_true)[0], CAMERA, T_given, keyframe)
    assert sorted(poses) == list(range(6, FREE_POSES + 6))
    after = [image.pose for image in alignment.images]
    changed = [(one != other).any() for one, other in zip(before, after)]
    assert changed == [False] * 6 + [True] * (FREE_POSES - 1)


def test_images_without_features_change_nothing():
    alignment, uniform = Alignment(CONFIG), np.full((120, 160), 90, np.uint8)
    for keyframe, pose in enumerate(trajectory(4)):
        poses = alignment.add(uniform, CAMERA, pose, keyframe)
        np.testing.assert_allclose(poses[keyframe], pose, atol=1e-12)


def test_each_image_has_its_own_focal_length():
    # Every other image is twice as large; the corrections must be as good.
    true = trajectory(16)
    given, alignment = noisy(true), Alignment(CONFIG)
    cameras = [CAMERA, CAMERA.scaled(320, 240)]
    for keyframe, (T_given, T_true) in enumerate(zip(given, true)):
        camera = cameras[keyframe % 2]
        poses = alignment.add(render_plane(T_true, camera)[0], camera, T_given, keyframe)
    assert pixel_errors([poses[k] for k in range(16)], true) < pixel_errors(given, true) / 3
    observations = alignment._observations()
    for k, camera in enumerate(cameras):
        assert (observations.focal[observations.cameras % 2 == k] == camera.fx).all()
