"""Conversions between messages and NumPy arrays: round trips and closed forms."""
import array
import math
import re

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import Pose, Transform
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros import conversions
from instant_nerf_ros.ros.inputs import calibration, encodings
from instant_nerf_ros.ros.outputs import cloud_messages

pytestmark = pytest.mark.ros

STAMP_NS = 1_700_000_000_123_456_789
RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
GRAY = RGB[..., 0]


def message_of(image, encoding, padding=0, big_endian=False):
    """Return a message with padded rows, in either byte order."""
    pixels = image.astype(image.dtype.newbyteorder('>' if big_endian else '<'))
    rows = pixels.reshape(len(image), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return Image(
        height=image.shape[0], width=image.shape[1], encoding=encoding, step=rows.shape[1],
        is_bigendian=big_endian, data=array.array('B', rows.tobytes()))


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(('encoding', 'pixels', 'expected'), [
    ('rgb8', RGB, RGB),
    ('bgr8', RGB[..., ::-1], RGB),
    ('8UC3', RGB[..., ::-1], RGB),
    ('rgba8', np.dstack([RGB, GRAY]), RGB),
    ('bgra8', np.dstack([RGB[..., ::-1], GRAY]), RGB),
    ('mono8', GRAY, np.dstack([GRAY] * 3)),
    ('8UC1', GRAY, np.dstack([GRAY] * 3)),
])
def test_8_bit_encodings_decode_to_the_same_rgb(encoding, pixels, expected, padding):
    message = message_of(pixels, encoding, padding)
    encodings.check_color(message)
    np.testing.assert_array_equal(encodings.decode_color(message), expected)


@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize(('encoding', 'pixels', 'expected'), [
    ('mono16', GRAY.astype(np.uint16) * 256 + 3, np.dstack([GRAY] * 3)),
    ('rgb16', RGB.astype(np.uint16) * 256 + 3, RGB),
    ('bgr16', RGB[..., ::-1].astype(np.uint16) * 256 + 3, RGB),
])
def test_16_bit_encodings_keep_the_upper_byte(encoding, pixels, expected, big_endian):
    message = message_of(pixels, encoding, 6, big_endian)
    np.testing.assert_array_equal(encodings.decode_color(message), expected)


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('bits', [8, 16])
def test_a_uniform_color_survives_every_bayer_pattern(pattern, bits):
    color = {'r': 200, 'g': 100, 'b': 50}
    tile = np.array([color[letter] for letter in pattern]).reshape(2, 2)
    mosaic = np.tile(tile, (5, 6)).astype(np.uint8)
    if bits == 16:
        mosaic = mosaic.astype(np.uint16) * 256
    image = encodings.decode_color(message_of(mosaic, f'bayer_{pattern}{bits}'))
    assert (image[2:-2, 2:-2] == [200, 100, 50]).all()


@pytest.mark.parametrize(('encoding', 'order'), [
    ('uyvy', 'UYVY'), ('yuv422', 'UYVY'), ('yuyv', 'YUYV'), ('yuv422_yuy2', 'YUYV')])
def test_yuv_follows_bt601(encoding, order):
    # Y 81, U 90, V 240 in studio range is pure red.
    value = {'Y': 81, 'U': 90, 'V': 240}
    pair = np.array([value[letter] for letter in order], np.uint8).reshape(2, 2)
    image = encodings.decode_color(message_of(np.tile(pair, (4, 3, 1)), encoding))
    assert np.abs(image.astype(int) - [255, 0, 0]).max() <= 2


def test_rgb8_and_float_depth_are_views():
    for image, encoding, decode in (
            (RGB, 'rgb8', encodings.decode_color),
            (np.ones((4, 5), np.float32), '32FC1', encodings.decode_depth)):
        message = message_of(image, encoding)
        decoded = decode(message)
        message.data[:4] = array.array('B', [1, 2, 3, 4])
        assert decoded.reshape(-1)[:4].tobytes()[:3] == bytes([1, 2, 3])


@pytest.mark.parametrize('big_endian', [False, True])
def test_depth_is_in_metres_whatever_the_encoding(big_endian):
    metres = np.array([[0.5, 1.25], [np.nan, 3.0]], np.float32)
    counts = np.array([[500, 1250], [0, 3000]], np.uint16)
    floats = encodings.decode_depth(message_of(metres, '32FC1', 4, big_endian))
    np.testing.assert_array_equal(floats, metres)
    for encoding in ('16UC1', 'mono16'):
        depth = encodings.decode_depth(message_of(counts, encoding, 4, big_endian))
        assert depth.dtype == np.float32
        np.testing.assert_allclose(depth, counts / 1000.0)
    tum = encodings.decode_depth(message_of(counts, '16UC1', 0, big_endian), unit=1 / 5000)
    np.testing.assert_allclose(tum, counts / 5000.0, rtol=1e-6)


def corrupt(**changes):
    """Return a valid rgb8 message with some fields changed."""
    message = message_of(RGB, 'rgb8')
    for field, value in changes.items():
        setattr(message, field, value)
    return message


@pytest.mark.parametrize(('message', 'sentence'), [
    (corrupt(data=array.array('B', bytes(10))), 'truncated'),
    (corrupt(data=array.array('B')), 'truncated'),
    (corrupt(height=0), 'empty'),
    (corrupt(width=0, step=0), 'empty'),
    (corrupt(step=5), 'step is 5'),
    (corrupt(height=2**32 - 1, width=2**30, step=2**32 - 1), 'truncated'),
    (corrupt(height=2**32 - 1), 'truncated'),
    (corrupt(encoding='nonsense'), "unknown encoding 'nonsense'"),
    (corrupt(encoding=''), "unknown encoding ''"),
    (corrupt(encoding='32FC1'), '32FC1'),
])
def test_a_malformed_image_is_refused_with_a_sentence(message, sentence):
    for function in (encodings.check_color, encodings.decode_color):
        with pytest.raises(ValueError, match=sentence):
            function(message)


def test_a_color_image_is_not_decoded_as_depth():
    with pytest.raises(ValueError, match="'rgb8' is not an encoding of depth"):
        encodings.decode_depth(message_of(RGB, 'rgb8'))


def compressed(image, extension, text, prefix=b''):
    """Return a CompressedImage of an array in OpenCV's channel order."""
    data = prefix + cv2.imencode(extension, image)[1].tobytes()
    return CompressedImage(format=text, data=array.array('B', data))


@pytest.mark.parametrize('text', ['rgb8; png compressed bgr8', 'bgr8; png compressed bgr8', 'png'])
def test_compressed_images_are_bgr_inside(text):
    message = compressed(RGB[..., ::-1], '.png', text)
    np.testing.assert_array_equal(encodings.decode_color(message), RGB)


def test_a_compressed_image_of_rgb_is_not_swapped():
    message = compressed(RGB, '.png', 'rgb8; png compressed rgb8')
    np.testing.assert_array_equal(encodings.decode_color(message), RGB)


def test_compressed_mono_becomes_gray():
    message = compressed(GRAY, '.png', 'mono8; png compressed mono8')
    np.testing.assert_array_equal(encodings.decode_color(message), np.dstack([GRAY] * 3))


def test_undecodable_compressed_data_is_refused():
    whole = compressed(RGB, '.jpg', 'rgb8; jpeg compressed bgr8')
    for data in (b'', b'\0' * 100, bytes(whole.data)[:40]):
        message = CompressedImage(format='jpeg', data=array.array('B', data))
        with pytest.raises(ValueError, match='cannot be decoded'):
            encodings.decode_color(message)
        with pytest.raises(ValueError, match='cannot be decoded'):
            encodings.decode_depth(message)


def test_compressed_depth_inverts_the_quantization():
    counts = np.array([[0, 700], [1500, 65535]], np.uint16)
    header = np.array([0], np.int32).tobytes()
    z0, depth_max = 100.0, 10.0
    a = z0 * (z0 + 1)
    b = 1 - a / depth_max
    parameters = np.array([a, b], np.float32).tobytes()
    integer = compressed(counts, '.png', '16UC1; compressedDepth png', header + bytes(8))
    measured = np.where(counts == 65535, np.nan, counts / 1000)  # 65535: nothing in reach
    np.testing.assert_allclose(encodings.decode_depth(integer), measured, rtol=1e-6)
    inverse = compressed(counts, '.png', '32FC1; compressedDepth png', header + parameters)
    expected = [[np.nan, a / (700 - b)], [a / (1500 - b), a / (65535 - b)]]
    np.testing.assert_allclose(encodings.decode_depth(inverse), expected, rtol=1e-5)
    plain = compressed(counts, '.png', '16UC1; png compressed ')
    np.testing.assert_allclose(encodings.decode_depth(plain), measured, rtol=1e-6)
    with pytest.raises(ValueError, match='truncated'):
        encodings.decode_depth(CompressedImage(format='16UC1; compressedDepth rvl'))


@pytest.mark.parametrize(('image', 'encoding'), [
    (RGB, 'rgb8'), (RGB[:, ::2], 'rgb8'), (RGB[::-1, :, ::-1], 'rgb8')])
def test_an_image_survives_the_round_trip(image, encoding):
    message = conversions.image_message(image, encoding, STAMP_NS, 'camera')
    assert message.step * message.height == len(message.data)
    np.testing.assert_array_equal(encodings.decode_color(message), image)
    assert message.header.frame_id == 'camera'
    assert conversions.nanoseconds(message.header.stamp) == STAMP_NS


def test_depth_survives_the_round_trip_with_its_gaps():
    depth = np.array([[1.5, np.nan, np.inf], [0.0, -1.0, 2.0]], np.float32)
    message = conversions.image_message(depth, '32FC1', 0, 'camera')
    np.testing.assert_array_equal(encodings.decode_depth(message), depth)


@pytest.mark.parametrize('camera', [
    Camera(640, 480, 500.0, 510.0, 320.5, 239.5),
    Camera(64, 48, 50.0, 50.0, 32.0, 24.0, 'plumb_bob', (0.1, -0.2, 0.001, 0.002, 0.05)),
    Camera(64, 48, 50.0, 50.0, 32.0, 24.0, 'rational_polynomial', tuple(np.arange(1, 9) / 10)),
    Camera(64, 48, 50.0, 50.0, 32.0, 24.0, 'equidistant', (0.1, 0.2, 0.3, 0.4)),
])
def test_a_camera_survives_the_round_trip(camera):
    message = conversions.camera_info_message(camera, STAMP_NS, 'camera')
    assert calibration.camera_from_message(message, rectified=False) == camera
    np.testing.assert_array_equal(
        np.array(message.p).reshape(3, 4)[:, :3], np.array(message.k).reshape(3, 3))


def camera_info(**changes):
    """Return a CameraInfo of a distorted 64 x 48 camera whose P differs from K."""
    fields = {
        'width': 64, 'height': 48, 'distortion_model': 'plumb_bob',
        'd': [0.1, 0.0, 0.0, 0.0, 0.0],
        'k': [50.0, 0.0, 30.0, 0.0, 55.0, 20.0, 0.0, 0.0, 1.0],
        'p': [40.0, 0.0, 31.0, 0.0, 0.0, 45.0, 21.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    }
    message = CameraInfo(**{**fields, **changes})
    return message


def test_a_rectified_image_has_p_and_no_distortion():
    camera = calibration.camera_from_message(camera_info(), rectified=True)
    assert camera == Camera(64, 48, 40.0, 45.0, 31.0, 21.0)
    without_p = camera_info(p=[0.0] * 12)
    assert calibration.camera_from_message(without_p, rectified=True).fx == 50.0


def test_a_raw_image_has_k_and_its_distortion():
    camera = calibration.camera_from_message(camera_info(), rectified=False)
    assert camera == Camera(64, 48, 50.0, 55.0, 30.0, 20.0, 'plumb_bob', (0.1, 0, 0, 0, 0))


@pytest.mark.parametrize(('model', 'd', 'expected'), [
    ('plumb_bob', [0.0] * 5, ('none', 0)),
    ('', [], ('none', 0)),
    ('plumb_bob', [0.1] * 4, ('plumb_bob', 5)),
    ('plumb_bob', [0.1] * 8, ('rational_polynomial', 8)),
    ('plumb_bob', [0.1] * 4 + [0.0] * 4, ('plumb_bob', 5)),
    ('rational_polynomial', [0.1] * 8 + [0.0] * 6, ('rational_polynomial', 8)),
    ('equidistant', [0.0] * 4, ('equidistant', 4)),  # not a pinhole camera, even with zeros
])
def test_distortion_models_of_common_drivers(model, d, expected):
    camera = calibration.camera_from_message(camera_info(distortion_model=model, d=d), False)
    assert (camera.distortion_model, len(camera.distortion)) == expected


@pytest.mark.parametrize(('changes', 'sentence'), [
    ({'k': [0.0] * 9}, 'not calibrated'),
    ({'k': [np.nan] * 9}, 'finite'),
    ({'distortion_model': 'fancy', 'd': [0.1]}, "unknown distortion model 'fancy'"),
    ({'distortion_model': 'rational_polynomial', 'd': [0.1] * 15}, 'rectify the image'),
    ({'width': 0}, 'size'),
])
def test_an_unusable_calibration_is_refused_with_a_sentence(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        calibration.camera_from_message(camera_info(**changes), rectified=False)


def test_binning_and_region_of_interest_apply_to_the_calibration():
    message = camera_info(d=[], binning_x=2, binning_y=2)
    message.roi.x_offset, message.roi.y_offset = 10, 4
    message.roi.width, message.roi.height = 40, 40
    camera = calibration.camera_from_message(message, rectified=False)
    assert camera == Camera(20, 20, 25.0, 27.5, 10.0, 8.0)


@pytest.mark.parametrize(('topic', 'd', 'expected'), [
    ('/camera/image_raw', [0.1], False),
    ('/camera/image_raw', [0.0] * 5, False),
    ('/camera/image_raw', [], False),
    ('/camera/image', [0.0] * 5, False),
    ('/camera/image_rect_color', [0.1], True),
    ('/zed/rgb/color/rect/image', [0.1], True),
    ('/direct/image_raw', [0.1], False),
])
def test_rectified_images_are_recognised(topic, d, expected):
    assert calibration.is_rectified(camera_info(d=d), topic) is expected


def random_pose(random):
    """Return a (4, 4) pose."""
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    pose = np.eye(4)
    pose[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
    pose[:3, 3] = random.normal(size=3)
    return pose


def test_poses_survive_the_round_trip():
    random = np.random.default_rng(1)
    half_turns = [np.diag(signs + (1,)) for signs in ((1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
    for pose in [np.eye(4), *half_turns, *(random_pose(random) for _ in range(20))]:
        message = conversions.transform_message(pose, STAMP_NS, 'map', 'camera')
        assert (message.header.frame_id, message.child_frame_id) == ('map', 'camera')
        np.testing.assert_allclose(
            conversions.matrix_from_transform(message.transform), pose, atol=1e-9)
        other = Pose()
        conversions.write_pose(pose, other)
        np.testing.assert_allclose(conversions.matrix_from_pose(other), pose, atol=1e-9)


def test_the_quaternion_is_x_y_z_w():
    transform = Transform()
    transform.rotation.z = transform.rotation.w = np.sqrt(0.5)  # a quarter turn to the left
    matrix = conversions.matrix_from_transform(transform)
    np.testing.assert_allclose(matrix[:3, :3] @ [1, 0, 0], [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize('rotation', [(0, 0, 0, 0), (np.nan, 0, 0, 1), (np.inf, 0, 0, 0)])
def test_an_invalid_rotation_is_refused(rotation):
    transform = Transform()
    for name, value in zip('xyzw', rotation, strict=True):
        setattr(transform.rotation, name, float(value))
    with pytest.raises(ValueError, match='not a pose'):
        conversions.matrix_from_transform(transform)


def test_a_translation_must_be_finite():
    transform = Transform()
    transform.translation.x = float('nan')
    with pytest.raises(ValueError, match='not a pose'):
        conversions.matrix_from_transform(transform)


class Grid:
    """A MapGrid."""

    floor = 0.15
    cells = np.array([[-1, 0, 100], [0, 0, -1]], np.int8)
    resolution = float(np.float32(0.05))
    origin = np.array([-200, 40]) * resolution


def test_the_map_message_has_the_layout_of_nav2():
    message = conversions.occupancy_grid_message(Grid, STAMP_NS, 'map')
    assert (message.info.width, message.info.height) == (3, 2)
    assert list(message.data) == [-1, 0, 100, 0, 0, -1]  # row-major, row 0 first
    origin = message.info.origin
    quaternion = origin.orientation
    assert (quaternion.x, quaternion.y, quaternion.z, quaternion.w) == (0, 0, 0, 1)
    assert origin.position.z == 0.15  # for RViz; Nav2 ignores it
    for coordinate in (origin.position.x, origin.position.y):
        assert math.fmod(coordinate, float(np.float32(message.info.resolution))) == 0
    np.testing.assert_array_equal(conversions.cells_from_message(message), Grid.cells)


def test_points_survive_the_round_trip():
    random = np.random.default_rng(2)
    positions = random.normal(size=(100, 3)).astype(np.float32)
    colors = random.integers(0, 256, (100, 3), np.uint8)
    message = cloud_messages.point_cloud_message(positions, colors, STAMP_NS, 'map')
    assert len(message.data) == message.row_step == 100 * message.point_step
    back = cloud_messages.points_from_message(message)
    np.testing.assert_array_equal(back[0], positions)
    np.testing.assert_array_equal(back[1], colors)
    nothing = cloud_messages.point_cloud_message(positions[:0], colors[:0], STAMP_NS, 'map')
    assert len(nothing.data) == nothing.width == 0


@pytest.mark.parametrize('stamp_ns', [0, 1, 999_999_999, 1_000_000_000, STAMP_NS])
def test_stamps_survive_the_round_trip(stamp_ns):
    assert conversions.nanoseconds(conversions.time_message(stamp_ns)) == stamp_ns


@pytest.mark.parametrize(('topic', 'changes', 'expected'), [
    # D = 0 does not make a raw image a rectified one, whose P may be of another size.
    ('/camera/image_raw', {'d': [0.0] * 5}, (50.0, 'none')),
    ('/camera/image', {'d': []}, (50.0, 'none')),
    ('/camera/image_rect', {'d': [0.0] * 5}, (40.0, 'none')),
    ('/left/image_rect', {'k': [0.0] * 9, 'd': []}, (40.0, 'none')),
    ('/left/image', {'k': [0.0] * 9, 'd': []}, (40.0, 'none')),  # P is all there is
    ('/camera/image_raw', {'distortion_model': 'fisheye', 'd': [0.0] * 4}, (50.0, 'equidistant')),
    ('/camera/image', {'distortion_model': 'fisheye', 'd': []}, (50.0, 'equidistant')),
    ('/camera/image', {'distortion_model': 'equidistant', 'd': []}, (50.0, 'equidistant')),
    ('/camera/rect/image', {'distortion_model': 'fisheye', 'd': [0.1] * 4}, (40.0, 'none')),
])
def test_topic_and_calibration_decide_together_between_k_and_p(topic, changes, expected):
    message = camera_info(**changes)
    camera = calibration.camera_from_message(message, calibration.is_rectified(message, topic))
    assert (camera.fx, camera.distortion_model) == expected


@pytest.mark.parametrize('count', [9, 12, 13, 14])
def test_all_coefficients_of_a_rational_polynomial_are_used(count):
    d = [0.01 * k for k in range(1, count + 1)]
    message = camera_info(distortion_model='rational_polynomial', d=d)
    camera = calibration.camera_from_message(message, rectified=False)
    assert camera.distortion[:count] == pytest.approx(d)
    assert len(camera.distortion) == (12 if count <= 12 else 14)


def test_a_calibration_that_is_binned_already_is_refused_with_its_numbers():
    k = [300.0, 0.0, 258.0, 0.0, 300.0, 192.0, 0.0, 0.0, 1.0]
    message = camera_info(width=2064, height=1536, binning_x=4, binning_y=4, k=k, d=[])
    with pytest.raises(ValueError, match=r'cx = 258 .*2064 / 4'):
        calibration.camera_from_message(message, rectified=False)


@pytest.mark.parametrize(('topic', 'changes', 'words'), [
    ('image_raw', {'width': 128, 'height': 96}, 'cx = 30 in K is far from the middle of 128'),
    ('image_rect', {'width': 128, 'height': 96}, 'cx = 31 in P is far from the middle of 128'),
    ('image_rect', {'p': [0.0] * 12}, 'P is empty and D is not zero'),
    ('image', {'d': []}, r'focal lengths of K \(50\) and P \(40\) differ'),
    ('image_raw', {'d': []}, None),
    ('image_raw', {}, None),
    ('image_rect', {}, None),
])
def test_suspicious_numbers_of_a_calibration_are_named(topic, changes, words):
    message = camera_info(**changes)
    sentences = list(calibration.suspicions(
        message, calibration.is_rectified(message, topic), topic))
    if words is None:
        assert sentences == []
    else:
        assert any(re.search(words, sentence) for sentence in sentences)


RED = {'nv12': (81, 90, 240), 'nv21': (81, 240, 90), 'nv24': (81, 90, 240)}


def semi_planar(encoding, height=8, width=16, padding=0):
    """Return an image of pure red."""
    y, *chroma = RED[encoding]
    luma = np.full((height, width + padding), y, np.uint8)
    rows, columns = (height, width) if encoding == 'nv24' else (height // 2, width // 2)
    step = (2 if encoding == 'nv24' else 1) * (width + padding)
    colors = np.zeros((rows, step), np.uint8)
    colors[:, : 2 * columns] = np.tile(np.array(chroma, np.uint8), columns)
    data = luma.tobytes() + colors.tobytes()
    return Image(height=height, width=width, encoding=encoding, step=width + padding,
                 data=array.array('B', data))


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('encoding', RED)
def test_semi_planar_yuv_is_decoded(encoding, padding):
    message = semi_planar(encoding, padding=padding)
    encodings.check_color(message)
    assert encodings.decode_color(message).shape == (8, 16, 3)
    assert np.abs(encodings.decode_color(message) - np.array([255.0, 0, 0])).max() <= 3


def test_nv24_has_the_color_of_each_pixel():
    message = semi_planar('nv24', 2, 2)
    message.data = array.array('B', [81] * 4 + [90, 240, 128, 128, 128, 128, 90, 240])
    image = encodings.decode_color(message).astype(int)
    assert np.abs(image[0, 0] - [255, 0, 0]).max() <= 3
    assert np.ptp(image[0, 1]) == 0 and np.ptp(image[1, 0]) == 0


@pytest.mark.parametrize('encoding', RED)
def test_malformed_semi_planar_images_are_refused(encoding):
    whole = semi_planar(encoding)
    for changes, words in (
            ({'data': whole.data[:-1]}, 'truncated'), ({'step': 15}, 'step is 15'),
            ({'height': 0}, 'empty'), ({'height': 2**32 - 2}, 'truncated')):
        message = semi_planar(encoding)
        for field, value in changes.items():
            setattr(message, field, value)
        for function in (encodings.check_color, encodings.decode_color):
            with pytest.raises(ValueError, match=words):
                function(message)
    if encoding != 'nv24':
        with pytest.raises(ValueError, match='odd'):
            encodings.check_color(semi_planar(encoding, height=7))


@pytest.mark.parametrize(('encoding', 'channel'), [('rgba16', 0), ('bgra16', 2)])
def test_color_of_16_bits_with_alpha_is_decoded(encoding, channel):
    image = np.zeros((4, 6, 4), np.uint16)
    image[..., channel], image[..., 3] = 65535, 1000
    message = conversions.image_message(image, encoding, STAMP_NS, 'camera')
    assert (encodings.decode_color(message) == [255, 0, 0]).all()


@pytest.mark.parametrize(('pattern', 'colors'), [
    ('rggb', [[200, 100], [100, 50]]), ('bggr', [[50, 100], [100, 200]]),
    ('gbrg', [[100, 50], [200, 100]]), ('grbg', [[100, 200], [50, 100]])])
def test_a_compressed_bayer_mosaic_gets_its_colors(pattern, colors):
    mosaic = np.tile(np.array(colors, np.uint8), (16, 16))
    for text, ending in (
            (f'bayer_{pattern}8; png compressed ', '.png'),
            (f'bayer_{pattern}8; jpeg compressed bayer_{pattern}8', '.jpg')):
        image = encodings.decode_color(compressed(mosaic, ending, text))[8:24, 8:24]
        assert np.abs(image.astype(int) - [200, 100, 50]).max() < 12
    gray = compressed(mosaic, '.png', f'bayer_{pattern}8; png compressed mono8')
    np.testing.assert_array_equal(encodings.decode_color(gray), np.dstack([mosaic] * 3))


def test_the_bits_of_an_image_may_be_fewer_than_16():
    values = np.array([[0, 4095], [2048, 16]], np.uint16)
    message = conversions.image_message(values, 'mono16', STAMP_NS, 'camera')
    np.testing.assert_array_equal(
        encodings.decode_color(message, 12)[..., 0], [[0, 255], [128, 1]])
    assert "'image_bits' to 12" in encodings.bits_warning(message, 16)
    assert encodings.bits_warning(message, 12) == ''
    bright = conversions.image_message(values * 16, 'mono16', STAMP_NS, 'camera')
    assert encodings.bits_warning(bright, 16) == ''
    png = compressed(values, '.png', 'mono16; png compressed ')
    np.testing.assert_array_equal(encodings.decode_color(png, 12)[..., 0], [[0, 255], [128, 1]])


def test_depth_at_the_end_of_its_range_is_no_measurement():
    counts = np.array([[0, 1500], [10000, 65535]], np.uint16)
    for message in (
            conversions.image_message(counts, '16UC1', 0, 'camera'),
            compressed(counts, '.png', '16UC1; png compressed ')):
        np.testing.assert_allclose(
            encodings.decode_depth(message), [[0, 1.5], [10, np.nan]], rtol=1e-6)
        np.testing.assert_allclose(
            encodings.decode_depth(message, limit=10.0), [[0, 1.5], [np.nan] * 2], rtol=1e-6)
        assert np.isnan(encodings.decode_depth(message, unit=0.0002)[1, 1])
