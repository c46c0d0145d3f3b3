"""Places: the budget for keyframes is spread over the whole way, and the images are the newest."""
import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.places import Places
from instant_nerf_ros.nerf.capture.selection import pose_distances
from instant_nerf_ros.nerf.config import KeyframeConfig

CAMERA = Camera(160, 120, 150.0, 150.0, 80.0, 60.0)
STEP = 0.05  # m between images


def way(kind):
    """Return poses (N, 4, 4) on a way: straight, there and back, or round and round."""
    random, count = generator(), 900
    along = np.arange(count) * STEP
    poses = np.tile(np.eye(4), (count, 1, 1))
    if kind == 'there and back':
        along = np.where(along < along[-1] / 2, along, along[-1] - along)
    poses[:, 0, 3] = along
    if kind == 'circles':
        angle = along / 5
        cos, sin = np.cos(angle), np.sin(angle)
        poses[:, 0, 0], poses[:, 0, 1], poses[:, 1, 0], poses[:, 1, 1] = cos, -sin, sin, cos
        poses[:, :2, 3] = 5 * np.stack([cos, sin], axis=-1)
    poses[:, :3, 3] += random.normal(scale=0.005, size=(count, 3))
    return poses


def filled(poses):
    """Return keyframes of images at poses, as many as fit into the smallest budget."""
    keyframes = Keyframes(KeyframeConfig(budget_mb=16))
    image = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    for number, pose in enumerate(poses):
        image[:] = number % 251
        keyframes.add(image, CAMERA, pose)
    assert len(keyframes) < len(poses) / 2  # so most made room
    return keyframes


def distances(poses, pose):
    return np.add(*pose_distances(poses, pose))


@pytest.mark.parametrize('kind', ['straight', 'there and back', 'circles'])
def test_every_place_keeps_a_view_about_as_near_as_evenly_spread_views_would_be(kind):
    poses = way(kind)
    keyframes = filled(poses)
    nearest = [distances(keyframes.T_world_camera, pose).min() for pose in poses[::5]]
    length = len(poses) * STEP * {'straight': 1, 'there and back': 0.5, 'circles': 1.2}[kind]
    assert max(nearest) < 3 * length / len(keyframes)  # evenly spread, it is half of the spacing


def test_a_place_that_is_seen_again_has_the_newer_images():
    poses = way('there and back')
    keyframes = filled(poses)
    assert np.median(keyframes.ids) > len(poses) / 2


def test_what_is_nearest_is_known_after_all_changes():
    random, places = generator(), Places()
    poses = way('circles')[:400]
    for number, pose in enumerate(poses):
        if number >= 30:
            if number % 3 == 0:
                places.move(int(random.integers(29)), pose)
            expected = [distances(places._poses, each) for each in places._poses]
            np.fill_diagonal(expected := np.array(expected), np.inf)
            np.testing.assert_allclose(places.distances(), expected.min(1), atol=1e-6)
            first, second = np.unravel_index(expected.argmin(), expected.shape)
            removed = places.merge_nearest()
            assert removed == min(first, second)
            places.remove(removed)
        places.add(pose)


def test_places_move_with_their_images():
    poses = way('straight')
    keyframes = filled(poses)
    T_new_old = np.eye(4)
    T_new_old[:3, 3] = 1e3, -5e2, 10.0
    keyframes.correct_poses(dict.fromkeys(keyframes.ids.tolist(), T_new_old))
    kept = set(keyframes.ids.tolist())
    image = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    for pose in poses[-100:]:  # seen again: what is far from there stays
        keyframes.add(image, CAMERA, T_new_old @ pose)
    far = keyframes.T_world_camera[:, 0, 3] < 1e3 + poses[-200, 0, 3]
    assert far.sum() > 0.9 * (len(kept) - 200 * len(kept) / len(poses)) * 0.9
    assert set(keyframes.ids[far].tolist()) <= kept


def test_without_neighbors_the_only_one_makes_room():
    places = Places()
    for pose in way('straight')[:2]:
        places.add(pose)
        assert places.merge_nearest() == 0
        places.remove(0)
    assert len(places._poses) == 0
