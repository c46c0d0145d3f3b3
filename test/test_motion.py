"""Motion: poses and pseudo depth that a Mapper computes from color images."""
import numpy as np
import pytest
from test_alignment import noisy, pixel_errors, trajectory
from test_mapper import CONFIG
from test_plane_sweep import CAMERA, NORMAL, POINT, render_plane

from instant_nerf_ros.nerf import Mapper, replace, trainer
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf.motion import plane_sweep, stereo_image
from instant_nerf_ros.nerf.occupancy.integration import MIN_TRAINED_RAYS

SETTINGS = {'keyframes.min_translation': 0.0, 'keyframes.min_rotation': 0.0,
            'motion.align': True, 'motion.stereo': True}


def make_mapper(**settings):
    return Mapper(replace(CONFIG, {
        **SETTINGS, **{f'motion.{name}': value for name, value in settings.items()}}))


def add_views(mapper, given, true, with_depth=False):
    """Add views of the plane from true poses to a mapper, with the given poses."""
    for T_given, T_true in zip(given, true):
        image, depth = render_plane(T_true)
        image_id = mapper.add(np.repeat(image[..., None], 3, axis=-1), CAMERA, T_given,
                              depth.astype(np.float32) if with_depth else None)
        assert image_id is not None
    return mapper


def pseudo_depth_of(mapper):
    return mapper.measurements.motion.pseudo_depth


def distances_to_plane(ranges):
    """Return the distances (N,) [m] between the ends of rays and the plane."""
    ends = ranges.origins + ranges.distances[:, None] * ranges.directions
    return abs((ends[: len(ranges)] - POINT) @ NORMAL)


def test_pseudo_depth_is_on_the_plane():
    pseudo_depth = pseudo_depth_of(add_views(make_mapper(), trajectory(16), trajectory(16)))
    assert len(pseudo_depth) > 1000
    assert np.median(distances_to_plane(pseudo_depth)) < 0.04


def voting_pixels(mapper):
    """Return how many pixels of stereo earlier images confirm, so that they vote."""
    keyframes, motion = mapper.measurements.keyframes, mapper.measurements.motion
    poses = dict(zip(keyframes.ids.tolist(), keyframes.T_world_camera))
    return sum(np.isfinite(motion.confirmed(keyframe, poses).depth).sum()
               for keyframe in motion.estimates)


def test_depth_that_other_images_contradict_is_dropped(monkeypatch):
    correct = plane_sweep.depth
    monkeypatch.setattr(plane_sweep, 'depth', lambda *arguments: 1.3 * correct(*arguments))
    wrong = add_views(make_mapper(), trajectory(16), trajectory(16))
    monkeypatch.undo()
    right = add_views(make_mapper(), trajectory(16), trajectory(16))
    # By chance, two partners agree on few pixels. Those train the field, but hardly one votes.
    assert len(pseudo_depth_of(wrong)) < 0.03 * len(pseudo_depth_of(right))
    assert voting_pixels(wrong) < 1e-3 * voting_pixels(right)


def test_estimates_are_kept_with_their_keyframes():
    mapper = add_views(make_mapper(align=False), trajectory(16), trajectory(16))
    motion = mapper.measurements.motion
    assert len(motion.estimates) == 4  # every 8 cm, once eight later images are there
    for keyframe, estimate in motion.estimates.items():
        pose = trajectory(16)[keyframe - 1]
        origins, directions, distances, sigmas = estimate.rays(pose)
        errors = (origins + distances[:, None] * directions - POINT) @ NORMAL
        # Along the normal, an error is as much smaller as for the distance to the plane.
        deviations = sigmas * abs(directions @ NORMAL)
        assert np.median(abs(errors)) < 0.02
        assert (abs(errors) < 3 * deviations).mean() > 0.97


def test_images_in_a_hurry_are_aligned_without_stereo():
    true = trajectory(16)
    mapper, given = make_mapper(), noisy(true)
    for pose, at in zip(given, true):
        image, _ = render_plane(at)
        mapper.add(np.repeat(image[..., None], 3, axis=-1), CAMERA, pose, hurry=True)
    assert not mapper.measurements.motion.estimates
    assert pixel_errors(mapper.keyframe_poses(), true) < pixel_errors(given, true) / 2


def test_stereo_votes_where_images_agree():
    mapper = add_views(make_mapper(), trajectory(16), trajectory(16))
    voxels, size = mapper.voxels(), CONFIG.occupancy.voxel_size

    def distances(state):  # to the plane, along its normal
        places = np.argwhere(voxels.states == state) + 0.5
        return (voxels.origin + size * places - POINT) @ NORMAL

    occupied, free = distances(OCCUPIED), distances(FREE)
    reach = size * abs(NORMAL).sum() / 2  # of a voxel that the plane touches
    assert len(occupied) > 50 and np.median(abs(occupied)) < reach
    assert np.quantile(abs(occupied), 0.9) < reach + size
    before = np.sign((trajectory(16)[0][:3, 3] - POINT) @ NORMAL) * free
    assert len(free) > 500 and (before < -reach).mean() < 0.01


@pytest.mark.parametrize('stereo', [True, False])
def test_beside_stereo_a_young_field_votes_once(stereo, monkeypatch):
    votes = []
    monkeypatch.setattr(trainer, 'integrate_rendered', lambda *arguments: votes.append(arguments))
    mapper = add_views(make_mapper(stereo=stereo), trajectory(1), trajectory(1))
    for _ in range(200):
        mapper.step()
    assert mapper.keyframes.ray_counts[0] > 16 * MIN_TRAINED_RAYS
    assert len(votes) == 1 if stereo else len(votes) > 10


def test_stereo_votes_again_after_a_correction():
    mapper = add_views(make_mapper(align=False), trajectory(16), trajectory(16))
    before = mapper.voxels().states
    mapper.correct_poses({1: np.eye(4)})
    np.testing.assert_array_equal(mapper.voxels().states, before)


def test_one_image_has_no_vote():
    """Nine images give depth of the first one, with which none of an earlier one agrees."""
    mapper = add_views(make_mapper(), trajectory(9), trajectory(9))
    assert len(pseudo_depth_of(mapper)) and (mapper.voxels().states == UNKNOWN).all()


def test_poses_of_keyframes_are_corrected():
    true = trajectory(16)
    given = noisy(true)
    mapper = add_views(make_mapper(), given, true)
    assert pixel_errors(mapper.keyframe_poses(), true) < pixel_errors(given, true) / 2


@pytest.mark.parametrize('settings, with_depth', [
    ({'align': False, 'stereo': False}, False), ({}, True)])
def test_poses_are_not_corrected_if_disabled_or_with_depth(settings, with_depth):
    given = noisy(trajectory(12))
    mapper = add_views(make_mapper(**settings), given, trajectory(12), with_depth)
    np.testing.assert_array_equal(mapper.keyframe_poses(), given)
    assert not len(pseudo_depth_of(mapper))


def test_it_continues_when_keyframes_are_removed():
    true = trajectory(24)
    mapper = Mapper(replace(CONFIG, {**SETTINGS, 'keyframes.budget_mb': 16}))
    mapper.keyframes.depths = mapper.keyframes.depths[: 6 * CAMERA.width * CAMERA.height]
    add_views(mapper, noisy(true), true)
    assert mapper.keyframe_count == 6
    ids = mapper.keyframes.ids  # consecutive, and the last image is kept
    for keyframe, pose in zip(ids, mapper.keyframe_poses()):
        assert np.abs(pose - true[keyframe - ids[-1] - 1]).max() < 0.05


def test_images_of_different_sizes_are_not_matched():
    mapper = make_mapper()
    for k, true in enumerate(trajectory(20)):
        camera = CAMERA.scaled(80, 60) if k % 5 == 0 else CAMERA
        image, _ = render_plane(true, camera)
        image_id = mapper.add(np.repeat(image[..., None], 3, axis=-1), camera, true)
        assert image_id is not None
    assert len(pseudo_depth_of(mapper)) > 1000
    assert np.median(distances_to_plane(pseudo_depth_of(mapper))) < 0.04


def test_large_images_are_scaled_down():
    camera = CAMERA.scaled(1280, 960)
    gray, small = stereo_image.scaled(np.zeros((960, 1280), np.uint8), camera, 320)
    assert gray.shape == (240, 320) and small == CAMERA.scaled(320, 240)
    narrow = np.zeros((10, 20), np.uint8)
    assert stereo_image.scaled(narrow, CAMERA.scaled(20, 10), 320)[0] is narrow
