"""Pose agreement: a right COLMAP model is told from one with poses that are wrong."""
import numpy as np
import pytest

from instant_nerf_ros.nerf.motion.epipolar import sampson_distance
from instant_nerf_ros.scenes.pose_agreement import agrees, explained_shares

pycolmap = pytest.importorskip('pycolmap')


@pytest.fixture
def made(tmp_path):
    """Return a model of twelve images in closed form, and the database of its matches."""
    path = tmp_path / 'database.db'
    with pycolmap.Database.open(path) as database:
        options = pycolmap.SyntheticDatasetOptions(
            {'num_rigs': 1, 'num_frames_per_rig': 12, 'num_points3D': 60})
        pycolmap.set_random_seed(0)
        model = pycolmap.synthesize_dataset(options, database)
    return model, path


def turn(model, image, degrees):
    """Turn an image about its own y axis."""
    half = np.radians(degrees) / 2
    rotation = pycolmap.Rotation3d(np.array([0, np.sin(half), 0, np.cos(half)]))
    frame = model.frame(image.frame_id)
    pose = frame.rig_from_world
    frame.rig_from_world = pycolmap.Rigid3d(
        rotation * pose.rotation, rotation * pose.translation)


def test_poses_that_made_the_matches_explain_all_of_them(made):
    pairs, shares = explained_shares(*made)
    assert len(pairs) == 12 * 11 / 2 and (shares == 1).all() and agrees(*made)


def test_a_single_wrong_image_is_found(made):
    model, path = made
    turned = model.images[5]
    turn(model, turned, 5.0)
    pairs, shares = explained_shares(model, path)
    of_turned = (pairs == 5).any(-1)
    assert (shares[~of_turned] == 1).all() and np.median(shares[of_turned]) < 0.5
    assert not agrees(model, path)


def test_two_halves_that_do_not_fit_are_found(made):
    model, path = made
    for number in range(7, 13):
        frame = model.frame(model.images[number].frame_id)
        pose = frame.rig_from_world
        frame.rig_from_world = pycolmap.Rigid3d(
            pose.rotation, pose.translation + pose.rotation * np.array([0.0, 0.0, 1.5]))
    assert not agrees(model, path)


def test_without_pairs_nothing_agrees(made, tmp_path):
    pycolmap.Database.open(tmp_path / 'empty.db').close()
    assert not agrees(made[0], tmp_path / 'empty.db')


def test_the_error_is_the_distance_from_the_epipolar_line():
    """Two cameras side by side: epipolar lines are rows; a row off by d is d / sqrt(2) off."""
    T_second_first = np.eye(4)
    T_second_first[0, 3] = 1.0
    first = np.array([[0.3, 0.2, 1], [0.1, -0.4, 1]])
    second = np.array([[0.1, 0.2, 1], [0.0, -0.3, 1]])
    np.testing.assert_allclose(
        abs(sampson_distance(T_second_first, first, second)), [0, 0.1 / np.sqrt(2)], atol=1e-12)
