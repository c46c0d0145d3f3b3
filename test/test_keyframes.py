"""Keyframes: what is kept stays what it was, within the budget."""
import math

import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.rays import sample_rays
from instant_nerf_ros.nerf.capture.selection import is_far
from instant_nerf_ros.nerf.config import KeyframeConfig

BYTES = 2**20  # of a budget of 1 MB
SMALL, WIDE, LARGE = (
    Camera(width, height, 100.0, 100.0, width / 2, height / 2)
    for width, height in ((160, 100), (320, 180), (256, 250)))
CONFIG = KeyframeConfig(budget_mb=1, min_translation=0.1, min_rotation=10.0)


def pose(x, y=0.0, z=0.0, angle=0.0, axis=2):
    """Return T_world_camera at a place, turned by an angle in degrees about an axis."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    T_world_camera = np.eye(4)
    a, b = [other for other in range(3) if other != axis]
    T_world_camera[[a, a, b, b], [a, b, a, b]] = cos, -sin, sin, cos
    T_world_camera[:3, 3] = x, y, z
    return T_world_camera


def picture(camera, number):
    """Return an image and a depth that only this number has, different in every pixel."""
    count = camera.width * camera.height
    values = np.arange(count) + number * 7919
    image = np.stack([values % 251, values // 251 % 241, np.full(count, number)], axis=-1)
    size = camera.height, camera.width
    return image.astype(np.uint8).reshape(*size, 3), (values % 9973 / 1000 + 0.5).reshape(size)


def add(keyframes, camera, number, T_world_camera=None):
    T_world_camera = pose(number) if T_world_camera is None else T_world_camera
    image, depth = picture(camera, number)
    keyframes.add(image, camera, T_world_camera, depth)


def numbers(keyframes):
    """Return the numbers of the keyframes, which are their x."""
    return keyframes.T_world_camera[:, 0, 3].astype(int).tolist()


def assert_intact(keyframes, cameras):
    """Assert that each keyframe has its own pixels and rays; cameras: {number: Camera}."""
    for k, number in enumerate(numbers(keyframes)):
        camera = cameras[number]
        image, depth = picture(camera, number)
        count = camera.width * camera.height
        assert keyframes.pixels[k] == count
        own = slice(keyframes.first[k], keyframes.first[k] + count)
        np.testing.assert_array_equal(keyframes.colors[own], image.reshape(-1, 3))
        np.testing.assert_allclose(keyframes.depths[own] / 1000, depth.ravel(), atol=5.1e-4)
        first = keyframes.first_direction[k]
        np.testing.assert_array_equal(
            keyframes.directions[first:first + count], camera.directions())


def test_images_of_all_sizes_stay_intact_within_the_budget_however_many_come():
    random = generator()
    keyframes, cameras = Keyframes(CONFIG), {}
    for number in range(40):
        cameras[number] = [SMALL, WIDE, LARGE][random.integers(3)]
        x = number if random.random() < 0.7 else number + random.uniform(0, 0.9)
        add(keyframes, cameras[number], number, pose(x, *random.normal(size=2)))
        assert keyframes.pixels.sum() * 5 <= BYTES
        assert numbers(keyframes)[-1] == number  # the newest is always there
        assert_intact(keyframes, cameras)
    assert len(keyframes) < 40  # so some did make room


def test_the_pool_is_used_up_before_anything_makes_room():
    keyframes = Keyframes(CONFIG)
    fit = BYTES // (5 * SMALL.width * SMALL.height)
    for number in range(fit):
        add(keyframes, SMALL, number)
    assert numbers(keyframes) == list(range(fit))
    add(keyframes, SMALL, fit)
    assert len(keyframes) == fit


def test_the_older_of_the_two_nearest_keyframes_makes_room():
    keyframes = Keyframes(CONFIG)
    fit = BYTES // (5 * SMALL.width * SMALL.height)
    assert fit == 13
    places = [0, 10, 20, 30, 40, 41, 60, 70, 80, 90, 100, 110, 120]
    for number in places:
        add(keyframes, SMALL, number)
    add(keyframes, SMALL, 200)
    assert numbers(keyframes) == [number for number in places if number != 40] + [200]


def test_at_the_same_place_the_nearest_in_direction_makes_room():
    keyframes = Keyframes(CONFIG)
    for number, angle in enumerate([0, 25, 50, 75, 81, 110, 135, 160, 190, 220, 250, 280, 310]):
        add(keyframes, SMALL, number, pose(number / 1e6, angle=angle))
    angles = keyframes.T_world_camera
    add(keyframes, SMALL, 100, pose(100.0))
    gone = [k for k in range(13) if not (keyframes.T_world_camera == angles[k]).all((1, 2)).any()]
    assert gone == [3]


def test_an_image_larger_than_the_budget_is_refused_and_nothing_is_lost():
    keyframes = Keyframes(CONFIG)
    for number in range(5):
        add(keyframes, SMALL, number)
    huge = Camera(500, 500, 100.0, 100.0, 250.0, 250.0)
    with pytest.raises(ValueError, match='keyframes.budget_mb'):
        add(keyframes, huge, 5)
    assert numbers(keyframes) == list(range(5))
    assert_intact(keyframes, dict.fromkeys(range(5), SMALL))


@pytest.mark.parametrize('motion, kept', [
    (pose(0.0), False),
    (pose(0.09), False),
    (pose(0.11), True),
    (pose(0.0, 0.0, -0.11), True),
    (pose(0.07, 0.07, 0.07), True),  # 0.12 m in all
    (pose(0.0, angle=9.5, axis=0), False),
    (pose(0.0, angle=10.5, axis=0), True),
    (pose(0.0, angle=-10.5, axis=1), True),
    (pose(0.0, angle=180.0, axis=2), True),
    (pose(0.09, angle=9.5), False),
])
def test_moved_by_a_distance_or_an_angle(motion, kept):
    start = pose(3.0, -2.0, 1.0, angle=33.0, axis=1)
    assert is_far(start, np.empty((0, 4, 4)), CONFIG)
    assert is_far(start @ motion, start[None], CONFIG) == kept


def test_motion_counts_from_all_images():
    others = np.stack([pose(0.0), pose(5.0)])
    assert not is_far(pose(0.05), others, CONFIG)
    assert not is_far(pose(5.05), others, CONFIG)
    assert is_far(pose(2.5), others, CONFIG)


def test_only_keyframes_with_these_ids_are_kept():
    keyframes = Keyframes(CONFIG)
    for number in range(5):
        add(keyframes, SMALL, number)
    keyframes.keep([*keyframes.ids[[1, 3]], 99])
    assert numbers(keyframes) == [1, 3]
    assert_intact(keyframes, dict.fromkeys([1, 3], SMALL))
    keyframes.keep([])
    assert not len(keyframes)


def test_depth_is_kept_to_half_a_millimetre_and_what_is_none_becomes_none():
    random = generator()
    camera = Camera(100, 10, 50.0, 50.0, 50.0, 5.0)
    depth = random.uniform(0.01, 65.0, 1000).astype(np.float32)
    none = [np.nan, np.inf, -np.inf, 0.0, -1.0, -0.001, 65.6, 100.0, 131.1, 1e9]
    depth[:10] = none
    keyframes = Keyframes(CONFIG)
    keyframes.add(np.zeros((10, 100, 3), np.uint8), camera, pose(0.0), depth.reshape(10, 100))
    kept = keyframes.depths[:1000]
    assert not kept[:10].any()
    np.testing.assert_allclose(kept[10:] / 1000, depth[10:], rtol=0, atol=5.05e-4)


def test_an_image_without_depth_does_not_inherit_that_of_an_evicted_one():
    keyframes = Keyframes(CONFIG)
    for number in range(13):
        add(keyframes, SMALL, number)
    for number in range(13, 25):
        keyframes.add(picture(SMALL, number)[0], SMALL, pose(number * 3.0))
    rays, _ = sample_rays(keyframes, 5000, generator(), 0.5)
    without = rays.pixels[:, 2] >= 13
    assert without.sum() > 1000 and not rays.surfaces[without].any()
    assert rays.surfaces[~without].all()


def test_new_keyframes_are_drawn_first_and_all_alike_in_the_end():
    keyframes, random = Keyframes(CONFIG), generator()
    for number in range(4):
        add(keyframes, SMALL, number)
    np.testing.assert_allclose(keyframes.sampling_weights(), 0.25)
    for _ in range(50):
        sample_rays(keyframes, 2000, random, 0.5)
    add(keyframes, SMALL, 4)
    weights = keyframes.sampling_weights()
    assert weights.sum() == pytest.approx(1) and weights[4] > 4 * weights[:4].max()
    assert keyframes.ray_counts.sum() == 100_000
    for _ in range(400):
        sample_rays(keyframes, 2000, random, 0.5)
    np.testing.assert_allclose(keyframes.sampling_weights(), 0.2, atol=0.02)
    np.testing.assert_allclose(keyframes.ray_counts / keyframes.ray_counts.sum(), 0.2, atol=0.02)


def test_a_calibration_for_each_image_takes_no_more_memory_than_the_keyframes_that_are_left():
    keyframes = Keyframes(KeyframeConfig(budget_mb=16))
    cameras = [Camera(640, 480, 500.0 + k, 500.0, 319.5, 239.5) for k in range(30)]
    for number, camera in enumerate(cameras):
        add(keyframes, camera, number)
    assert 3 < len(keyframes) < 20
    assert len(keyframes.directions) <= (len(keyframes) + 1) * 640 * 480
    for k in range(len(keyframes)):
        camera, first = keyframes.image(k)[0], keyframes.first_direction[k]
        assert camera == cameras[numbers(keyframes)[k]]
        np.testing.assert_array_equal(
            keyframes.directions[first:first + 640 * 480], camera.directions())
