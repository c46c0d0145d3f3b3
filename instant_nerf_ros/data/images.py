"""Image files: color as 8-bit RGB, depth in metres.

Intrinsics belong to the pixels as they are stored, so the orientation in EXIF is ignored, as in
COLMAP. OpenCV fills the missing part of a truncated file with a color; such a file is refused.
"""
import os
import warnings
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.parsing import require_file
from instant_nerf_ros.data.transparency import alpha_of
from instant_nerf_ros.nerf.camera import Camera

STORED = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
COLOR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
DARK = 4096  # of 65536
FAR = 1000.0  # m; the median of a depth image in metres is less
# Without the name of a file: the warning is repeated for no other image of the folder.
ALPHA_WARNING = (
    'there are transparent pixels: transparency is not used, they are trained like the others')
UNIT_WARNING = (
    f'there is depth with a median above {FAR:.0f} m: floats must be metres, are they '
    'millimetres? integer_depth_scale is the metres per count of integers')
DARK_WARNING = (
    f'there are images of 16 bits whose values are all below {DARK}, so that they are almost '
    'black: scale those of a camera with 10 or 12 bits to 16 bits')


def image_size(path: Path) -> tuple[int, int]:
    """Return the width and height [pixels] of an image as stored."""
    height, width = decode(path, COLOR).shape[:2]
    return width, height


def read_color(path: Path, camera: Camera) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) RGB of the camera's size; warn if some of it is transparent.

    Raises FileNotFoundError or ValueError, with the path.
    """
    image, alpha = read_color_alpha(path, camera)
    if alpha is not None:
        warnings.warn(f'{path.parent}: {ALPHA_WARNING}', stacklevel=3)
    return image


def read_color_alpha(
    path: Path, camera: Camera,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:  # fmt: skip
    """Return an image (H, W, 3) RGB of the camera's size, and its alpha (H, W), None if opaque.

    Colors are not multiplied by alpha. Raises FileNotFoundError or ValueError, with the path.
    """
    stored = decode(path, STORED)
    alpha = alpha_of(stored, path)
    if stored.ndim == 2 or stored.dtype not in (np.uint8, np.uint16):
        image = decode(path, COLOR)
    elif stored.dtype == np.uint16:  # OpenCV would multiply the colors of a TIFF by alpha
        image = (stored[..., :3] / 257 + 0.5).astype(np.uint8)
    else:
        image = stored
    if image.shape[:2] != (camera.height, camera.width):
        turned = image.shape[:2] == (camera.width, camera.height)
        raise ValueError(
            f'{path} is {image.shape[1]} x {image.shape[0]}, but its intrinsics are for '
            f'{camera.width} x {camera.height}'
            + (': are they for an image turned by its EXIF orientation? Write it upright, without '
               'that orientation' if turned else ''))
    if stored.dtype == np.uint16 and stored[..., :3].max() < DARK:
        warnings.warn(f'{path.parent}: {DARK_WARNING}', stacklevel=3)
    return np.ascontiguousarray(image[..., 2::-1]), alpha


def read_depth(
    path: Path, camera: Camera, unit: float, float_unit: float,
) -> NDArray[np.float32]:  # fmt: skip
    """Return depth (H, W) [m] of the camera's size, 0 where it is not measured.

    Integers are counts of a unit [m per count], the largest one is no measurement; floats are
    multiplied by float_unit [m]. Another resolution of the same picture is resampled to the
    nearest pixel. Raises FileNotFoundError or ValueError, with the path.
    """
    stored = _load_array(path) if path.suffix == '.npy' else decode(path, STORED)
    if stored.dtype.itemsize == 1:
        raise ValueError(
            f'{path} has 8 bits, which is too coarse for depth, and has no unit: write 16 bits '
            'in mm, or floats in metres')
    if stored.ndim == 3 and stored.shape[2] == 1:
        stored = stored[..., 0]
    if stored.ndim != 2:
        raise ValueError(f'{path} must have one channel, has the shape {stored.shape}')
    if not (np.issubdtype(stored.dtype, np.floating) or np.issubdtype(stored.dtype, np.integer)):
        raise ValueError(f'{path} must contain numbers, contains {stored.dtype}')
    height, width = stored.shape
    if not min(stored.shape) or abs(height - camera.height * width / camera.width) >= 1:
        raise ValueError(
            f'{path} is {width} x {height}, and its image {camera.width} x {camera.height}: '
            'depth must have the shape of its image')
    if np.issubdtype(stored.dtype, np.floating):
        with np.errstate(over='ignore'):  # becomes infinite, which is no measurement
            depth = stored.astype(np.float32) * np.float32(float_unit)
    else:
        depth = stored.astype(np.float32) * np.float32(unit)
        depth[stored == np.iinfo(stored.dtype).max] = 0.0  # farther than can be counted
    depth[~(np.isfinite(depth) & (depth > 0))] = 0.0
    if (depth > 0).any() and np.median(depth[depth > 0]) > FAR:
        warnings.warn(f'{path.parent}: {UNIT_WARNING}', stacklevel=3)
    if depth.shape != (camera.height, camera.width):
        depth = cv2.resize(
            depth, (camera.width, camera.height), interpolation=cv2.INTER_NEAREST_EXACT)
    return depth


def _load_array(path: Path) -> NDArray[Any]:
    try:
        # Mapped, so that a wrong size in its header takes no memory.
        array = np.load(require_file(path), mmap_mode='r', allow_pickle=False)
    except (EOFError, ValueError) as error:
        raise ValueError(f'{path} is not a readable array: {error}') from None
    return np.asarray(array)


def decode(path: Path, flags: int) -> NDArray[Any]:
    """Return an image as OpenCV decodes it. Raises FileNotFoundError or ValueError."""
    data = require_file(path).read_bytes()
    if not data:
        raise ValueError(f'{path} is empty')
    if path.suffix.lower() == '.exr':
        os.environ.setdefault('OPENCV_IO_ENABLE_OPENEXR', '1')
    if _is_damaged(data):
        raise ValueError(f'{path} is damaged or truncated: not a readable image')
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f'{path} is not a readable image: {error.err}') from None
    if image is None and path.suffix.lower() == '.exr':
        raise ValueError(
            f'{path} cannot be read: this build of OpenCV has no OpenEXR; convert it to TIFF with '
            'floats in metres')
    if image is None:
        raise ValueError(f'{path} is not a readable image')
    return image


def _is_damaged(data: bytes) -> bool:
    """Return whether the end of a PNG or JPEG file is missing, or a size in a PNG is wrong."""
    if data.startswith(b'\x89PNG'):
        return not _has_whole_chunks(data)
    if not data.startswith(b'\xff\xd8'):
        return False
    position = 2
    # Segments up to the start of scan: one of them may contain a thumbnail with an end of its own.
    while data[position:position + 1] == b'\xff' and data[position + 1:position + 2] != b'\xda':
        position += 2 + int.from_bytes(data[position + 2:position + 4], 'big')
    return b'\xff\xd9' not in data[position:]


def _has_whole_chunks(png: bytes) -> bool:
    """Return whether a PNG is whole up to its end, and the checksum of its header is right.

    OpenCV allocates what a chunk declares, up to 4 GB, before it finds that the file is shorter.
    """
    if zlib.crc32(png[12:29]).to_bytes(4, 'big') != png[29:33]:
        return False
    position = 8
    while position + 12 <= len(png):
        kind = png[position + 4:position + 8]
        position += 12 + int.from_bytes(png[position:position + 4], 'big')
        if kind == b'IEND':
            return position <= len(png)
    return False
