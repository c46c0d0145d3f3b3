"""Decodes image messages to NumPy arrays: color to 8-bit RGB, depth to metres.

Raw encodings are those of sensor_msgs/image_encodings.hpp; depth images follow REP-118.
All functions raise ValueError for an image that cannot be decoded.
"""
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from instant_nerf_ros.ros.inputs.bit_depth import dark_warning, to_8_bits
from instant_nerf_ros.ros.inputs.compressed_depth import (
    decode_compressed_depth,
    imdecode,
    is_png_of_16_bits,
    metres,
)
from instant_nerf_ros.ros.inputs.semi_planar import (
    SEMI_PLANAR,
    check_semi_planar,
    decode_semi_planar,
)

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
    'rgba16': (np.uint16, 4, cv2.COLOR_RGBA2RGB),
    'bgra16': (np.uint16, 4, cv2.COLOR_BGRA2RGB),
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
    if message.encoding in SEMI_PLANAR:
        check_semi_planar(message)
    elif message.encoding in _COLOR:
        _pixels(message, *_COLOR[message.encoding][:2])
    else:
        _cv_bridge(message.encoding)


def decode_color(message: ImageMessage, bits: int = 16) -> NDArray[np.uint8]:
    """Return the (H, W, 3) RGB image of a message; of rgb8 it is a view, not a copy.

    bits: how many of its 16 bits a 16-bit image uses, the lower ones.
    """
    if isinstance(message, CompressedImage):
        return _decode_compressed_color(message, bits)
    if message.encoding in SEMI_PLANAR:
        return decode_semi_planar(message)
    if message.encoding not in _COLOR:
        return _decode_with_cv_bridge(message)
    dtype, channels, conversion = _COLOR[message.encoding]
    image = to_8_bits(_pixels(message, dtype, channels), bits)
    return _to_rgb(image, conversion, message.encoding)


def bits_warning(message: ImageMessage, bits: int) -> str:
    """Return a sentence if an image of 16 bits, which are all in use, is dark; else ''."""
    if isinstance(message, CompressedImage):
        image = imdecode(message, 0, cv2.IMREAD_UNCHANGED) if is_png_of_16_bits(message) else None
        return '' if image is None else dark_warning(image, bits)
    if message.encoding not in _COLOR:
        return ''
    dtype, channels, _ = _COLOR[message.encoding]
    return dark_warning(_pixels(message, dtype, channels), bits) if dtype is np.uint16 else ''


def decode_depth(
    message: ImageMessage, unit: float = 0.001, limit: float = 0.0,
) -> NDArray[np.float32]:  # fmt: skip
    """Return the (H, W) depth of a message, metres along the optical axis.

    unit: metres per count of a 16-bit image, millimetres by REP-118; the largest count, 65535, is
    no measurement. limit: depths from this one on are none, either; 0 for no limit. What is no
    measurement is NaN, or a value of the message that is not positive. A 32FC1 image is a view
    into the message, not a copy.
    """
    if isinstance(message, CompressedImage):
        depth = decode_compressed_depth(message, unit)
    elif message.encoding not in _DEPTH:
        raise UnknownEncodingError(
            f"'{message.encoding}' is not an encoding of depth; "
            f"remap to a topic with one of: {', '.join(_DEPTH)}")
    else:
        depth = metres(_pixels(message, _DEPTH[message.encoding], 1), unit)
    if limit > 0:
        with np.errstate(invalid='ignore'):
            depth = np.where(depth > np.float32(limit * (1 - 1e-6)), np.float32(np.nan), depth)
    return depth


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
            f"{', '.join((*_COLOR, *SEMI_PLANAR))}") from error
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


def _decode_compressed_color(message: CompressedImage, bits: int) -> NDArray[np.uint8]:
    # 'rgb8; jpeg compressed bgr8': the original encoding, the codec, and the encoded channels.
    original, _, rest = message.format.partition(';')
    channels = rest.partition('compressed')[2].strip()
    if original.startswith('bayer_') and original in _COLOR and channels in ('', original):
        mosaic = imdecode(message, 0, cv2.IMREAD_UNCHANGED)
        if mosaic.ndim == 2:
            return _to_rgb(to_8_bits(mosaic, bits), _COLOR[original][2], message.format)
    # The orientation of a JPEG is ignored, because the calibration ignores it.
    image = to_8_bits(imdecode(message, 0, (
        cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)), bits)
    return image if channels.startswith('rgb') else _to_rgb(
        image, cv2.COLOR_BGR2RGB, message.format)


def _to_rgb(image: NDArray[np.uint8], conversion: int | None, name: str) -> NDArray[np.uint8]:
    if conversion is None:
        return image
    try:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), conversion), np.uint8)
    except cv2.error as error:  # e.g. a Bayer pattern of odd width
        raise ValueError(
            f'{image.shape[1]} x {image.shape[0]} {name} cannot be converted to RGB: '
            f'{error.err}; choose another encoding in the driver') from error
