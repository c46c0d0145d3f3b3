"""Corrections: a map of images that were given elsewhere becomes that of where they were."""
import numpy as np
import pytest
import torch
from randomness import generator
from scenes import CAMERA, poses, view
from test_mapper import CONFIG, TINY, gain
from test_ranges import SENSOR, scan

from instant_nerf_ros.nerf import Mapper, replace
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED
from instant_nerf_ros.nerf.held_out import HeldOut

ROUND = poses(64)
SENSORS = SENSOR + np.array([[0.0, 0.0, 0.0], [0.2, 0.0, 0.1]])


def drift(number):
    """Return T_drifted_true (4, 4) of what has this number: the later, the larger."""
    angle = 0.004 * number
    cosine, sine = np.cos(angle), np.sin(angle)
    pose = np.eye(4)
    pose[:2, :2] = (cosine, -sine), (sine, cosine)
    pose[:3, 3] = 0.01 * number, -0.006 * number, 0.002 * number
    return pose


def moved(T_new_old, points):
    """Return points (N, 3), moved."""
    return points @ T_new_old[:3, :3].T + T_new_old[:3, 3]


def mapped(config, drift=lambda number: np.eye(4), with_depth=True, scans=()):
    """Return a Mapper of the room; image or scan k, with the id k + 1, has a drift of its own."""
    mapper = Mapper(config)
    for k, T_world_camera in enumerate(ROUND[::2]):
        image, depth = view(CAMERA, T_world_camera)
        pose = drift(k) @ T_world_camera
        assert mapper.add(image, CAMERA, pose, depth if with_depth else None) == k + 1
    for k, (sensor, points) in enumerate(zip(SENSORS, scans)):
        number = len(ROUND[::2]) + k
        T = drift(number)
        assert mapper.add_ranges(moved(T, sensor[None])[0], moved(T, points)) == number + 1
    return mapper


def corrections():
    """Return the corrections that undo the drift of all ids."""
    return {k + 1: np.linalg.inv(drift(k)) for k in range(100)}


def states(mapper):
    """Return {index of a voxel of the world: state} of all that is known, as an array (N, 4)."""
    grid = mapper.voxels()
    known = np.argwhere((grid.states == FREE) | (grid.states == OCCUPIED))
    places = np.round(grid.origin / grid.voxel_size).astype(int) + known
    return np.column_stack([places, grid.states[tuple(known.T)]])


def test_a_map_of_depth_is_the_one_of_the_true_poses():
    random = generator()
    scans = [scan(random, 500) + sensor - SENSOR for sensor in SENSORS]
    true, wrong = mapped(TINY, scans=scans), mapped(TINY, drift, scans=scans)
    expected, before = states(true), states(wrong)
    wrong.correct_poses(corrections())
    after = states(wrong)

    def share(found):
        """Return the share of the voxels that is alike."""
        both = {tuple(row) for row in found.tolist()} & {tuple(row) for row in expected.tolist()}
        return len(both) / max(len(found), len(expected))

    assert share(before) < 0.9
    assert share(after) > 0.99  # walls lie between voxels, and poses are rounded
    np.testing.assert_allclose(
        wrong.keyframes.T_world_camera, true.keyframes.T_world_camera, atol=1e-12)
    for (number, rays), (other, others) in zip(
            wrong.measurements.ranges.scans(), true.measurements.ranges.scans()):
        assert number == other
        for name in ('origins', 'directions', 'surfaces'):
            torch.testing.assert_close(
                getattr(rays, name), getattr(others, name), rtol=0, atol=1e-5)


@pytest.mark.parametrize('device', [
    'cpu', 'reference', pytest.param('triton', marks=pytest.mark.triton)])
def test_the_next_rays_are_those_of_the_corrected_poses(device):
    config = replace(TINY, {'device': device, 'field.levels': 2, 'sampling.min_step': 0.3})
    mapper = mapped(config, drift, with_depth=False)
    mapper.trainer.schedule.restore(rays=64, stride=8.0, age=0)
    mapper.step()
    mapper.correct_poses(corrections())
    true = np.array([pose[:3, 3] for pose in ROUND[::2]])
    for _ in range(2):
        sources, _ = mapper.trainer._next or mapper.trainer._sample_batch(mapper.occupancy)
        off = np.linalg.norm(sources.origins.cpu().numpy()[:, None] - true, axis=-1).min(-1)
        assert off.max() < 1e-5
        mapper.step()


def test_what_has_no_correction_stays():
    mapper, other = mapped(TINY, drift), mapped(TINY, drift)
    only = {3: np.linalg.inv(drift(2)), 999: drift(999)}  # of what is not there any more
    mapper.correct_poses(only)
    same = (mapper.keyframes.T_world_camera == other.keyframes.T_world_camera).all((1, 2))
    assert mapper.keyframes.ids[~same].tolist() == [3]


def test_where_nothing_is_nothing_moves():
    mapper = Mapper(TINY)
    mapper.correct_poses({0: drift(9)})
    assert mapper.occupancy is None and not mapper.keyframe_count


def test_held_out_images_move_too():
    image, _ = view(CAMERA, ROUND[1])
    stores = []
    for pose in (drift(7) @ ROUND[1], ROUND[1]):
        stores.append(HeldOut(every=16))
        stores[-1].add(image, CAMERA, pose, 7)
    wrong, true = stores
    wrong.correct_poses({7: np.linalg.inv(drift(7))})
    np.testing.assert_allclose(wrong.T_world_camera, [ROUND[1]], atol=1e-12)
    rays, others = wrong.rays(), true.rays()
    torch.testing.assert_close(rays.origins, others.origins, rtol=0, atol=1e-5)
    torch.testing.assert_close(rays.directions, others.directions, rtol=0, atol=1e-5)


def test_a_mapper_moves_its_held_out_images():
    mapper = mapped(replace(TINY, {'keyframes.held_out_every': 16}), drift)
    held = [k + 1 for k in range(len(ROUND[::2])) if k + 1 not in mapper.keyframes.ids]
    assert held == [9, 25]
    mapper.correct_poses(corrections())
    np.testing.assert_allclose(
        mapper.measurements.held_out.T_world_camera, [ROUND[::2][k - 1] for k in held], atol=1e-12)


@pytest.mark.parametrize(('with_depth', 'steps', 'share'), [(True, 150, 0.75), (False, 200, 0.6)])
def test_views_get_back_what_wrong_poses_cost(with_depth, steps, share):
    views = ROUND[1::16]

    def quality(drift, correct):
        config = replace(CONFIG, {'sampling.samples_per_step': 2048})
        mapper = mapped(config, drift, with_depth)
        for _ in range(steps):
            mapper.step()
        if correct:
            mapper.correct_poses(corrections())
        for _ in range(steps):
            mapper.step()
        return np.mean([gain(mapper, pose) for pose in views])

    true = quality(lambda number: np.eye(4), False)
    wrong, corrected = quality(drift, False), quality(drift, True)
    assert wrong < true - 3  # decibels
    assert corrected > wrong + share * (true - wrong)


def test_where_voxels_cannot_go_nothing_changes():
    mapper = mapped(TINY)
    before, poses = states(mapper), mapper.keyframes.T_world_camera.copy()
    far = np.eye(4)
    far[:3, 3] = 1e6
    with pytest.raises(ValueError, match='is the pose right'):
        mapper.correct_poses(dict.fromkeys(range(1, 6), far))
    np.testing.assert_array_equal(mapper.keyframes.T_world_camera, poses)
    np.testing.assert_array_equal(states(mapper), before)
