"""Decodes semi-planar YUV images: a plane of brightness, and one of interleaved chroma.

The functions raise ValueError for an image that cannot be decoded.
"""
import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

# encoding: OpenCV's conversion to RGB. nv24 has chroma for each pixel, the others for every 2 x 2.
SEMI_PLANAR = {
    'nv12': cv2.COLOR_YUV2RGB_NV12,
    'nv21': cv2.COLOR_YUV2RGB_NV21,
    'nv24': cv2.COLOR_YUV2RGB_NV12,
}


def check_semi_planar(message: Image) -> None:
    """Raise ValueError if the size of an image does not fit its data."""
    height, width, step, encoding = message.height, message.width, message.step, message.encoding
    if height == 0 or width == 0:
        raise ValueError(f'the image is empty ({width} x {height}): check the driver')
    if encoding != 'nv24' and (height % 2 or width % 2):
        raise ValueError(
            f'{width} x {height} is odd, which {encoding} cannot be: check the driver')
    if step < width:
        raise ValueError(f'a row of {width} {encoding} pixels takes {width} bytes, '
                         f'but step is {step}: check the driver')
    chroma_step, rows = _chroma_rows(message)
    last_row = 2 * width if encoding == 'nv24' else width
    needed = height * step + (rows - 1) * chroma_step + last_row
    if len(message.data) < needed:
        raise ValueError(f'truncated to {len(message.data)} of {needed} bytes: {width} x '
                         f'{height} {encoding} with step {step}; check the driver')


def decode_semi_planar(message: Image) -> NDArray[np.uint8]:
    """Return the (H, W, 3) RGB image of a message in one of SEMI_PLANAR (BT.601, video range)."""
    check_semi_planar(message)
    height, width, step = message.height, message.width, message.step
    chroma_step, rows = _chroma_rows(message)
    columns = width if message.encoding == 'nv24' else width // 2
    luma = np.ndarray((height, width), np.uint8, message.data, strides=(step, 1))
    chroma = np.ndarray(
        (rows, columns, 2), np.uint8, message.data, offset=height * step,
        strides=(chroma_step, 2, 1))
    if message.encoding == 'nv24':  # as nv12 of twice the size
        luma = luma.repeat(2, axis=0).repeat(2, axis=1)
    image = np.asarray(cv2.cvtColorTwoPlane(
        np.ascontiguousarray(luma), np.ascontiguousarray(chroma), SEMI_PLANAR[message.encoding]),
        np.uint8)
    return np.ascontiguousarray(image[::2, ::2]) if message.encoding == 'nv24' else image


def _chroma_rows(message: Image) -> tuple[int, int]:
    """Return the bytes from row to row of the chroma, and the number of its rows."""
    if message.encoding == 'nv24':
        return 2 * message.step, message.height
    return message.step, message.height // 2
