"""Sources: whatever has written them, the frames are those of the painted room."""
import warnings

import numpy as np
import photo_sets
import pytest
from photo_sets import CAMERA, room
from scipy.spatial.transform import Rotation

from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.scenes.placement import Placement, upright
from instant_nerf_ros.scenes.sources import is_posed, open_source

WRITERS = {
    'transforms.json': photo_sets.write_transforms, 'RGB-D': photo_sets.write_rgbd,
    'NeRF synthetic': photo_sets.write_synthetic, 'COLMAP text': photo_sets.write_colmap_text,
    'COLMAP binary': photo_sets.write_colmap_binary, 'LLFF': photo_sets.write_llff,
    'Polycam': photo_sets.write_polycam, 'Record3D': photo_sets.write_record3d,
    'rosbag2': photo_sets.write_bag,
}
METRIC = 'RGB-D', 'Polycam', 'Record3D', 'rosbag2'


def written(name, folder, frames):
    if name == 'COLMAP binary':
        pytest.importorskip('pycolmap')
    WRITERS[name](folder, frames)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        return open_source(folder)


@pytest.mark.parametrize('name', WRITERS)
def test_poses_intrinsics_and_pixels_survive(tmp_path, name):
    frames = room(9)
    source = written(name, tmp_path / 'data', frames)
    assert is_posed(tmp_path / 'data')
    assert len(source.poses) == len(source.cameras) == len(source.names) == 9
    np.testing.assert_allclose(source.poses, [f.T_world_camera for f in frames], atol=1e-6)
    read = list(source.read(range(9)))
    assert [index for index, _ in read] == list(range(9))
    for (_, got), frame in zip(read, frames):
        for key in ('fx', 'fy', 'cx', 'cy'):
            assert getattr(got.camera, key) == pytest.approx(getattr(CAMERA, key), abs=1e-6)
        assert (got.camera.width, got.camera.height) == (CAMERA.width, CAMERA.height)
        assert (got.image == frame.image).all()
        np.testing.assert_allclose(got.T_world_camera, frame.T_world_camera, atol=1e-6)
        if got.depth is not None:
            np.testing.assert_allclose(got.depth, frame.depth, atol=1e-3)
    assert source.metric == (name in METRIC)
    assert all((got.depth is not None) == (name in ('RGB-D', 'rosbag2')) for _, got in read)


@pytest.mark.parametrize('name', WRITERS)
def test_every_eighth_frame_or_the_test_set_is_held_out(tmp_path, name):
    source = written(name, tmp_path / 'data', room(9))
    expected = {6, 7, 8} if name == 'NeRF synthetic' else {0, 8}
    assert source.held_out == expected


def test_of_few_frames_none_is_held_out(tmp_path):
    assert written('LLFF', tmp_path / 'data', room(5)).held_out == frozenset()


@pytest.mark.parametrize('name', ['COLMAP text', 'COLMAP binary'])
def test_points_of_colmap_are_what_their_images_have_seen(tmp_path, name):
    frames = room(3)
    source = written(name, tmp_path / 'data', frames)
    expected = [frame.depth[row, column] for frame in frames
                for row, column in ((10, 20), (30, 40))]
    points = source.points.reshape(3, 2, 3)
    depths = [
        (np.linalg.inv(frame.T_world_camera) @ [*point, 1.0])[2]
        for frame, seen in zip(frames, points) for point in seen]
    np.testing.assert_allclose(depths, expected, rtol=1e-5)


def test_alpha_is_kept(tmp_path):
    alpha = np.full((CAMERA.height, CAMERA.width), 255, np.uint8)
    alpha[:20] = 0
    photo_sets.write_synthetic(tmp_path, room(6), alpha)
    for _, frame in open_source(tmp_path).read(range(6)):
        assert (frame.alpha == alpha).all()


def test_two_cameras_with_the_same_names_of_images_are_told_apart(tmp_path):
    frames = room(4)
    for side in ('left', 'right'):
        photo_sets.write_images(tmp_path / side, frames[:2])
    document = photo_sets.transforms(
        frames, ['left/000.png', 'left/001.png', 'right/000.png', 'right/001.png'])
    (tmp_path / 'transforms.json').write_text(photo_sets.json.dumps(document))
    assert open_source(tmp_path).names == [f['file_path'] for f in document['frames']]


def test_the_keyframes_of_a_saved_map_are_frames_with_its_settings(tmp_path):
    mapper = Mapper(replace(Config(), {
        'occupancy.voxel_size': 0.1, 'field.log2_table': 8, 'keyframes.held_out_every': 0}))
    frames = room(9)
    for frame in frames:
        mapper.add(frame.image, frame.camera, frame.T_world_camera, frame.depth)
    mapper.rescue(tmp_path / 'map')
    assert is_posed(tmp_path) and is_posed(tmp_path / 'map')
    for source in (open_source(tmp_path), open_source(tmp_path / 'map')):
        assert source.config == mapper.config and source.metric and source.level
        np.testing.assert_allclose(source.poses, [f.T_world_camera for f in frames], atol=1e-9)
        for (_, got), frame in zip(source.read(range(9)), frames):
            assert (got.image == frame.image).all()
            np.testing.assert_allclose(got.depth, frame.depth, atol=6e-4)


@pytest.mark.parametrize('up', [(0.0, -1, 0), (1, 0, 0), (0, 0, -1), (0.6, 0.8, 0)])
def test_a_scene_is_turned_so_that_its_cameras_are_upright(up):
    poses = np.array([frame.T_world_camera for frame in room(12)])
    mean = -poses[:, :3, 1].mean(axis=0)
    axis = np.cross(mean / np.linalg.norm(mean), up)
    turn = np.eye(4)
    angle = np.arctan2(np.linalg.norm(axis), mean @ up / np.linalg.norm(mean))
    direction = axis / max(np.linalg.norm(axis), 1e-12) if np.any(axis) else np.array([1.0, 0, 0])
    turn[:3, :3] = Rotation.from_rotvec(angle * direction).as_matrix()
    rotation = upright(turn @ poses)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    got = rotation @ -(turn @ poses)[:, :3, 1].mean(axis=0)
    np.testing.assert_allclose(got / np.linalg.norm(got), [0, 0, 1], atol=1e-6)
    assert (upright(poses) == np.eye(3)).all()


def test_a_placement_keeps_what_cameras_see():
    frames = room(5)
    placement = Placement(Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix(), 2.5)
    points = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    for frame in frames:
        pose, placed = frame.T_world_camera, placement.poses(frame.T_world_camera)
        seen = (points - pose[:3, 3]) @ pose[:3, :3]
        again = (placement.points(points) - placed[:3, 3]) @ placed[:3, :3]
        np.testing.assert_allclose(again, 2.5 * seen, atol=1e-9)
    np.testing.assert_allclose(
        placement.matrix() @ [*points[0], 1.0], [*placement.points(points)[0], 1.0])
