"""Decodes image messages to NumPy arrays: color to 8-bit RGB, depth to metres.

Raw encodings are those of sensor_msgs/image_encodings.hpp; depth images follow REP-118.
All functions raise ValueError for an image that cannot be decoded.
"""
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from instant_nerf_ros.ros.inputs.rvl import decode_rvl

# encoding: (dtype of a channel, channels in memory, OpenCV's conversion to RGB).
# OpenCV names a Bayer pattern by its second row, hence BG for rggb.
_COLOR: dict[str, tuple[type[np.generic], int, int | None]] = {
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
ImageMessage: TypeAlias = Image | CompressedImage
MAX_SIZE = 4096  # width or height of a depth image; more is a malformed message
_DEPTH: dict[str, type[np.generic]] = {
    '32FC1': np.float32, '16UC1': np.uint16, 'mono16': np.uint16}


class UnknownEncodingError(ValueError):
    """An encoding that neither this module nor cv_bridge can decode."""


def reason(error: ValueError, kind: str) -> str:
    """Return the reason of a drop, for an error of this module about an image of some kind."""
    return 'unknown encoding' if isinstance(error, UnknownEncodingError) else f'unreadable {kind}'


def check_color(message: ImageMessage) -> None:
    """Raise ValueError if it is clear without decoding that decode_color would raise it."""
    if isinstance(message, CompressedImage):
        return
    if message.encoding in _COLOR:
        _pixels(message, *_COLOR[message.encoding][:2])
    else:
        _cv_bridge(message.encoding)


def decode_color(message: ImageMessage) -> NDArray[np.uint8]:
    """Return the (H, W, 3) RGB image of a message; of rgb8 it is a view, not a copy."""
    if isinstance(message, CompressedImage):
        return _decode_compressed_color(message)
    if message.encoding not in _COLOR:
        return _decode_with_cv_bridge(message)
    dtype, channels, conversion = _COLOR[message.encoding]
    image = _pixels(message, dtype, channels)
    if dtype is np.uint16:
        image = (image >> 8).astype(np.uint8)
    if conversion is None:
        return image
    try:
        return cv2.cvtColor(np.ascontiguousarray(image), conversion)
    except cv2.error as error:  # e.g. a Bayer pattern of odd width
        raise ValueError(
            f'{message.width} x {message.height} {message.encoding} cannot be converted to RGB: '
            f'{error.err}; choose another encoding in the driver') from error


def decode_depth(message: ImageMessage, unit: float = 0.001) -> NDArray[np.float32]:
    """Return the (H, W) depth of a message, metres along the optical axis.

    unit: metres per count of a 16-bit image, millimetres by REP-118. A 32FC1 image is a view into
    the message, not a copy.
    """
    if isinstance(message, CompressedImage):
        return _decode_compressed_depth(message, unit)
    if message.encoding not in _DEPTH:
        raise UnknownEncodingError(
            f"'{message.encoding}' is not an encoding of depth; "
            f"remap to a topic with one of: {', '.join(_DEPTH)}")
    depth = _pixels(message, _DEPTH[message.encoding], 1)
    if depth.dtype.kind == 'u':
        return depth.astype(np.float32) * np.float32(unit)
    return depth.astype(np.float32, copy=False)


def _pixels(message: Image, kind: type[np.generic], channels: int) -> NDArray:
    """Return the pixels (H, W) or (H, W, C) of a raw image as a view into the message."""
    dtype = np.dtype(kind).newbyteorder('>' if message.is_bigendian else '<')
    height, width, step = message.height, message.width, message.step
    row = width * channels * dtype.itemsize
    if height == 0 or width == 0:
        raise ValueError(f'the image is empty ({width} x {height}): check the driver')
    if step < row:
        raise ValueError(f'a row of {width} {message.encoding} pixels takes {row} bytes, '
                         f'but step is {step}: check the driver')
    # The padding after the last row may be missing.
    if len(message.data) < (height - 1) * step + row:
        raise ValueError(f'truncated to {len(message.data)} of {height * step} bytes: {width} x '
                         f'{height} {message.encoding} with step {step}; check the driver')
    pixels = np.ndarray(
        (height, width, channels), dtype, buffer=message.data,
        strides=(step, channels * dtype.itemsize, dtype.itemsize))
    return pixels if channels > 1 else pixels[..., 0]


def _cv_bridge(encoding: str) -> Any:  # CvBridge
    # Imported here because it is optional, and fails with another NumPy than it was built with.
    try:
        from cv_bridge import CvBridge
    except (ImportError, AttributeError) as error:
        raise UnknownEncodingError(
            f"unknown encoding '{encoding}'; install cv_bridge, or choose one of: "
            f"{', '.join(_COLOR)}") from error
    bridge = CvBridge()
    try:
        bridge.encoding_to_dtype_with_channels(encoding)
    except Exception as error:  # cv_bridge does not document which
        raise UnknownEncodingError(
            f"cv_bridge cannot decode '{encoding}': {error}; set another in the driver") from error
    return bridge


def _decode_with_cv_bridge(message: Image) -> NDArray[np.uint8]:
    bridge, encoding = _cv_bridge(message.encoding), message.encoding
    try:
        return bridge.imgmsg_to_cv2(message, 'rgb8')
    except Exception as error:  # cv_bridge does not document which
        raise UnknownEncodingError(
            f"cv_bridge cannot decode '{encoding}': {error}; set another in the driver") from error


def _decode_compressed_color(message: CompressedImage) -> NDArray[np.uint8]:
    # The orientation of a JPEG is ignored, because the calibration ignores it.
    image = _imdecode(message, 0, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    # 'rgb8; jpeg compressed bgr8': the original encoding, the codec, and the encoded channels.
    in_rgb = message.format.partition('compressed')[2].strip().startswith('rgb')
    return image if in_rgb else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode_compressed_depth(message: CompressedImage, unit: float) -> NDArray[np.float32]:
    # The header of compressed_depth_image_transport: int32 format, float32 A and B.
    offset = 12 if 'compressedDepth' in message.format else 0
    if 'rvl' in message.format:
        counts = _decode_rvl_image(message, offset)
    else:
        counts = _imdecode(message, offset, cv2.IMREAD_UNCHANGED)
    if counts.dtype != np.uint16 or counts.ndim != 2:
        raise ValueError(f"'{message.format}' is not 16-bit depth: check depth_transport")
    if not message.format.startswith('32FC1'):
        return counts.astype(np.float32) * np.float32(unit)
    a, b = np.frombuffer(message.data, np.float32, count=2, offset=4)
    with np.errstate(divide='ignore'):
        depth = a / (counts.astype(np.float32) - b)
    depth[counts == 0] = np.nan
    return depth


def _decode_rvl_image(message: CompressedImage, offset: int) -> NDArray[np.uint16]:
    data = np.frombuffer(message.data, np.uint8)[offset:]
    if len(data) < 8:
        raise ValueError(f"'{message.format}' is truncated: {len(data)} bytes; check the driver")
    width, height = (int(number) for number in data[:8].view(np.uint32))
    if not 0 < width <= MAX_SIZE or not 0 < height <= MAX_SIZE:
        raise ValueError(f'{width} x {height} is not the size of an image: check the driver')
    return decode_rvl(data[8:], width, height)


def _imdecode(message: CompressedImage, offset: int, flags: int) -> NDArray:
    data = np.frombuffer(message.data, np.uint8)[offset:]
    try:
        image = cv2.imdecode(data, flags) if len(data) else None
    except cv2.error:
        image = None
    if image is None:
        raise ValueError(
            f"{len(message.data)} bytes of '{message.format}' cannot be decoded: "
            'truncated, or a codec that OpenCV does not have; check the driver')
    return image
