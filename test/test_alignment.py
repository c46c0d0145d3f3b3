"""Alignment: epipolar lines in closed form, and poses that were given wrong."""
import types

import numpy as np
import pytest
from test_motion_stereo import CAMERA, NORMAL, THROUGH, observe

from instant_nerf_ros.nerf.motion import epipolar
from instant_nerf_ros.nerf.motion.alignment import FREE, Alignment

CONFIG = types.SimpleNamespace(position_error=0.01, rotation_error=0.3)


def on_plane(points):
    return points / points[:, 2:]


def random_pose(random, angle, shift):
    return epipolar.moved(np.eye(4), np.concatenate([
        random.normal(scale=angle, size=3), random.normal(scale=shift, size=3)]))


def seen_twice(random, T_other_camera, count=50):
    """Return places (N, 3) of the same points in two cameras."""
    points = random.uniform([-1, -1, 2], [1, 1, 4], size=(count, 3))
    return on_plane(points), on_plane(points @ T_other_camera[:3, :3].T + T_other_camera[:3, 3])


def test_the_same_point_lies_on_its_epipolar_line():
    random = np.random.default_rng(0)
    T = random_pose(random, 0.2, 0.3)
    places, others = seen_twice(random, T)
    np.testing.assert_allclose(epipolar.sampson_distance(T, places, others), 0, atol=1e-12)
    wrong = epipolar.sampson_distance(T, places, others[::-1])
    assert abs(wrong).mean() > 0.05


def test_beside_the_line_both_places_share_the_distance():
    # To the side, lines are rows; an offset of d is d / 2 for each of two, sqrt(2) d / 2 in all.
    T = np.eye(4)
    T[0, 3] = 0.2
    off = epipolar.sampson_distance(T, np.array([[0.1, 0.2, 1]]), np.array([[0.3, 0.26, 1]]))
    np.testing.assert_allclose(abs(off), 0.06 / np.sqrt(2), rtol=1e-12)


def test_motion_of_is_the_inverse_of_moved():
    motion = np.array([0.1, -0.2, 0.3, 1.0, 2.0, -3.0])
    np.testing.assert_allclose(epipolar.motion_of(epipolar.moved(np.eye(4), motion)), motion)


def aligned(given, true):
    """Return the poses (N, 4, 4) at which images that were taken at true poses end."""
    alignment, poses = Alignment(CONFIG), np.array(given)
    for number, (told, real) in enumerate(zip(given, true)):
        for k, pose in alignment.add(observe(real)[0], CAMERA, told, number).items():
            poses[k] = pose
    return poses


def misplaced(poses, true):
    """Return by how many pixels points of the plane move wrongly from image to image, mean."""
    random = np.random.default_rng(3)
    across = np.linalg.svd(NORMAL[None])[2][1:]
    points = THROUGH + random.uniform(-0.5, 0.5, size=(30, 2)) @ across
    points = np.concatenate([points, np.ones((30, 1))], axis=1)
    errors = []
    for k in range(len(poses) - 4):
        wrong, right = (
            on_plane((np.linalg.inv(T[k]) @ T[k + 4] @ np.linalg.inv(true[k + 4])
                      @ points.T)[:3].T) for T in (poses, true))
        errors.append(np.linalg.norm((wrong - right)[:, :2], axis=1) * CAMERA.fx)
    return np.mean(errors)


def way(count):
    """Return poses of a camera that moves to the side, and turns a little."""
    return np.array([epipolar.moved(np.eye(4), np.array(
        [0, 0.01 * np.sin(k), 0, 0.04 * k - 0.3, 0.05 * np.cos(k), 0])) for k in range(count)])


def noisy(poses, seed=5):
    random = np.random.default_rng(seed)
    return np.array([pose @ random_pose(random, np.radians(0.3), 0.01) for pose in poses])


def apart(poses, others):
    """Return the motions (N, 6) from some poses to others."""
    return np.array([epipolar.motion_of(np.linalg.inv(pose) @ other)
                     for pose, other in zip(poses, others)])


@pytest.mark.parametrize('seed', range(5))
def test_poses_that_are_a_little_off_get_better(seed):
    true = way(16)
    given = noisy(true, seed)
    before, after = misplaced(given, true), misplaced(aligned(given, true), true)
    assert before > 1.0 and after < before / 3


def test_exact_poses_stay():
    true = way(16)
    motions = apart(true, aligned(true, true))
    assert np.degrees(abs(motions[:, :3])).max() < CONFIG.rotation_error / 4
    assert abs(motions[:, 3:]).max() < CONFIG.position_error / 4


def test_errors_of_the_size_that_is_told_are_believed():
    # The surer a pose is said to be, the less it is changed.
    true = way(16)
    given = noisy(true)
    sure = types.SimpleNamespace(position_error=1e-4, rotation_error=3e-3)
    alignment = Alignment(sure)
    for number, (told, real) in enumerate(zip(given, true)):
        poses = alignment.add(observe(real)[0], CAMERA, told, number)
    surely = abs(apart(given, [poses[k] for k in range(16)]))
    assert surely.max() < 3e-4 < abs(apart(given, aligned(given, true))).max() / 3


@pytest.mark.parametrize('turn', [0.0, 0.02])
def test_a_camera_that_turns_or_stands_keeps_its_poses(turn):
    true = np.array([epipolar.moved(np.eye(4), np.array([0, turn * k, 0, 0, 0, 0]))
                     for k in range(6)])
    np.testing.assert_allclose(aligned(true, true), true, atol=1e-12)


@pytest.mark.parametrize('jump', [
    [0, 0, 0, 0.5, 0, 0], [0, 0, 0, 0, 0, 0.6], [0.2, 0.2, 0, 0.4, 0.3, 0]])
def test_a_jump_of_the_given_poses_stays(jump):
    # As when SLAM closes a loop. Images across it contradict what was given, be it along epipolar
    # lines, and must not bend the ways before and after.
    true = way(24)
    given = true.copy()
    given[12:] = epipolar.moved(np.eye(4), np.array(jump)) @ true[12:]
    motions = apart(given, aligned(given, true))
    assert np.degrees(abs(motions[:, :3])).max() < CONFIG.rotation_error / 4
    assert abs(motions[:, 3:]).max() < CONFIG.position_error / 4


def test_after_a_jump_all_begins_anew():
    true = way(26)
    given, alignment = noisy(true), Alignment(CONFIG)
    given[8:] = epipolar.moved(np.eye(4), np.array([0, 0, 0, 0.5, 0, 0])) @ given[8:]
    for number, (told, real) in enumerate(zip(given, true)):
        poses = alignment.add(observe(real)[0], CAMERA, told, number)
        assert sorted(poses) == list(range(0 if number < 8 else 8, number + 1))
    after = misplaced([poses[k] for k in range(8, 26)], true[8:])
    assert after < misplaced(given[8:], true[8:]) / 3


def test_what_has_no_parallax_tells_nothing():
    # All images are the same, so all is infinitely far, whereas the camera is said to move.
    image = observe(np.eye(4))[0]
    given = np.array([epipolar.moved(np.eye(4), np.array([0, 0.001 * (k % 2), 0, 0.04 * k, 0, 0]))
                      for k in range(6)])
    alignment = Alignment(CONFIG)
    for number, pose in enumerate(given):
        poses = alignment.add(image, CAMERA, pose, number)
    np.testing.assert_allclose([poses[k] for k in range(6)], given, atol=1e-12)
    assert len(alignment.tracks.best(99, 99))


def test_only_the_latest_poses_change():
    true = way(FREE + 6)
    alignment = Alignment(CONFIG)
    for number, (told, real) in enumerate(zip(noisy(true), true)):
        before = [image.pose for image in alignment.images]
        poses = alignment.add(observe(real)[0], CAMERA, told, number)
    assert sorted(poses) == list(range(6, FREE + 6))
    after = [image.pose for image in alignment.images]
    changed = [(one != other).any() for one, other in zip(before, after)]
    assert changed == [False] * 6 + [True] * (FREE - 1)


def test_images_without_features_change_nothing():
    alignment, bare = Alignment(CONFIG), np.full((120, 160), 90, np.uint8)
    for number, pose in enumerate(way(4)):
        poses = alignment.add(bare, CAMERA, pose, number)
        np.testing.assert_allclose(poses[number], pose, atol=1e-12)


def test_the_focal_length_of_each_image_counts():
    # Every other image is twice as large; what it tells is the same.
    true = way(16)
    given, alignment = noisy(true), Alignment(CONFIG)
    cameras = [CAMERA, CAMERA.scaled(320, 240)]
    for number, (told, real) in enumerate(zip(given, true)):
        camera = cameras[number % 2]
        poses = alignment.add(observe(real, camera)[0], camera, told, number)
    assert misplaced([poses[k] for k in range(16)], true) < misplaced(given, true) / 3
    seen = alignment._see()
    for k, camera in enumerate(cameras):
        assert (seen.geometry[2][seen.cameras % 2 == k] == camera.fx).all()
