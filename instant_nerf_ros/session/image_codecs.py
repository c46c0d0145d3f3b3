"""Images as they are stored in a session: JPEG or PNG; depth and alpha compressed by zlib."""
from __future__ import annotations

import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Image

JPEG, LOSSLESS = 'jpeg', 'lossless'
QUALITY = 95  # of JPEG
FAST = 1  # level of zlib: the writer may take a few percent of a core


def encode_image(image: Image, kind: str) -> NDArray[np.uint8]:
    """Return the file of an image (H, W, 3) RGB, kind JPEG or LOSSLESS, as bytes (N,)."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    suffix, setting = ('.jpg', (cv2.IMWRITE_JPEG_QUALITY, QUALITY)) if kind == JPEG else (
        '.png', (cv2.IMWRITE_PNG_COMPRESSION, FAST))
    success, data = cv2.imencode(suffix, bgr, setting)
    if not success:
        raise ValueError(f'an image {image.shape} cannot be encoded as {suffix}')
    return np.asarray(data, dtype=np.uint8).reshape(-1)


def decode_image(data: NDArray[np.uint8]) -> Image:
    """Return the image (H, W, 3) RGB of a file. Raises ValueError if it is none."""
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError('an image cannot be decoded')
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def compress(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the values of an array as compressed bytes (N,), little endian.

    All first bytes of the values come first, then all second ones: this makes depth
    shorter, and runs of equal bytes are all that is worth the time of searching.
    """
    little = np.ascontiguousarray(array, array.dtype.newbyteorder('<'))
    planes = little.reshape(-1).view(np.uint8).reshape(-1, little.itemsize).T
    compressor = zlib.compressobj(FAST, strategy=zlib.Z_RLE)
    return np.frombuffer(
        compressor.compress(planes.tobytes()) + compressor.flush(), dtype=np.uint8)


def decompress(data: NDArray[np.uint8], kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the array of a type and shape. Raises ValueError if the bytes are of another one."""
    try:
        planes = np.frombuffer(zlib.decompress(data.tobytes()), np.uint8)
    except zlib.error as error:
        raise ValueError(f'compressed values are damaged: {error}') from error
    little = np.dtype(kind).newbyteorder('<')
    values = np.ascontiguousarray(planes.reshape(little.itemsize, -1).T).view(little)
    return values.reshape(shape).astype(kind)
