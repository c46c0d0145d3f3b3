"""Camera paths: an orbit stays where cameras were, a spline goes through them, JSON keeps them."""
import json

import numpy as np
import pytest
from scenes import look_at
from scipy.spatial.transform import Rotation

from instant_nerf_ros.nerf import Camera
from instant_nerf_ros.scenes.camera_paths import CameraPath, orbit, spline
from instant_nerf_ros.scenes.nerfstudio_paths import read_camera_path, write_camera_path

CENTER = np.array([3.0, -2.0, 1.0])


def ring(angles, radius=2.0, height=0.5, outward=False):
    poses = []
    for angle in angles:
        offset = np.array([np.cos(angle), np.sin(angle), 0.0])
        position = CENTER + radius * offset + [0, 0, height]
        poses.append(look_at(position, CENTER + (4 * offset if outward else 0)))
    return np.stack(poses)


def azimuths(poses):
    offsets = poses[:, :3, 3] - CENTER
    return np.arctan2(offsets[:, 1], offsets[:, 0])


def test_an_orbit_repeats_the_circle_of_cameras_that_look_inward():
    cameras = ring(np.linspace(0, 2 * np.pi, 24, endpoint=False))
    poses = orbit(cameras, 36)
    offsets = poses[:, :3, 3] - CENTER
    assert np.allclose(np.hypot(offsets[:, 0], offsets[:, 1]), 2.0, atol=1e-3)
    assert np.allclose(offsets[:, 2], 0.5, atol=1e-3)
    assert np.allclose(poses[:, :3, 2], -offsets / np.linalg.norm(offsets, axis=1)[:, None],
                       atol=1e-3)
    assert np.allclose(poses[:, 2, 1] < 0, True)  # the rows of images go down
    assert np.allclose(np.diff(np.unwrap(azimuths(poses))), 2 * np.pi / 36, atol=1e-3)


def test_an_orbit_stays_on_the_arc_where_cameras_were():
    arc = np.radians(np.linspace(20, 100, 9))
    angles = np.degrees(azimuths(orbit(ring(arc), 40)))
    assert angles.min() > 19 and angles.max() < 101
    assert abs(angles.max() - angles.min()) > 75
    assert abs(angles[0] - angles[-1]) < 2  # the end meets the beginning


def test_an_orbit_in_a_room_looks_outward():
    cameras = ring(np.linspace(0, 2 * np.pi, 24, endpoint=False), 0.5, 0.0, outward=True)
    poses = orbit(cameras, 12)
    offsets = poses[:, :3, 3] - CENTER
    assert np.allclose(np.linalg.norm(offsets, axis=1), 0.5, atol=1e-2)
    assert ((poses[:, :3, 2] * offsets).sum(1) > 0.49).all()


def test_an_orbit_does_not_depend_on_where_and_how_the_world_is():
    cameras = ring(np.radians(np.linspace(0, 300, 16)))
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_euler('xyz', [0.3, -0.7, 2.0]).as_matrix(), [10, 20, -5]
    moved = np.linalg.inv(T) @ orbit(T @ cameras, 30)
    # The circle is the same; it may begin elsewhere, as no axis but up is distinguished.
    for pose in moved:
        offset = pose[:3, 3] - CENTER
        assert abs(np.hypot(*offset[:2]) - 2) < 0.02 and abs(offset[2] - 0.5) < 0.02


def test_a_single_camera_has_an_orbit():
    assert np.isfinite(orbit(ring([0.0]), 5)).all()


def test_a_spline_begins_ends_and_passes_at_the_cameras():
    cameras = ring([0.0, 0.5, 0.9, 1.6])
    poses = spline(cameras, 3001)
    assert np.allclose(poses[0], cameras[0]) and np.allclose(poses[-1], cameras[-1])
    for camera in cameras:
        assert np.abs(poses - camera).max(axis=(1, 2)).min() < 2e-3
    turns = Rotation.from_matrix(poses[:, :3, :3])
    assert ((turns[:-1].inv() * turns[1:]).magnitude() < 2e-3).all()
    assert np.allclose(np.linalg.det(poses[:, :3, :3]), 1)


def test_repeated_cameras_do_not_break_a_spline():
    cameras = ring([0.0, 0.5, 1.0])
    assert np.allclose(spline(cameras[[0, 0, 1, 1, 2]], 50), spline(cameras, 50))
    with pytest.raises(ValueError, match='two different cameras'):
        spline(cameras[[0, 0]], 10)


def test_malformed_poses_are_refused():
    broken = ring([0.0, 0.5])
    broken[1, 0, 0] = np.nan
    for function in (orbit, spline):
        with pytest.raises(ValueError, match='finite'):
            function(broken, 5)
        with pytest.raises(ValueError):
            function(np.empty((0, 4, 4)), 5)


def test_a_camera_path_survives_json(tmp_path):
    camera = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
    route = CameraPath([camera] * 3, ring([0.0, 0.5, 0.9]), 30.0)
    write_camera_path(tmp_path / 'path.json', route)
    read = read_camera_path(tmp_path / 'path.json')
    assert np.allclose(read.T_world_camera, route.T_world_camera)
    assert read.fps == 30 and read.cameras[0].fx == pytest.approx(50)
    assert (read.cameras[0].cx, read.cameras[0].cy) == (31.5, 23.5)
    with pytest.raises(FileExistsError):
        write_camera_path(tmp_path / 'path.json', route)
    write_camera_path(tmp_path / 'path.json', route, overwrite=True)


def test_a_path_of_a_scene_that_nerfstudio_moved_is_moved_back(tmp_path):
    pose = ring([0.3])[0]
    turn = Rotation.from_euler('z', 0.4).as_matrix()
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = turn @ pose[:3, :3], 0.25 * (turn @ pose[:3, 3] + [1, 2, 3])
    opengl = moved @ np.diag([1, -1, -1, 1])
    (tmp_path / 'path.json').write_text(json.dumps({
        'camera_type': 'perspective', 'render_width': 20, 'render_height': 10, 'fps': 24,
        'camera_path': [{'camera_to_world': opengl.ravel().tolist(), 'fov': 90, 'aspect': 2}]}))
    (tmp_path / 'transforms.json').write_text(json.dumps({
        'transform': np.column_stack([turn, [1, 2, 3]]).tolist(), 'scale': 0.25}))
    read = read_camera_path(tmp_path / 'path.json', tmp_path / 'transforms.json')
    assert np.allclose(read.T_world_camera[0], pose)
    assert read.cameras[0].fx == pytest.approx(5)  # 90 degrees of 10 rows


@pytest.mark.parametrize('text', [
    'no json', '[]', '{}', '{"render_width": 4, "render_height": 4, "camera_path": []}',
    '{"camera_type": "equirectangular", "render_width": 4, "render_height": 4}',
    '{"render_width": 4, "render_height": 4, "camera_path": [{"fov": 50}]}'])
def test_other_files_are_refused_with_the_reason(tmp_path, text):
    (tmp_path / 'path.json').write_text(text)
    with pytest.raises(ValueError, match=r'path\.json'):
        read_camera_path(tmp_path / 'path.json')
