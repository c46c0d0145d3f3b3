"""Motion: what a Mapper learns of poses and distances from colour images alone."""
import numpy as np
import pytest
from test_alignment import misplaced, noisy, way
from test_mapper import CONFIG
from test_motion_stereo import CAMERA, NORMAL, THROUGH, see

from instant_nerf_ros.nerf import Mapper, replace
from instant_nerf_ros.nerf.constants import UNKNOWN
from instant_nerf_ros.nerf.motion import plane_sweep, structure_from_motion

SETTINGS = {'keyframes.min_translation': 0.0, 'keyframes.min_rotation': 0.0,
            'motion.align': True, 'motion.stereo': True}


def mapper(**settings):
    return Mapper(replace(CONFIG, {
        **SETTINGS, **{f'motion.{name}': value for name, value in settings.items()}}))


def give(mapper, given, true, with_depth=False):
    """Give a mapper what is seen from true poses, as if from others."""
    for told, real in zip(given, true):
        image, depth = see(real)
        assert mapper.add(np.repeat(image[..., None], 3, axis=-1), CAMERA, told,
                          depth.astype(np.float32) if with_depth else None)
    return mapper


def ends(ranges):
    return (ranges.origins + ranges.distances[:, None] * ranges.directions)[: len(ranges)]


def test_distances_of_a_plane_become_rays():
    mapped = give(mapper(), way(16), way(16))
    assert len(mapped.motion.ranges) > 1000
    off = abs((ends(mapped.motion.ranges) - THROUGH) @ NORMAL)
    assert np.median(off) < 0.04


def test_what_only_one_image_says_is_not_told(monkeypatch):
    right, asked = plane_sweep.depth, []

    def wrong(*seen):
        asked.append(right(*seen))
        return asked[-1] * 3.0 ** len(asked)

    monkeypatch.setattr(motion_stereo, 'depth', wrong)
    mapped = give(mapper(), way(16), way(16))
    assert len(asked) > structure_from_motion.WITNESSES
    assert len(mapped.motion.ranges) < 0.01 * np.isfinite(asked).sum()


def test_they_have_no_vote():
    mapped = give(mapper(), way(16), way(16))
    assert len(mapped.motion.ranges) and (mapped.voxels().states == UNKNOWN).all()


def test_poses_of_keyframes_are_corrected():
    true = way(16)
    given = noisy(true)
    mapped = give(mapper(), given, true)
    assert misplaced(mapped.keyframes.T_world_camera, true) < misplaced(given, true) / 2


@pytest.mark.parametrize('settings, with_depth', [
    ({'align': False, 'stereo': False}, False), ({}, True)])
def test_without_it_or_with_depth_poses_are_what_was_given(settings, with_depth):
    given = noisy(way(12))
    mapped = give(mapper(**settings), given, way(12), with_depth)
    np.testing.assert_array_equal(mapped.keyframes.T_world_camera, given)
    assert not len(mapped.motion.ranges)


def test_a_full_store_forgets_images_and_goes_on():
    true = way(24)
    mapped = Mapper(replace(CONFIG, {**SETTINGS, 'keyframes.budget_mb': 16}))
    mapped.keyframes.depths = mapped.keyframes.depths[: 6 * CAMERA.width * CAMERA.height]
    give(mapped, noisy(true), true)
    assert len(mapped.keyframes) == 6
    for number, pose in zip(mapped.keyframes.numbers, mapped.keyframes.T_world_camera):
        assert np.abs(pose - true[number]).max() < 0.05  # each its own


def test_a_camera_of_another_size_is_compared_with_its_own_kind():
    mapped = mapper()
    for k, true in enumerate(way(20)):
        camera = CAMERA.scaled(80, 60) if k % 5 == 0 else CAMERA
        image, _ = see(true, camera)
        assert mapped.add(np.repeat(image[..., None], 3, axis=-1), camera, true)
    assert len(mapped.motion.ranges) > 1000
    assert np.median(abs((ends(mapped.motion.ranges) - THROUGH) @ NORMAL)) < 0.04


def test_large_images_are_compared_small():
    camera = CAMERA.scaled(1280, 960)
    gray, small = structure_from_motion._small(np.zeros((960, 1280), np.uint8), camera, 320)
    assert gray.shape == (240, 320) and small == CAMERA.scaled(320, 240)
    narrow = np.zeros((10, 20), np.uint8)
    assert structure_from_motion._small(narrow, CAMERA.scaled(20, 10), 320)[0] is narrow
