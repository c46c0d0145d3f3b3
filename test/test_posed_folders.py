"""Folders of posed images as others write them: their keys, units, files and conventions."""
import math
import warnings

import cv2
import numpy as np
import pytest
from posed_folders import SIZE, load_quietly, write_folder

from instant_nerf_ros.data.frames import load_folder

HALF = SIZE[0] // 2, SIZE[1] // 2


def write_depth(path, array):
    if path.suffix == '.npy':
        np.save(path, array)
    else:
        assert cv2.imwrite(str(path), array)


@pytest.mark.parametrize('key', ['depth_path', 'depth_file_path'])
@pytest.mark.parametrize(('name', 'array'), [
    ('d.png', np.full(SIZE, 1500, np.uint16)),
    ('d.tiff', np.full(SIZE, 1.5, np.float32)),
    ('d.tif', np.full(SIZE, 1.5, np.float64)),
    ('d.npy', np.full(SIZE, 1.5, np.float16)),
    ('d.npy', np.full(SIZE, 1500, np.int32)),
    ('d.png', np.full(HALF, 1500, np.uint16)),
    ('d.tiff', np.full(HALF, 1.5, np.float32)),
    ('d.png', np.full((24, 36), 1500, np.uint16))])
def test_depth_is_in_metres_and_has_the_size_of_its_image(tmp_path, key, name, array):
    write_folder(tmp_path, frame={key: name}, integer_depth_scale=0.001)
    write_depth(tmp_path / name, array)
    depth = load_quietly(tmp_path)[0].depth
    assert depth.dtype == np.float32 and depth.shape == SIZE
    np.testing.assert_allclose(depth, 1.5, rtol=1e-6)


def test_scale_multiplies_depth_in_floats(tmp_path):
    write_folder(tmp_path, frame={'depth_path': 'd.tiff'}, integer_depth_scale=0.001)
    write_depth(tmp_path / 'd.tiff', np.full(SIZE, 1.5, np.float32))
    np.testing.assert_allclose(load_folder(tmp_path, scale=2.0)[0].depth, 3.0)


def test_depth_of_another_size_is_that_of_the_nearest_pixel(tmp_path):
    write_folder(tmp_path, frame={'depth_path': 'd.png'})
    small = np.arange(1000, 1024, dtype=np.uint16).reshape(HALF)
    write_depth(tmp_path / 'd.png', small)
    np.testing.assert_allclose(
        load_folder(tmp_path)[0].depth, small.repeat(2, axis=0).repeat(2, axis=1) * 1e-3,
        rtol=1e-6)


def test_what_was_not_measured_is_zero(tmp_path):
    write_folder(tmp_path, frame={'depth_path': 'd.tiff'})
    array = np.full(SIZE, 1.5, np.float32)
    array[0, :4] = np.nan, np.inf, -1.0, 0.0
    write_depth(tmp_path / 'd.tiff', array)
    depth = load_quietly(tmp_path)[0].depth
    assert (depth[0, :4] == 0).all() and (depth[1:] == 1.5).all()
    write_folder(tmp_path, frame={'depth_path': 'd.png'})
    counts = np.full(SIZE, 1500, np.uint16)
    counts[0, :2] = 0, 65535  # nothing, and farther than can be counted
    write_depth(tmp_path / 'd.png', counts)
    assert load_quietly(tmp_path)[0].depth[0, :3] == pytest.approx([0.0, 0.0, 1.5])


@pytest.mark.parametrize(('name', 'array', 'sentence'), [
    ('d.png', np.full(SIZE, 150, np.uint8), 'd.png has 8 bits'),
    ('d.png', np.full((*SIZE, 3), 150, np.uint8), 'd.png has 8 bits'),
    ('d.png', np.full((*SIZE, 3), 1500, np.uint16), 'must have one channel'),
    ('d.png', np.full((9, 12), 1500, np.uint16), 'd.png is 12 x 9, and its image 12 x 8'),
    ('d.npy', np.array(['far']), 'one channel')])
def test_depth_that_cannot_be_meant_is_refused(tmp_path, name, array, sentence):
    write_folder(tmp_path, frame={'depth_path': name})
    write_depth(tmp_path / name, array)
    with pytest.raises(ValueError, match=sentence):
        load_folder(tmp_path)[0]
    assert load_folder(tmp_path).without_depth()[0].depth is None


def test_an_exr_is_metres_or_a_sentence(tmp_path):
    write_folder(tmp_path, frame={'depth_path': 'd.exr'})
    (tmp_path / 'd.exr').write_bytes(b'\x76\x2f\x31\x01\x02\x00\x00\x00')
    with pytest.raises(ValueError, match='d.exr'):
        load_folder(tmp_path)[0]


def test_floats_that_look_like_millimetres_are_warned_of(tmp_path):
    write_folder(tmp_path, frame={'depth_path': 'd.tiff'})
    write_depth(tmp_path / 'd.tiff', np.full(SIZE, 1500.0, np.float32))
    with pytest.warns(UserWarning, match='are they millimetres'):
        assert load_folder(tmp_path)[0].depth[0, 0] == 1500.0


@pytest.mark.parametrize(('keys', 'model', 'distortion'), [
    ({'k1': 0.1, 'k4': 0.3}, 'rational_polynomial', (0.1, 0, 0, 0, 0, 0.3, 0, 0)),
    ({'camera_model': 'FULL_OPENCV', 'p1': 0.1, 'k6': 0.2}, 'rational_polynomial',
     (0, 0, 0.1, 0, 0, 0, 0, 0.2)),
    ({'k1': 0.1, 'k4': 0.0}, 'plumb_bob', (0.1, 0, 0, 0, 0)),
    ({'camera_model': 'SIMPLE_RADIAL', 'k1': 0.1}, 'plumb_bob', (0.1, 0, 0, 0, 0)),
    ({'camera_model': None, 'k1': None}, 'none', ())])
def test_all_coefficients_of_distortion_are_used(tmp_path, keys, model, distortion):
    write_folder(tmp_path, **keys)
    camera = load_quietly(tmp_path)[0].camera
    assert (camera.distortion_model, camera.distortion) == (model, distortion)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_transparent_pixels_are_warned_of_and_opaque_ones_are_not(tmp_path, dtype):
    write_folder(tmp_path)
    image = np.full((*SIZE, 4), np.iinfo(dtype).max, dtype)
    cv2.imwrite(str(tmp_path / '0.png'), image)
    assert (load_quietly(tmp_path)[0].image == 255).all()
    image[:4, :, 3] = 0
    cv2.imwrite(str(tmp_path / '0.png'), image)
    with pytest.warns(UserWarning, match='transparent pixels.*are trained'):
        assert load_folder(tmp_path)[0].image.shape == (*SIZE, 3)


def test_many_transparent_images_have_one_warning(tmp_path):
    write_folder(tmp_path, count=3)
    for number in range(3):
        cv2.imwrite(str(tmp_path / f'{number}.png'), np.zeros((*SIZE, 4), np.uint8))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('default')
        assert len(list(load_folder(tmp_path))) == 3
    assert len(caught) == 1


@pytest.mark.parametrize('matrix', [
    np.diag([2.0, 2.0, 2.0, 1.0]), np.diag([0.5, 0.5, 0.5, 1.0]), 2.0 * np.eye(4)])
def test_a_uniform_scale_of_a_pose_is_removed_with_a_warning(tmp_path, matrix):
    write_folder(tmp_path, frame={'transform_matrix': matrix.tolist()})
    with pytest.warns(UserWarning, match='1 rotations are scaled.*0.png by'):
        pose = load_folder(tmp_path)[0].T_world_camera
    np.testing.assert_allclose(pose, np.diag([1.0, -1.0, -1.0, 1.0]), atol=1e-12)


def test_the_position_of_a_scaled_pose_is_kept(tmp_path):
    matrix = np.diag([3.0, 3.0, 3.0, 1.0])
    matrix[:3, 3] = 1.0, 2.0, 3.0
    write_folder(tmp_path, frame={'transform_matrix': matrix.tolist()})
    with pytest.warns(UserWarning, match='by 3'):
        assert (load_folder(tmp_path)[0].T_world_camera[:3, 3] == (1.0, 2.0, 3.0)).all()


@pytest.mark.parametrize('with_size', [True, False])
def test_stored_pixels_hold_whatever_orientation_exif_has(tmp_path, with_size):
    image = pytest.importorskip('PIL.Image')
    common = {} if with_size else {
        'without': ('w', 'h', 'fl_x', 'cx', 'cy'), 'camera_angle_x': 0.9}
    write_folder(tmp_path, frame={'file_path': 'e.jpg'}, **common)
    exif = image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / 'e.jpg', exif=exif)
    frame = load_quietly(tmp_path)[0]
    assert frame.image.shape == (*SIZE, 3)
    assert (frame.camera.width, frame.camera.height) == SIZE[::-1]
    assert frame.camera.fx == pytest.approx(10.0 if with_size else 6 / math.tan(0.45))


@pytest.mark.parametrize(('name', 'stored'), [
    ('rgb\\a.jpg', 'rgb/a.jpg'), ('.\\rgb\\a.jpg', 'rgb/a.jpg'), ('rgb/a', 'rgb/a.jpg'),
    ('rgb\\a', 'rgb/a.JPG'), ('rgb/a', 'rgb/a.webp'), ('rgb/a', 'rgb/a.png'),
    ('rgb/a.b', 'rgb/a.b.jpeg')])
def test_backslashes_and_omitted_suffixes_are_understood(tmp_path, name, stored):
    write_folder(tmp_path, frame={'file_path': name, 'depth_path': 'rgb\\d'})
    (tmp_path / 'rgb').mkdir()
    cv2.imwrite(str(tmp_path / stored), np.zeros((*SIZE, 3), np.uint8))
    write_depth(tmp_path / 'rgb/d.png', np.full(SIZE, 1500, np.uint16))
    frame = load_quietly(tmp_path)[0]
    assert frame.image.shape == (*SIZE, 3)
    assert frame.depth[0, 0] == pytest.approx(1.5)
