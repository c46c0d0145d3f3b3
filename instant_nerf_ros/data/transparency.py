"""Transparency of image files: what OpenCV does not decode of it, and alpha in 8 bits."""
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRAY = 0  # color type of PNG
SAMPLES_PER_PIXEL = 277  # tag of TIFF


def alpha_of(stored: NDArray[Any], path: Path) -> NDArray[np.uint8] | None:
    """Return the alpha (H, W) of an image as OpenCV decodes it from a file, None if it is opaque.

    Raises ValueError, with the path, for a TIFF with gray and alpha, of which OpenCV returns gray
    only.
    """
    if stored.ndim == 3 and stored.shape[2] == 4:
        most = np.iinfo(stored.dtype).max if np.issubdtype(stored.dtype, np.integer) else 1.0
        if (stored[..., 3] < most).any():
            return np.asarray(
                np.clip(stored[..., 3] * (255 / most) + 0.5, 0, 255), dtype=np.uint8)
    elif stored.ndim == 2:
        data = path.read_bytes()
        if (key := _transparent_gray(data)) is not None and (stored == key).any():
            return np.where(stored == key, np.uint8(0), np.uint8(255))
        if _samples_of_tiff(data) == 2:
            raise ValueError(
                f'{path}: alpha of a gray TIFF cannot be read: write it as RGBA or as PNG')
    return None


def _transparent_gray(data: bytes) -> int | None:
    """Return the value that is transparent in a gray PNG, as it is decoded; None without one."""
    if not data.startswith(b'\x89PNG') or data[25] != GRAY:
        return None
    depth, position = data[24], 8
    while position + 8 <= len(data):
        length, name = struct.unpack('>I4s', data[position:position + 8])
        if name == b'tRNS':
            key = int(struct.unpack('>H', data[position + 8:position + 10])[0])
            return key * 255 // (2**depth - 1) if depth < 8 else key
        if name == b'IDAT':
            return None
        position += 12 + length
    return None


def _samples_of_tiff(data: bytes) -> int:
    """Return the channels of the first picture in a TIFF; 1 for any other file."""
    order = {b'II*\0': '<', b'MM\0*': '>'}.get(data[:4])
    try:
        [start] = struct.unpack_from(f'{order}I', data, 4)
        [count] = struct.unpack_from(f'{order}H', data, start)
        for n in range(count):
            tag, value = struct.unpack_from(f'{order}H6xH', data, start + 2 + 12 * n)
            if tag == SAMPLES_PER_PIXEL:
                return int(value)
    except struct.error:
        pass
    return 1
