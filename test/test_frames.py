"""Folders of posed images: the layouts agree in their conventions; errors name the reason."""
import csv
import json
import math
import warnings

import cv2
import numpy as np
import pytest

from instant_nerf_ros.data.frames import holdout, load_folder, load_reference
from instant_nerf_ros.nerf.camera import Camera

CAMERA = Camera(12, 8, 10.0, 11.0, 5.25, 3.5)


def pose(angle, x):
    """Return a camera pose: turned about z by an angle, at (x, 2, 3)."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine, 0.0, x], [sine, cosine, 0.0, 2.0],
                     [0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 1.0]])


def write_images(folder, names, size=(8, 12)):
    """Write an image for every name, the red channel of which is the number of the image."""
    for number, name in enumerate(names):
        image = np.zeros((*size, 3), np.uint8)
        image[..., 2], image[0, 0] = 10 * number, (200, 100, 0)  # BGR
        assert cv2.imwrite(str(folder / name), image)


def write_transforms(folder, frames, **common):
    """Write a transforms.json: frames are (name, T_world_camera in our convention, more keys)."""
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    document = {
        'fl_x': CAMERA.fx, 'fl_y': CAMERA.fy, 'cx': CAMERA.cx + 0.5, 'cy': CAMERA.cy + 0.5,
        'w': CAMERA.width, 'h': CAMERA.height, **common,
        'frames': [
            {'file_path': name, 'transform_matrix': (matrix @ flip).tolist(), **more}
            for name, matrix, more in frames]}
    (folder / 'transforms.json').write_text(json.dumps(document))


@pytest.fixture
def folder(tmp_path):
    """Return a folder with three frames and depth."""
    names = [f'{number}.png' for number in (1, 2, 10)]
    write_images(tmp_path, names)
    for number, name in enumerate(names):
        cv2.imwrite(str(tmp_path / f'depth_{name}'), np.full((8, 12), 500 + number, np.uint16))
    # Out of order, as structure from motion leaves them.
    write_transforms(tmp_path, [
        (name, pose(0.3 * number, float(number)), {'depth_file_path': f'depth_{name}'})
        for number, name in reversed(list(enumerate(names)))], integer_depth_scale=0.002)
    return tmp_path


def test_transforms_come_back_in_our_convention_and_in_natural_order(folder):
    frames = load_folder(folder, rate=10.0)
    assert [frame.stamp for frame in frames] == [0, 100_000_000, 200_000_000]
    for number, frame in enumerate(frames):
        np.testing.assert_allclose(
            frame.T_world_camera, pose(0.3 * number, float(number)), atol=1e-12)
        assert frame.camera == CAMERA
        assert tuple(frame.image[0, 0]) == (0, 100, 200)  # RGB
        assert tuple(frame.image[1, 1]) == (10 * number, 0, 0)
        np.testing.assert_allclose(frame.depth, (500 + number) * 0.002, rtol=1e-6)
        assert frame.depth.dtype == np.float32


def test_scale_multiplies_positions_and_depth_only(folder):
    for plain, scaled in zip(load_folder(folder), load_folder(folder, scale=2.5)):
        np.testing.assert_allclose(
            scaled.T_world_camera[:3, 3], 2.5 * plain.T_world_camera[:3, 3])
        np.testing.assert_array_equal(
            scaled.T_world_camera[:3, :3], plain.T_world_camera[:3, :3])
        np.testing.assert_allclose(scaled.depth, 2.5 * plain.depth, rtol=1e-6)


def test_the_focal_length_may_be_given_as_an_angle(folder):
    angle = 2 * math.atan(12 / 2 / 10.0)
    write_transforms(
        folder, [('1.png', np.eye(4), {})], fl_x=None, fl_y=None, camera_angle_x=angle)
    camera = load_folder(folder)[0].camera
    assert (camera.fx, camera.fy) == (pytest.approx(10.0), pytest.approx(10.0))


def test_intrinsics_of_a_frame_override_the_common_ones(folder):
    write_transforms(
        folder, [('1.png', np.eye(4), {'fl_x': 20.0, 'k1': 0.1}), ('2.png', np.eye(4), {})])
    first, second = (frame.camera for frame in load_folder(folder))
    assert first.fx == 20.0 and second.fx == CAMERA.fx
    assert (first.distortion_model, first.distortion[:2]) == ('plumb_bob', (0.1, 0.0))
    assert second.distortion_model == 'none'


def test_fisheye_cameras_are_equidistant(folder):
    write_transforms(folder, [('1.png', np.eye(4), {})], camera_model='OPENCV_FISHEYE',
                     k1=0.1, k2=0.2, k3=0.3, k4=0.4)
    camera = load_folder(folder)[0].camera
    assert (camera.distortion_model, camera.distortion) == ('equidistant', (0.1, 0.2, 0.3, 0.4))


def test_missing_and_repeated_images_are_left_out_with_one_warning(folder):
    write_transforms(folder, [
        ('1.png', pose(0.0, 1.0), {}), ('lost.png', np.eye(4), {}), ('2.png', np.eye(4), {}),
        ('1.png', pose(0.0, 9.0), {}), ('gone.png', np.eye(4), {})])
    with pytest.warns(UserWarning, match='5 frames: 2 without an image file and 1 named') as found:
        frames = load_folder(folder)
    assert len(found) == 1 and len(frames) == 2
    assert frames[0].T_world_camera[0, 3] == 1.0  # the first of the two


def test_a_complete_folder_warns_of_nothing(folder):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        load_folder(folder)


def test_every_eighth_frame_is_held_out():
    assert [index for index in range(20) if holdout(index)] == [0, 8, 16]


def skewed():
    matrix = np.eye(4)
    matrix[0, 1] = 0.5
    return matrix


@pytest.mark.parametrize('matrix, message', [
    (np.full((4, 4), np.nan), 'finite'),
    (np.eye(3), '4 x 4'),
    (skewed(), 'not a rotation'),
    (np.diag([1.0, 1.0, -1.0, 1.0]), 'not a rotation'),
])
def test_a_bad_matrix_is_named(folder, matrix, message):
    write_transforms(folder, [('1.png', np.eye(4), {})])
    document = json.loads((folder / 'transforms.json').read_text())
    document['frames'][0]['transform_matrix'] = matrix.tolist()
    (folder / 'transforms.json').write_text(json.dumps(document))
    with pytest.raises(ValueError, match=f'1.png.*{message}'):
        load_folder(folder)


def test_bad_folders_say_what_is_wrong(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp('empty')
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        load_folder(empty / 'nowhere')
    with pytest.raises(ValueError, match=r'needs a transforms.json .* or an intrinsics.json'):
        load_folder(empty)
    (empty / 'transforms.json').write_text('{"frames": [')
    with pytest.raises(ValueError, match='not valid JSON'):
        load_folder(empty)
    write_transforms(empty, [('lost.png', np.eye(4), {})])
    with pytest.warns(UserWarning), pytest.raises(ValueError, match='names no image'):
        load_folder(empty)
    with pytest.raises(ValueError, match='must be positive'):
        load_folder(folder, scale=0.0)
    write_transforms(folder, [('1.png', np.eye(4), {})], fl_x=None, fl_y=None)
    with pytest.raises(ValueError, match='no focal length'):
        load_folder(folder)
    write_transforms(folder, [('1.png', np.eye(4), {})], camera_model='EQUIRECTANGULAR')
    with pytest.raises(ValueError, match='EQUIRECTANGULAR is not supported'):
        load_folder(folder)


def test_bad_images_are_named_and_the_others_still_come(folder):
    frames = load_folder(folder)
    write_images(folder, ['1.png'], size=(9, 12))
    with pytest.raises(ValueError, match='1.png is 12 x 9, but its intrinsics are for 12 x 8'):
        frames[0]
    (folder / '2.png').write_bytes(b'not a picture')
    with pytest.raises(ValueError, match='2.png is not a readable image'):
        frames[1]
    (folder / 'depth_10.png').unlink()
    with pytest.raises(FileNotFoundError, match='depth_10.png is missing'):
        frames[2]
    write_images(folder, ['1.png'])
    assert frames[0].image.shape == (8, 12, 3)


def write_pose_files(folder, offset):
    """Write two frames of the pose-file layout, with a colour camera beside the depth camera."""
    names = ['frame-000000', 'frame-000005']
    write_images(folder, [f'{name}.color.jpg' for name in names])
    (folder / 'registered_depth').mkdir()
    T_depth_color = np.eye(4)
    T_depth_color[:3, 3] = offset
    (folder / 'intrinsics.json').write_text(json.dumps({
        'color_recommended': {'width': 12, 'height': 8, 'fx': 10.0, 'fy': 11.0, 'cx': 5.25,
                              'cy': 3.5},
        'T_depthcam_from_colorcam_recommended': T_depth_color.tolist(),
        'depth_scale_m_per_unit': 0.001}))
    with (folder / 'frames.csv').open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['frame', 't_nominal_s', 'file_prefix'])
        for number, name in enumerate(names):
            writer.writerow([number, 0.25 * number, name])
            np.savetxt(folder / f'{name}.pose.txt', 1.0002 * pose(0.5, number))
            cv2.imwrite(str(folder / 'registered_depth' / f'{name}.depth.png'),
                        np.full((8, 12), 1500, np.uint16))


def test_pose_files_place_the_colour_camera_beside_the_depth_camera(tmp_path):
    write_pose_files(tmp_path, offset=(0.1, 0.0, 0.0))
    first, second = load_folder(tmp_path)
    assert (first.stamp, second.stamp, first.camera) == (0, 250_000_000, CAMERA)
    rotation = first.T_world_camera[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    moved = pose(0.5, 0)[:3, :3] @ (0.1, 0.0, 0.0)
    np.testing.assert_allclose(
        first.T_world_camera[:3, 3], 1.0002 * pose(0.5, 0)[:3, 3] + moved, atol=1e-12)
    np.testing.assert_allclose(first.depth, 1.5, rtol=1e-6)


def test_a_lost_depth_of_pose_files_is_named_and_the_others_are_read(tmp_path):
    write_pose_files(tmp_path, offset=(0.1, 0.0, 0.0))
    frames = load_folder(tmp_path)
    (tmp_path / 'registered_depth' / 'frame-000000.depth.png').unlink()
    with pytest.warns(UserWarning, match='1 of 2 frames .*frame-000000.depth.png is missing'):
        assert len(list(frames)) == 1


def test_incomplete_pose_files_say_what_is_missing(tmp_path):
    write_pose_files(tmp_path, offset=(0.1, 0.0, 0.0))
    (tmp_path / 'frame-000005.pose.txt').write_text('1 0 0 0\n0 1 0')
    with pytest.warns(UserWarning, match='2 frames: 1 that .* frame-000005'):
        assert len(load_folder(tmp_path)) == 1
    (tmp_path / 'frame-000005.pose.txt').unlink()
    with pytest.warns(UserWarning, match='frame-000005.pose.txt is missing'):
        assert len(load_folder(tmp_path)) == 1
    (tmp_path / 'frame-000000.pose.txt').unlink()
    with pytest.raises(ValueError, match='no usable frame.*frame-000000.pose.txt is missing'):
        load_folder(tmp_path)
    (tmp_path / 'intrinsics.json').write_text('{}')
    with pytest.raises(ValueError, match="lacks the key 'color_recommended'"):
        load_folder(tmp_path)


@pytest.fixture
def kitchen(recorded_data):
    if not (recorded_data / 'kitchen').is_dir():
        pytest.skip('no kitchen among the recorded data')
    return recorded_data / 'kitchen'


def points_of(frame):
    """Return the world points of all pixels with depth, (N, 3)."""
    rays = frame.camera.directions().astype(np.float64)
    depth = frame.depth.reshape(-1, 1)
    points = (rays / rays[:, 2:] * depth)[depth[:, 0] > 0]
    return points @ frame.T_world_camera[:3, :3].T + frame.T_world_camera[:3, 3]


def test_both_layouts_of_the_kitchen_say_the_same(kitchen):
    by_files, by_json = load_folder(kitchen), load_folder(kitchen / 'transforms.json')
    assert len(by_files) == len(by_json) > 0
    for one, other in zip(by_files.entries, by_json.entries):
        assert one.image_path == other.image_path and one.depth_path == other.depth_path
        np.testing.assert_allclose(one.T_world_camera, other.T_world_camera, atol=1e-4)
        numbers = [(c.fx, c.fy, c.cx, c.cy) for c in (one.camera, other.camera)]
        np.testing.assert_allclose(*numbers, atol=1e-4)


@pytest.mark.parametrize('first, second', [(3, 8), (40, 55), (99, 80)])
def test_depth_of_one_frame_is_the_depth_of_another(kitchen, first, second):
    frames = load_folder(kitchen)
    camera, there = frames[second].camera, frames[second]
    seen = points_of(frames[first]) - there.T_world_camera[:3, 3]
    seen = seen @ there.T_world_camera[:3, :3]
    column = np.round(camera.fx * seen[:, 0] / seen[:, 2] + camera.cx).astype(int)
    row = np.round(camera.fy * seen[:, 1] / seen[:, 2] + camera.cy).astype(int)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    measured = there.depth[row[inside], column[inside]]
    error = np.abs(measured - seen[inside, 2])[measured > 0]
    assert len(error) > 10_000 and np.median(error) < 0.03


def test_the_kitchen_stands_upright_on_its_floor(kitchen):
    frames = load_folder(kitchen)
    heights = np.concatenate([points_of(frames[index])[:, 2] for index in range(0, 100, 10)])
    assert np.percentile(heights, 0.5) > -0.1  # nothing far below the floor
    floor = np.abs(heights) < 0.1
    assert floor.mean() > 0.01 and abs(np.median(heights[floor])) < 0.02
    for entry in frames.entries:
        assert 1.0 < entry.T_world_camera[2, 3] < 2.0 and entry.T_world_camera[2, 2] < 0.2


def test_depth_of_the_kitchen_ends_where_its_reference_is_occupied(kitchen):
    states, origin, voxel_size = load_reference(kitchen)
    frames = load_folder(kitchen)
    points = np.concatenate([points_of(frames[index]) for index in range(5, 100, 10)])
    index = np.floor((points - origin) / voxel_size).astype(int)
    inside = ((index >= 0) & (index < states.shape)).all(axis=1)
    found = states[tuple(index[inside].T)]
    assert inside.mean() > 0.95
    assert (found == 100).mean() > 0.9 and (found == 0).mean() < 0.02


def test_a_folder_without_reference_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match='no reference occupancy'):
        load_reference(tmp_path)


def test_the_angular_velocity_is_that_between_the_frames_around(folder):
    for frame in load_folder(folder, rate=10.0):
        # In the frame of the camera, which turns about its optical axis, from 0 to 0.6 rad.
        np.testing.assert_allclose(frame.angular_velocity, [0, 0, 3.0], atol=1e-9)


def test_frames_that_are_far_apart_say_nothing_of_the_angular_velocity(folder):
    assert all(frame.angular_velocity is None for frame in load_folder(folder, rate=2.0))
