"""The files of a COLMAP model: cameras, images and points3D, as .bin or .txt.

The formats are those of https://colmap.github.io/format.html. They are so small that a parser is
less than a dependency: pycolmap is needed to make a model, but not to read one.
"""
import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from instant_nerf_ros.data.parsing import require_file
from instant_nerf_ros.nerf.camera import Camera

# Model names in the order of their numbers in binary files, with their numbers of parameters.
MODELS = {
    'SIMPLE_PINHOLE': 3, 'PINHOLE': 4, 'SIMPLE_RADIAL': 4, 'RADIAL': 5, 'OPENCV': 8,
    'OPENCV_FISHEYE': 8, 'FULL_OPENCV': 12, 'FOV': 5, 'SIMPLE_RADIAL_FISHEYE': 4,
    'RADIAL_FISHEYE': 5, 'THIN_PRISM_FISHEYE': 12,
}
ONE_FOCAL_LENGTH = ('SIMPLE_PINHOLE', 'SIMPLE_RADIAL', 'RADIAL', 'SIMPLE_RADIAL_FISHEYE',
                    'RADIAL_FISHEYE')  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Image:
    """An image of a model."""

    name: str
    camera: int
    T_world_camera: NDArray[np.float64]  # (4, 4)
    points: NDArray[np.int64]  # ids of the points that it has seen


Contents = tuple[dict[int, Camera], list[Image], dict[int, NDArray[np.float64]]]


def make_camera(model: str, width: int, height: int, params: list[float]) -> Camera:
    """Return the Camera of a COLMAP camera. Raises ValueError for an unsupported model."""
    single = model in ONE_FOCAL_LENGTH
    focal_x, focal_y = params[0], params[0 if single else 1]
    # COLMAP's center of the top-left pixel is (0.5, 0.5).
    center = [value - 0.5 for value in params[1 if single else 2 : 3 if single else 4]]
    k = params[3 if single else 4:]
    distortion: tuple[str, tuple[float, ...]]
    if model in ('SIMPLE_PINHOLE', 'PINHOLE'):
        distortion = 'none', ()
    elif model in ('SIMPLE_RADIAL', 'RADIAL', 'OPENCV'):
        distortion = 'plumb_bob', (*k, 0.0, 0.0, 0.0, 0.0)[:5]
    elif model == 'FULL_OPENCV':
        distortion = 'rational_polynomial', tuple(k)
    elif model in ('OPENCV_FISHEYE', 'SIMPLE_RADIAL_FISHEYE', 'RADIAL_FISHEYE'):
        distortion = 'equidistant', (*k, 0.0, 0.0, 0.0)[:4]
    else:
        raise ValueError(
            f'the camera model {model} is not supported; `colmap image_undistorter` makes images '
            'and a model without distortion')
    return Camera(width, height, focal_x, focal_y, center[0], center[1], *distortion)

def _pose(quaternion: tuple[float, ...], translation: tuple[float, ...]) -> NDArray[np.float64]:
    """Return T_world_camera of a quaternion w, x, y, z and a translation, world to camera."""
    w, x, y, z = quaternion
    T_camera_world = np.eye(4)
    T_camera_world[:3, :3] = Rotation.from_quat((x, y, z, w)).as_matrix()
    T_camera_world[:3, 3] = translation
    return np.asarray(np.linalg.inv(T_camera_world))


class _Reader:
    """Takes values from the bytes of a file, one after the other."""

    def __init__(self, path: Path) -> None:
        self._data, self._at = require_file(path).read_bytes(), 0

    def take(self, layout: str) -> tuple[Any, ...]:
        """Return the values of a layout of struct, little endian."""
        values = struct.unpack_from(f'<{layout}', self._data, self._at)
        self._at += struct.calcsize(f'<{layout}')
        return values

    def array(self, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an array of so many elements."""
        self.take(f'{count * dtype.itemsize}x')
        return np.frombuffer(
            self._data, dtype, count, self._at - count * dtype.itemsize)

    def text(self) -> str:
        """Return a text that ends with a zero."""
        begin, self._at = self._at, self._data.find(b'\0', self._at) + 1
        if not self._at:
            raise IndexError('a name has no end')
        return self._data[begin : self._at - 1].decode()


FEATURE = np.dtype([('pixel', '<f8', 2), ('point', '<i8')])


def read_binary(folder: Path) -> Contents:
    """Return the cameras, images and points of a folder with .bin files, by their numbers."""
    reader = _Reader(folder / 'cameras.bin')
    cameras = {}
    for _ in range(reader.take('Q')[0]):
        number, model, width, height = reader.take('iiQQ')
        if model >= len(MODELS):
            raise ValueError(f'the camera model {model} is not known')
        name = list(MODELS)[model]
        cameras[number] = make_camera(name, width, height, list(reader.take(f'{MODELS[name]}d')))
    reader = _Reader(folder / 'images.bin')
    images = []
    for _ in range(reader.take('Q')[0]):
        _, *pose, camera = reader.take('i7di')
        name = reader.text()
        features = reader.array(reader.take('Q')[0], FEATURE)['point']
        images.append(Image(name, camera, _pose(tuple(pose[:4]), tuple(pose[4:])),
                            features[features >= 0]))
    reader = _Reader(folder / 'points3D.bin')
    points = {}
    for _ in range(reader.take('Q')[0]):
        number, *point, length = reader.take('Q3d3x8xQ')
        points[number] = np.array(point)
        reader.take(f'{8 * length}x')
    return cameras, images, points


def read_text(folder: Path) -> Contents:
    """Return the cameras, images and points of a folder with .txt files, by their numbers."""
    cameras = {}
    for words in _lines(folder / 'cameras.txt'):
        cameras[int(words[0])] = make_camera(
            words[1], int(words[2]), int(words[3]), [float(word) for word in words[4:]])
    images = []
    lines = _lines(folder / 'images.txt', keep_empty=True)
    for words in lines:
        if not words:
            continue
        features = np.array(next(lines, [])[2::3], np.int64)
        numbers = tuple(float(word) for word in words[1:8])
        images.append(Image(' '.join(words[9:]), int(words[8]), _pose(numbers[:4], numbers[4:]),
                            features[features >= 0]))
    points = {int(words[0]): np.array(words[1:4], np.float64)
              for words in _lines(folder / 'points3D.txt')}
    return cameras, images, points


def _lines(path: Path, keep_empty: bool = False) -> Iterator[list[str]]:
    """Yield the words of the lines of a text file, without comments."""
    for line in require_file(path).read_text().splitlines():
        words = line.split()
        if (words or keep_empty) and not line.startswith('#'):
            yield words
