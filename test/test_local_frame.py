"""Local frame: a scene far from the origin of the world is mapped like one near it."""
import json

import numba
import numpy as np
import pytest
from scenes import CAMERA, poses, view
from test_files import positions_of, read_ply

from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.local_frame import NEAR_ORIGIN, LocalFrame

CONFIG = replace(Config(), {
    'device': 'cpu', 'field.levels': 6, 'field.finest_cell': 0.1, 'field.log2_table': 14,
    'occupancy.voxel_size': 0.1, 'occupancy.length': 6.0, 'occupancy.width': 6.0,
    'occupancy.height': 4.0, 'sampling.samples_per_step': 4096, 'sampling.min_step': 0.04,
    'sampling.near': 0.1, 'keyframes.budget_mb': 16, 'keyframes.held_out_every': 8,
})  # fmt: skip
UTM = np.array([5e6, 4e5, 100.0])  # metres
STEPS = 100
SCENE = poses(32)
EXACT = 2.0**-20  # metres: sums of a multiple of it and of UTM are exact in float64


def translated(pose, offset):
    moved = pose.copy()
    moved[:3, 3] += offset
    return moved


def exact(positions):
    return np.round(np.divide(positions, EXACT)) * EXACT


def world_poses(offset):
    """Return the poses of the scene in a world in which the first camera is at an offset.

    The sums are exact, so that the poses in the local frame do not depend on the offset. Training
    amplifies rounding errors, so that only then the views are the same.
    """
    return [translated(pose, exact(pose[:3, 3] - SCENE[0][:3, 3]) - pose[:3, 3] + offset)
            for pose in SCENE]


def map_scene(offset, steps=0, config=CONFIG):
    """Return a mapper of the scene, a third of it without depth and with a scan."""
    mapper = Mapper(config)
    for k, pose in enumerate(world_poses(offset)):
        image, depth = view(CAMERA, SCENE[k])
        assert mapper.add(image, CAMERA, pose, depth if k % 3 else None) is not None
    mapper.add_ranges(
        offset, offset + np.array([[1.0, 0.125, 0.25], [0.875, -0.375, 0.125]]))
    for _ in range(steps):
        mapper.step()
    return mapper


@pytest.fixture(scope='module', autouse=True)
def deterministic():
    """Run the kernels in one thread, so that sums have one order."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(threads)


@pytest.fixture(scope='module')
def near():
    """Return a mapper of the scene at the origin."""
    return map_scene(np.zeros(3), STEPS)


@pytest.fixture(scope='module')
def far():
    """Return a mapper of the same scene at UTM coordinates."""
    return map_scene(UTM, STEPS)


def assert_same_maps(far, near, offset=UTM):
    """Check that maps, voxels and points differ by an offset only."""
    map_far, map_near = far.map(), near.map()
    first = np.round((map_far.origin - map_near.origin - offset[:2]) / map_near.resolution)
    cells = {}
    for name, grid, shift in (('far', map_far, first.astype(int)), ('near', map_near, (0, 0))):
        index = np.argwhere(grid.cells != -1)
        known = grid.cells[tuple(index.T)]
        cells[name] = dict(zip(map(tuple, (index + shift[::-1]).tolist()), known.tolist()))
    assert cells['far'] == cells['near'] and set(cells['near'].values()) == {0, 100}
    assert map_far.floor - offset[2] == pytest.approx(map_near.floor, abs=1e-3)
    assert map_far.floor_found == map_near.floor_found
    voxels_far, voxels_near = far.voxels(), near.voxels()
    np.testing.assert_array_equal(voxels_far.states, voxels_near.states)
    np.testing.assert_allclose(voxels_far.origin - offset, voxels_near.origin, atol=1e-3)
    (positions_far, colors_far), (positions_near, colors_near) = far.points(), near.points()
    np.testing.assert_allclose(positions_far - offset, positions_near, atol=1e-3)
    # A ray that ends on the border of two voxels gives its color to either, as rounding decides.
    assert (colors_far != colors_near).any(-1).mean() < 0.01


def test_maps_and_points_differ_by_the_offset_only(far, near):
    assert_same_maps(far, near)
    assert len(near.points()[0]) > 1000


@pytest.mark.parametrize('k', [3, 14, 25])
def test_views_are_the_same(far, near, k):
    actual = far.render(CAMERA, world_poses(UTM)[k])
    expected = near.render(CAMERA, world_poses(np.zeros(3))[k])
    difference = np.abs(actual.color.astype(int) - expected.color).max(-1)
    assert (difference > 1).mean() < 0.001
    np.testing.assert_allclose(actual.depth, expected.depth, atol=1e-3)
    assert far.psnr() == pytest.approx(near.psnr(), abs=0.01) and near.psnr() > 15


def test_distances_to_obstacles_are_the_same(far, near):
    actual, expected = far.esdf(0.5), near.esdf(0.5)
    np.testing.assert_allclose(actual.positions - UTM, expected.positions, atol=1e-3)
    np.testing.assert_allclose(actual.distances, expected.distances, atol=1e-3)


def test_poses_of_keyframes_are_in_the_world(far, near):
    np.testing.assert_allclose(
        far.keyframe_poses()[:, :3, 3] - UTM, near.keyframe_poses()[:, :3, 3], atol=1e-3)
    assert not far.is_new_viewpoint(world_poses(UTM)[5])


def test_a_saved_model_is_loaded_in_its_frame(far, tmp_path):
    far.save(tmp_path / 'map')
    loaded = Mapper.load(tmp_path / 'map')
    assert loaded.occupancy.shape == far.occupancy.shape
    np.testing.assert_array_equal(loaded.map().cells, far.map().cells)
    np.testing.assert_array_equal(loaded.map().origin, far.map().origin)
    np.testing.assert_array_equal(loaded.points()[0], far.points()[0])
    np.testing.assert_allclose(loaded.keyframe_poses(), far.keyframe_poses(), atol=1e-6)
    pose = world_poses(UTM)[3]
    np.testing.assert_array_equal(
        loaded.render(CAMERA, pose).color, far.render(CAMERA, pose).color)
    image, depth = view(CAMERA, SCENE[3])
    assert loaded.add(image, CAMERA, pose, depth) is None
    assert np.isfinite(loaded.step()['loss'])


def test_exported_files_are_exact_to_a_millimetre(far, near, tmp_path):
    far.save(tmp_path / 'far')
    near.save(tmp_path / 'near')
    positions = [read_ply(tmp_path / name / 'points.ply')[0] for name in ('far', 'near')]
    actual, expected = map(positions_of, positions)
    assert actual.dtype == np.float64 and expected.dtype == np.float32
    np.testing.assert_allclose(actual - UTM, expected, atol=1e-3)
    mesh = positions_of(read_ply(tmp_path / 'far' / 'mesh.ply')[0]) - UTM
    expected_mesh = positions_of(read_ply(tmp_path / 'near' / 'mesh.ply')[0])
    np.testing.assert_allclose(mesh.min(0), expected_mesh.min(0), atol=0.1)
    np.testing.assert_allclose(mesh.max(0), expected_mesh.max(0), atol=0.1)
    entries = dict(line.split(': ') for line in
                   (tmp_path / 'far' / 'map.yaml').read_text().splitlines())
    np.testing.assert_allclose(json.loads(entries['origin'])[:2], far.map().origin, atol=1e-3)


def motion_around(center, angle, translation):
    """Return T_new_old (4, 4) of a rotation around the z axis at a center, and a translation."""
    T = np.eye(4)
    T[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    T[:3, 3] = center - T[:3, :3] @ center + translation
    return T


def test_corrections_of_poses_are_the_same_and_can_be_undone():
    offsets = np.zeros(3), UTM
    mappers = [map_scene(offset) for offset in offsets]
    before = [mapper.keyframe_poses() for mapper in mappers]
    for mapper, offset in zip(mappers, offsets):
        T = motion_around(offset, 0.3, np.array([0.4, -0.2, 0.0]))
        mapper.correct_poses(dict.fromkeys(range(100), T))
    near, far = mappers
    assert np.abs(near.keyframe_poses() - before[0]).max() > 0.3
    np.testing.assert_allclose(
        far.keyframe_poses()[:, :3, 3] - UTM, near.keyframe_poses()[:, :3, 3], atol=1e-3)
    assert_same_maps(far, near)
    for mapper, offset in zip(mappers, offsets):
        T = np.linalg.inv(motion_around(offset, 0.3, np.array([0.4, -0.2, 0.0])))
        mapper.correct_poses(dict.fromkeys(range(100), T))
    np.testing.assert_allclose(far.keyframe_poses(), before[1], atol=1e-6)
    assert_same_maps(far, near)


def test_a_first_pose_far_away_is_the_center_of_the_map():
    mapper = map_scene(np.array([1e6, 0.0, 0.0]))
    assert mapper.keyframe_count > 25
    positions, _ = mapper.points()
    assert len(positions) and np.abs(positions - [1e6, 0, 0]).max() < 10


@pytest.mark.parametrize('coordinate', [1e9, 1e19, -1e19])
def test_a_position_that_is_no_position_raises_an_error_and_changes_nothing(coordinate):
    image, depth = view(CAMERA, SCENE[0])
    wrong = translated(SCENE[0], [0, coordinate, 0])
    fresh, mapped = Mapper(CONFIG), Mapper(CONFIG)
    mapped.add(image, CAMERA, SCENE[0], depth)
    frame, points = mapped.measurements.frame, mapped.points()[0]
    for mapper in (fresh, mapped):
        with pytest.raises(ValueError, match='are the poses in metres'):
            mapper.add(image, CAMERA, wrong, depth)
        with pytest.raises(ValueError, match='are the poses in metres'):
            mapper.integrate_depth(image, CAMERA, wrong, depth)
    assert fresh.keyframe_count == 0 and fresh.occupancy is None
    assert fresh.measurements.frame == LocalFrame()
    assert mapped.keyframe_count == 1 and mapped.measurements.frame == frame
    np.testing.assert_array_equal(mapped.points()[0], points)


def test_malformed_arguments_raise_an_error(near):
    image, _ = view(CAMERA, SCENE[0])
    with pytest.raises(ValueError, match='needs a depth image'):
        near.integrate_depth(image, CAMERA, SCENE[0], None)
    for pose in (np.eye(3), np.full((4, 4), np.nan), None):
        with pytest.raises(ValueError, match='4 x 4'):
            near.render(CAMERA, pose)


def test_near_the_origin_both_frames_are_the_same():
    assert LocalFrame.around(np.array([NEAR_ORIGIN - 1, 0, -NEAR_ORIGIN + 1]), 0.05) == LocalFrame(
        (0, 0, 0), 0.05)


def test_the_local_frame_is_translated_by_whole_voxels():
    frame = LocalFrame.around(np.array([NEAR_ORIGIN + 1, 0.3, -7.04]), 0.05)
    assert frame.voxels == (5140, 6, -141)
    np.testing.assert_allclose(frame.origin, np.multiply(frame.voxels, 0.05))


def test_transformations_to_and_from_the_local_frame_are_inverse():
    frame = LocalFrame.around(UTM, 0.05)
    pose, T = translated(SCENE[3], UTM), motion_around(UTM, 0.2, np.ones(3))
    np.testing.assert_allclose(frame.globalize(frame.localize(pose)), pose)
    np.testing.assert_allclose(frame.localize_points(UTM), UTM - frame.origin)
    # A motion of the world, and the same motion in the local frame.
    np.testing.assert_allclose(
        frame.localize_motion(T) @ frame.localize(pose), frame.localize(T @ pose), atol=1e-6)
