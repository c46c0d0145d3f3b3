"""Images in messages to numpy: colour to 8-bit RGB, depth to metres.

Raw encodings are those of sensor_msgs/image_encodings.hpp; REP-118 says what a depth image holds.
Every function raises ValueError, with a sentence, for an image that cannot be decoded.
"""
import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage

from instant_nerf_ros.ros.inputs.rvl import decode_rvl

# encoding: (bytes of one channel as dtype, channels in memory, OpenCV's conversion to RGB).
# OpenCV names a Bayer pattern after its second row, hence BG for rggb.
_COLOR = {
    'rgb8': (np.uint8, 3, None),
    'rgb16': (np.uint16, 3, None),
    'rgba8': (np.uint8, 4, cv2.COLOR_RGBA2RGB),
    'bgr8': (np.uint8, 3, cv2.COLOR_BGR2RGB),
    'bgr16': (np.uint16, 3, cv2.COLOR_BGR2RGB),
    '8UC3': (np.uint8, 3, cv2.COLOR_BGR2RGB),
    'bgra8': (np.uint8, 4, cv2.COLOR_BGRA2RGB),
    '8UC4': (np.uint8, 4, cv2.COLOR_BGRA2RGB),
    'mono8': (np.uint8, 1, cv2.COLOR_GRAY2RGB),
    '8UC1': (np.uint8, 1, cv2.COLOR_GRAY2RGB),
    'mono16': (np.uint16, 1, cv2.COLOR_GRAY2RGB),
    '16UC1': (np.uint16, 1, cv2.COLOR_GRAY2RGB),
    'bayer_rggb8': (np.uint8, 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': (np.uint8, 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': (np.uint8, 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': (np.uint8, 1, cv2.COLOR_BayerGB2RGB),
    'bayer_rggb16': (np.uint16, 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr16': (np.uint16, 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg16': (np.uint16, 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg16': (np.uint16, 1, cv2.COLOR_BayerGB2RGB),
    'yuv422': (np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (np.uint8, 2, cv2.COLOR_YUV2RGB_YUYV),
    'yuyv': (np.uint8, 2, cv2.COLOR_YUV2RGB_YUYV),
}
MOST_ACROSS = 4096  # pixels of a depth image; more is a broken message
_DEPTH = {'32FC1': np.float32, '16UC1': np.uint16, 'mono16': np.uint16}


class UnknownEncodingError(ValueError):
    """An encoding that neither this module nor cv_bridge knows."""


def check_color(message):
    """Raise ValueError if decode_color would, as far as that can be told without decoding."""
    if isinstance(message, CompressedImage):
        return
    if message.encoding in _COLOR:
        _view(message, *_COLOR[message.encoding][:2])
    else:
        _cv_bridge(message.encoding)


def decode_color(message):
    """Return the (H, W, 3) uint8 RGB image of a sensor_msgs/Image or CompressedImage.

    An rgb8 image is a view into the message, not a copy.
    """
    if isinstance(message, CompressedImage):
        return _decode_compressed_color(message)
    if message.encoding not in _COLOR:
        return _decode_with_cv_bridge(message)
    dtype, channels, conversion = _COLOR[message.encoding]
    image = _view(message, dtype, channels)
    if dtype is np.uint16:
        image = (image >> 8).astype(np.uint8)
    if conversion is None:
        return image
    try:
        return cv2.cvtColor(np.ascontiguousarray(image), conversion)
    except cv2.error as error:  # e.g. a colour mosaic of odd width
        raise ValueError(
            f'{message.width} x {message.height} {message.encoding} image cannot be converted '
            f'to RGB: {error.err}') from error


def decode_depth(message, unit=0.001):
    """Return the (H, W) float32 depth, metres along the optical axis, of either image message.

    unit: metres per count of a 16-bit image; REP-118 says millimetres. A 32FC1 image is a view
    into the message, not a copy.
    """
    if isinstance(message, CompressedImage):
        return _decode_compressed_depth(message, unit)
    if message.encoding not in _DEPTH:
        raise UnknownEncodingError(
            f"'{message.encoding}' is not an encoding of depth; "
            f"known are: {', '.join(_DEPTH)}")
    depth = _view(message, _DEPTH[message.encoding], 1)
    if depth.dtype.kind == 'u':
        return depth.astype(np.float32) * np.float32(unit)
    return depth.astype(np.float32, copy=False)


def _view(message, dtype, channels):
    """Return the pixels of a sensor_msgs/Image, (H, W) or (H, W, C), as a view."""
    dtype = np.dtype(dtype).newbyteorder('>' if message.is_bigendian else '<')
    height, width, step = message.height, message.width, message.step
    row = width * channels * dtype.itemsize
    if height == 0 or width == 0:
        raise ValueError(f'the image is empty ({width} x {height})')
    if step < row:
        raise ValueError(f'a row of {width} {message.encoding} pixels takes {row} bytes, '
                         f'but step is {step}')
    # The padding after the last row may be missing.
    if len(message.data) < (height - 1) * step + row:
        raise ValueError(f'truncated: {width} x {height} {message.encoding} with step {step} '
                         f'takes {height * step} bytes, but data has {len(message.data)}')
    pixels = np.ndarray(
        (height, width, channels), dtype, buffer=message.data,
        strides=(step, channels * dtype.itemsize, dtype.itemsize))
    return pixels if channels > 1 else pixels[..., 0]


def _cv_bridge(encoding):
    # Not imported above: where NumPy is not the one that cv_bridge was built with, that fails.
    try:
        from cv_bridge import CvBridge
    except (ImportError, AttributeError) as error:
        raise UnknownEncodingError(
            f"unknown encoding '{encoding}'; known without cv_bridge are: "
            f"{', '.join(_COLOR)}") from error
    bridge = CvBridge()
    try:
        bridge.encoding_to_dtype_with_channels(encoding)
    except Exception as error:  # cv_bridge passes on whatever went wrong below it
        raise UnknownEncodingError(f"cv_bridge cannot decode '{encoding}': {error}") from error
    return bridge


def _decode_with_cv_bridge(message):
    bridge = _cv_bridge(message.encoding)
    try:
        return bridge.imgmsg_to_cv2(message, 'rgb8')
    except Exception as error:  # cv_bridge passes on whatever went wrong below it
        raise UnknownEncodingError(
            f"cv_bridge cannot decode '{message.encoding}': {error}") from error


def _decode_compressed_color(message):
    # A JPEG knows its orientation; the calibration does not.
    image = _imdecode(message, 0, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    # 'rgb8; jpeg compressed bgr8': what the pixels were; codec; what the codec was told they are.
    in_rgb = message.format.partition('compressed')[2].strip().startswith('rgb')
    return image if in_rgb else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode_compressed_depth(message, unit):
    # compressed_depth_image_transport begins with twelve bytes: int32 format, float32 A and B.
    offset = 12 if 'compressedDepth' in message.format else 0
    if 'rvl' in message.format:
        counts = _decode_rvl_image(message, offset)
    else:
        counts = _imdecode(message, offset, cv2.IMREAD_UNCHANGED)
    if counts.dtype != np.uint16 or counts.ndim != 2:
        raise ValueError(f"'{message.format}' does not hold a 16-bit depth image")
    if not message.format.startswith('32FC1'):
        return counts.astype(np.float32) * np.float32(unit)
    a, b = np.frombuffer(message.data, np.float32, count=2, offset=4)
    with np.errstate(divide='ignore'):
        depth = a / (counts.astype(np.float32) - b)
    depth[counts == 0] = np.nan
    return depth


def _decode_rvl_image(message, offset):
    data = np.frombuffer(message.data, np.uint8)[offset:]
    if len(data) < 8:
        raise ValueError(f"{len(message.data)} bytes of '{message.format}' are truncated")
    width, height = (int(number) for number in data[:8].view(np.uint32))
    if not 0 < width <= MOST_ACROSS or not 0 < height <= MOST_ACROSS:
        raise ValueError(f'{width} x {height} pixels cannot be')
    return decode_rvl(data[8:], width, height)


def _imdecode(message, offset, flags):
    data = np.frombuffer(message.data, np.uint8)[offset:]
    try:
        image = cv2.imdecode(data, flags) if len(data) else None
    except cv2.error:
        image = None
    if image is None:
        raise ValueError(
            f"{len(message.data)} bytes of '{message.format}' cannot be decoded: "
            'truncated, or not a codec that OpenCV knows')
    return image
