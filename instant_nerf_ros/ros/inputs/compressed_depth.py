"""Decodes compressed images: PNG and JPEG by OpenCV, and compressed_depth_image_transport.

All functions raise ValueError for an image that cannot be decoded.
"""
import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage

from instant_nerf_ros.ros.inputs.rvl import decode_rvl

MAX_SIZE = 4096  # width or height of a depth image; more is a malformed message
SATURATED = 65535  # the largest count, which drivers give where nothing is in reach


def metres(depth: NDArray, unit: float) -> NDArray[np.float32]:
    """Return depth (H, W) [m]; of uint16 in a unit [m], it is NaN where saturated."""
    if depth.dtype.kind != 'u':
        return depth.astype(np.float32, copy=False)
    result = depth.astype(np.float32) * np.float32(unit)
    result[depth == SATURATED] = np.nan
    return result


def decode_compressed_depth(message: CompressedImage, unit: float) -> NDArray[np.float32]:
    """Return the depth (H, W) [m]; see encodings.decode_depth."""
    # The header of compressed_depth_image_transport: int32 format, float32 A and B.
    offset = 12 if 'compressedDepth' in message.format else 0
    if 'rvl' in message.format:
        counts = _decode_rvl_image(message, offset)
    else:
        counts = imdecode(message, offset, cv2.IMREAD_UNCHANGED)
    if counts.dtype != np.uint16 or counts.ndim != 2:
        raise ValueError(f"'{message.format}' is not 16-bit depth: check depth_transport")
    if not message.format.startswith('32FC1'):
        return metres(counts, unit)
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


def is_png_of_16_bits(message: CompressedImage) -> bool:
    """Return whether the bytes of a message are a PNG of 16 bits per sample."""
    header = bytes(message.data[:25])
    return header.startswith(b'\x89PNG') and header[24:] == b'\x10'


def imdecode(message: CompressedImage, offset: int, flags: int) -> NDArray:
    """Return the image in the bytes of a message from an offset on, by flags of OpenCV."""
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
