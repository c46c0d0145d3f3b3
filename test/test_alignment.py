"""Alignment: epipolar lines in closed form, and poses that were given wrong."""
import types

import numpy as np
import pytest
from test_motion_stereo import CAMERA, NORMAL, THROUGH, see

from instant_nerf_ros.nerf import epipolar
from instant_nerf_ros.nerf.alignment import FREE, Alignment

CONFIG = types.SimpleNamespace(position_error=0.01, rotation_error=0.3)
ONE = np.zeros(1, int)


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
    which = np.zeros(len(places), int)
    np.testing.assert_allclose(
        epipolar.off_lines(T[None], which, places, others), 0, atol=1e-12)
    wrong = epipolar.off_lines(T[None], which, places, others[::-1])
    assert abs(wrong).mean() > 0.05


def test_beside_the_line_both_places_share_the_distance():
    # To the side, lines are rows; an offset of d is d / 2 for each of two, sqrt(2) d / 2 in all.
    T = np.eye(4)
    T[0, 3] = 0.2
    off = epipolar.off_lines(T[None], ONE, np.array([[0.1, 0.2, 1]]), np.array([[0.3, 0.26, 1]]))
    np.testing.assert_allclose(abs(off), 0.06 / np.sqrt(2), rtol=1e-12)


@pytest.mark.parametrize('axis', range(12))
def test_slopes_are_those_of_poses_that_move(axis):
    random = np.random.default_rng(axis)
    camera, other = random_pose(random, 0.1, 0.3), random_pose(random, 0.1, 0.3)
    places, others = seen_twice(random, random_pose(random, 0.2, 0.3))
    which = np.zeros(len(places), int)

    def off(amount):
        motion = amount * np.eye(6)[axis % 6]
        poses = [camera, other]
        poses[axis // 6] = epipolar.moved(poses[axis // 6], motion)
        T = np.linalg.inv(poses[1]) @ poses[0]
        return epipolar.off_lines(T[None], which, places, others)

    T = np.linalg.inv(other) @ camera
    slopes = epipolar.slopes(T[None], which, places, others)
    np.testing.assert_allclose(
        slopes[:, axis], (off(1e-4) - off(-1e-4)) / 2e-4, rtol=1e-3, atol=1e-4)


def test_motion_of_is_the_inverse_of_moved():
    motion = np.array([0.1, -0.2, 0.3, 1.0, 2.0, -3.0])
    np.testing.assert_allclose(epipolar.motion_of(epipolar.moved(np.eye(4), motion)), motion)


def aligned(given, true):
    """Return the poses (N, 4, 4) at which images that were taken at true poses end."""
    alignment, poses = Alignment(CONFIG), np.array(given)
    for number, (told, real) in enumerate(zip(given, true)):
        for k, pose in alignment.add(see(real)[0], CAMERA, told, number).items():
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


def noisy(poses):
    random = np.random.default_rng(5)
    return np.array([pose @ random_pose(random, np.radians(0.3), 0.01) for pose in poses])


def test_poses_that_are_a_little_off_get_better():
    true = way(16)
    given = noisy(true)
    before, after = misplaced(given, true), misplaced(aligned(given, true), true)
    assert before > 1.0 and after < before / 2


def test_exact_poses_stay():
    true = way(16)
    for pose, moved in zip(true, aligned(true, true)):
        motion = epipolar.motion_of(np.linalg.inv(pose) @ moved)
        assert np.degrees(abs(motion[:3])).max() < CONFIG.rotation_error / 2
        assert abs(motion[3:]).max() < CONFIG.position_error / 2


def test_a_camera_that_only_turns_keeps_its_poses():
    true = np.array([epipolar.moved(np.eye(4), np.array([0, 0.02 * k, 0, 0, 0, 0]))
                     for k in range(6)])
    np.testing.assert_array_equal(aligned(true, true), true)


def test_only_the_latest_poses_change():
    true = way(FREE + 6)
    alignment = Alignment(CONFIG)
    for number, (told, real) in enumerate(zip(noisy(true), true)):
        poses = alignment.add(see(real)[0], CAMERA, told, number)
    assert sorted(poses) == list(range(6, FREE + 6))


def test_images_without_features_change_nothing():
    alignment, bare = Alignment(CONFIG), np.full((120, 160), 90, np.uint8)
    for number, pose in enumerate(way(4)):
        np.testing.assert_array_equal(
            alignment.add(bare, CAMERA, pose, number)[number], pose)
