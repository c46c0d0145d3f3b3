"""Cases of messages: calibrations and colour."""
import array
import dataclasses
import warnings

import cv2
import numpy as np
from format_cases import READ, REFUSED, REPORTED, Case, Section
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.inputs.camera_history import CameraHistory
from instant_nerf_ros.ros.inputs.encodings import bits_warning, decode_color

NAN = float('nan')
K = [554.0, 0.0, 320.0, 0.0, 554.0, 240.0, 0.0, 0.0, 1.0]
P = [277.0, 0.0, 320.0, 0.0, 0.0, 277.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
NO_P = [0.0] * 12
FROM_K = Camera(640, 480, 554.0, 554.0, 320.0, 240.0)
FROM_P = Camera(640, 480, 277.0, 277.0, 320.0, 240.0)


def calibration(camera, topic='/camera/image_raw', **fields):
    """Return a function that tells whether the images of a CameraInfo have a Camera."""
    def run(_):
        message = CameraInfo(**{
            'width': 640, 'height': 480, 'distortion_model': 'plumb_bob', 'd': [0.0] * 5, 'k': K,
            'p': P, **fields})
        history = CameraHistory('auto', topic, warnings.warn)
        history.add(message)
        found, _ = history.at(1, '', True)
        if found.camera is None:
            raise ValueError(found.error)
        return found.camera == camera
    return run


def lens(model, *coefficients):
    """Return a Camera with the intrinsics of K and a distortion."""
    return dataclasses.replace(FROM_K, distortion_model=model, distortion=coefficients)


CALIBRATIONS = Section('Calibrations', (
    'K and D, or P, are chosen by the topic and the calibration together (`rectification: auto`). '
    'A depth\ncamera is calibrated by its own topic. Where CameraInfo changes from image to '
    'image, each image has\nthe one of its own stamp.'), [
    Case('D = 0 on `image_raw`, P of another size', READ, calibration(FROM_K), 'K'),
    Case('`image_rect`', READ, calibration(FROM_P, '/camera/image_rect', d=[0.1] * 5), 'P'),
    Case('only P is filled', READ, calibration(FROM_P, '/camera/image', k=[0.0] * 9), 'P'),
    Case('only P is filled, on `image_raw`', REFUSED, calibration(None, k=[0.0] * 9),
         'the camera is not calibrated'),
    Case('K is the identity', REFUSED, calibration(None, k=[1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0]),
         'the camera is not calibrated'),
    Case('K or D holds NaN', REFUSED, calibration(None, d=[NAN] * 5), 'must be finite'),
    Case('`plumb_bob`, 5 coefficients', READ,
         calibration(lens('plumb_bob', 0.1, 0.2, 0.3, 0.4, 0.5), d=[0.1, 0.2, 0.3, 0.4, 0.5]),
         'coefficients'),
    *(Case(f'`rational_polynomial`, {count} coefficients', READ,
           calibration(lens('rational_polynomial', *[0.01] * count),
                       distortion_model='rational_polynomial', d=[0.01] * count), 'coefficients')
      for count in (8, 12, 14)),
    *(Case(f'`{name}`, D = {d}', READ, calibration(
        lens('equidistant', *[*d, 0.0, 0.0, 0.0, 0.0][:4]), distortion_model=name, d=d),
        'equidistant') for name, d in (
            ('equidistant', [0.1, 0.2, 0.3, 0.4]), ('fisheye', [0.0] * 4),
            ('fisheye', []), ('kannala_brandt4', [0.1] * 4))),
    Case('`equidistant`, 5 coefficients', REFUSED,
         calibration(None, distortion_model='equidistant', d=[0.1] * 5), 'is not supported'),
    Case('unknown model, D is not zero', REFUSED,
         calibration(None, distortion_model='mei', d=[0.1] * 5), 'unknown distortion model'),
    Case('unknown model, D is zero', REPORTED, calibration(
        FROM_K, distortion_model='mei', d=[]), 'is not known, and D is zero'),
    Case('binning 4, K of the full image', READ, calibration(
        Camera(160, 120, 138.5, 138.5, 80.0, 60.0), binning_x=4, binning_y=4), 'K / 4'),
    Case('binning 4, K of the binned image', REFUSED, calibration(
        None, binning_x=4, binning_y=4, k=[138.0, 0, 80.0, 0, 138.0, 60.0, 0, 0, 1.0]),
        'the calibration is binned already'),
    Case('principal point far from the middle', REPORTED, calibration(
        Camera(640, 480, 554.0, 554.0, 100.0, 240.0),
        k=[554.0, 0, 100.0, 0, 554.0, 240.0, 0, 0, 1.0]), 'is far from the middle'),
    Case('focal lengths that differ', REPORTED, calibration(
        Camera(640, 480, 554.0, 277.0, 320.0, 240.0),
        k=[554.0, 0, 320.0, 0, 277.0, 240.0, 0, 0, 1.0]), 'pixels that are not square'),
    Case('skew', REPORTED, calibration(FROM_K, k=[554.0, 9.0, *K[2:]]), 'is a skew'),
    Case('P of the second camera of a stereo pair', REPORTED, calibration(
        FROM_P, '/right/image_rect', p=[*P[:3], -27.7, *P[4:]]), '0.1 m beside the first one'),
    Case('R of an image that is not rectified', REPORTED, calibration(
        FROM_K, r=[0.985, 0, 0.1736, 0, 1.0, 0, -0.1736, 0, 0.985]), 'R turns'),
    Case('width and height are 0', REFUSED, calibration(None, width=0), 'must be positive'),
])

SIZE = 8, 16
RED = np.broadcast_to(np.array([255, 0, 0], np.uint8), (*SIZE, 3))


def shows(color, tolerance, message):
    """Return a function that tells whether an image message is of a color."""
    def run(_):
        if sentence := bits_warning(message, 16):
            warnings.warn(sentence, stacklevel=2)
        return bool(np.abs(decode_color(message)[2:-2, 2:-2] - np.int16(color)).max() <= tolerance)
    return run


def raw(encoding, step, *planes):
    data = b''.join(np.ascontiguousarray(plane).tobytes() for plane in planes)
    return Image(height=SIZE[0], width=SIZE[1], encoding=encoding, step=step,
                 data=array.array('B', data))


def compressed(text, picture, suffix='.png'):
    return CompressedImage(
        format=text, data=array.array('B', cv2.imencode(suffix, picture)[1].tobytes()))


def channels(order, dtype):
    """Return a red image in channels r, g, b, a of a type; the bytes of a row first."""
    values = {'r': np.iinfo(dtype).max, 'a': np.iinfo(dtype).max}
    pixels = np.zeros((*SIZE, len(order)), dtype)
    pixels[:] = [values.get(channel, 0) for channel in order]
    return pixels[0].nbytes, pixels


MOSAIC = np.tile(np.array([[200, 100], [100, 50]], np.uint8), (4, 8))  # red, green; green, blue
PATTERNS = {'rggb': (0, 0), 'grbg': (0, 1), 'gbrg': (1, 0), 'bggr': (1, 1)}
LUMA, CHROMA = np.full(SIZE, 81, np.uint8), np.array([90, 240], np.uint8)  # of red
DARK = np.full(SIZE, 3000, np.uint16)

COLORS = Section('Encodings of colour', (
    'Compressed images are decoded by OpenCV as they are stored, without EXIF orientation.'), [
    *(Case(f'{order}{bits}', READ, shows(
        (255, 0, 0), 0, raw(f'{order}{bits}', *channels(order, dtype))), 'pixels')
      for order in ('rgb', 'bgr', 'rgba', 'bgra')
      for bits, dtype in ((8, np.uint8), (16, np.uint16))),
    Case('8UC3, 8UC4', READ, lambda path: shows(
        (255, 0, 0), 0, raw('8UC3', *channels('bgr', np.uint8)))(path) and shows(
        (255, 0, 0), 0, raw('8UC4', *channels('bgra', np.uint8)))(path), 'pixels'),
    *(Case(encoding, READ, shows((200, 200, 200), 0, raw(
        encoding, 16 * dtype().itemsize,
        np.full(SIZE, 200 << 8 * (dtype().itemsize - 1), dtype))), 'pixels')
      for encoding, dtype in (('mono8', np.uint8), ('8UC1', np.uint8), ('mono16', np.uint16),
                              ('16UC1', np.uint16))),
    *(Case(f'bayer_{pattern}{bits}', READ, shows(
        (200, 100, 50), 1, raw(f'bayer_{pattern}{bits}', 2 * bits, np.roll(
            MOSAIC, shift, (0, 1)).astype(f'u{bits // 8}') << (bits - 8))), 'pixels within 1')
      for pattern, shift in PATTERNS.items() for bits in (8, 16)),
    *(Case(encoding, READ, shows(
        (255, 0, 0), 3, raw(encoding, 32, np.tile(np.array(octets, np.uint8), (8, 8)))),
        'pixels within 3') for encoding, octets in (
            ('yuv422', [90, 81, 240, 81]), ('uyvy', [90, 81, 240, 81]),
            ('yuv422_yuy2', [81, 90, 81, 240]), ('yuyv', [81, 90, 81, 240]))),
    *(Case(encoding, READ, shows((255, 0, 0), 3, raw(encoding, 16, LUMA, plane)),
           'pixels within 3')
      for encoding, plane in (
          ('nv12', np.tile(CHROMA, (4, 8))), ('nv21', np.tile(CHROMA[::-1], (4, 8))),
          ('nv24', np.tile(CHROMA, (8, 16))))),
    *(Case(encoding, REFUSED, shows((0, 0, 0), 0, raw(encoding, 64)),
           f"unknown encoding '{encoding}'") for encoding in ('i420', 'yuv444', '32FC3')),
    Case('mono16 with data of 12 bits', REPORTED, shows(
        (11, 11, 11), 0, raw('mono16', 32, DARK)), "set 'image_bits' to 12"),
    Case('PNG of 16 bits with data of 12 bits', REPORTED, shows(
        (11, 11, 11), 0, compressed('mono16; png compressed ', DARK)), "set 'image_bits' to 12"),
    *(Case(f'`{text}`', READ, shows((200, 100, 50), 12, compressed(text, picture, suffix)),
           'pixels within 12') for text, picture, suffix in (
        ('jpeg', np.full((*SIZE, 3), (50, 100, 200), np.uint8), '.jpg'),
        ('rgb8; jpeg compressed bgr8', np.full((*SIZE, 3), (50, 100, 200), np.uint8), '.jpg'),
        ('rgb8; png compressed rgb8', np.full((*SIZE, 3), (200, 100, 50), np.uint8), '.png'),
        ('bayer_rggb8; png compressed ', MOSAIC, '.png'),
        ('bayer_rggb8; jpeg compressed bayer_rggb8', MOSAIC, '.jpg'))),
    Case('truncated PNG or JPEG', REFUSED, lambda _: decode_color(
        CompressedImage(format='jpeg', data=array.array('B', b'\xff\xd8\xff'))).any(),
        'cannot be decoded'),
])
