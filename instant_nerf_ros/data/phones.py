"""Recordings of phones: the exports of Polycam ("raw data") and of Record3D ("EXR + RGB").

Both have metric poses by ARKit, in a world with y up, of cameras with the axes of OpenGL.
"""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from instant_nerf_ros.data.images import image_size
from instant_nerf_ros.data.layouts import Entry
from instant_nerf_ros.data.parsing import find_image, natural_key, number, parse_pose, read_json
from instant_nerf_ros.data.transforms import OPENGL_FROM_OPTICAL
from instant_nerf_ros.nerf.camera import Camera

# ARKit's world has y up and z toward the viewer.
Z_UP_FROM_Y_UP = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
RATE = 30.0  # Hz, of frames without times
RECORD3D_METADATA = 'metadata.json', 'metadata'


def is_polycam(folder: Path) -> bool:
    """Return whether a folder is Polycam's export of raw data, or its keyframes."""
    return _cameras(folder) is not None


def is_record3d(folder: Path) -> bool:
    """Return whether a folder is an export of Record3D."""
    return (folder / 'rgb').is_dir() and any(
        (folder / name).is_file() for name in RECORD3D_METADATA)


def read_polycam(folder: Path) -> list[Entry]:
    """Return the entries of an export, those that Polycam has corrected if there are any.

    Depth is that of the phone's lidar, in millimetres. Raises ValueError, with the reason.
    """
    cameras = _cameras(folder)
    if cameras is None:
        raise ValueError(f'{folder} is no export of Polycam: keyframes/cameras/ is missing')
    root = cameras.parent
    images = root / ('corrected_images' if cameras.name.startswith('corrected') else 'images')
    entries: list[Entry] = []
    for path in sorted(cameras.glob('*.json'), key=lambda path: natural_key(path.name)):
        values = read_json(path)
        image = find_image(images, path.stem)
        if image is None:
            continue  # Polycam leaves out the images of some cameras
        matrix = np.array([[number(values, f't_{row}{column}', np.nan) for column in range(4)]
                           for row in range(3)])
        depth = root / 'depth' / f'{path.stem}.png'
        entries.append(_entry(
            values, path, image, parse_pose(matrix, path), len(entries),
            depth if depth.is_file() else None))
    if not entries:
        raise ValueError(f'{images} has no image of the cameras in {cameras}')
    return entries


def read_record3d(folder: Path) -> list[Entry]:
    """Return the entries of an export, without depth: most builds of OpenCV cannot read its EXR.

    Raises ValueError, with the reason.
    """
    path = next(folder / name for name in RECORD3D_METADATA if (folder / name).is_file())
    document = read_json(path)
    try:
        matrix = np.array(document['K'], np.float64).reshape(3, 3).T  # stored by columns
        poses = np.array(document['poses'], np.float64).reshape(-1, 7)  # quaternion, position
        sizes = {'width': number(document, 'w'), 'height': number(document, 'h')}
        rotations = Rotation.from_quat(poses[:, :4]).as_matrix()
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} is not of Record3D: it needs K, w, h and poses ({error})') from None
    values = {'fx': matrix[0, 0], 'fy': matrix[1, 1], 'cx': matrix[0, 2], 'cy': matrix[1, 2],
              **sizes}
    entries = []
    for index, (rotation, pose) in enumerate(zip(rotations, poses)):
        image = find_image(folder / 'rgb', str(index))
        if image is not None:
            T = parse_pose(np.column_stack([rotation, pose[4:]]), f'{path}, pose {index}')
            entries.append(_entry(values, path, image, T, index, None))
    if not entries:
        raise ValueError(f"{folder / 'rgb'} has no image of the {len(poses)} poses in {path}")
    return entries


def _cameras(folder: Path) -> Path | None:
    for parent in (folder / 'keyframes', folder):
        for name in ('corrected_cameras', 'cameras'):
            if any((parent / name).glob('*.json')):
                return parent / name
    return None


def _entry(
    values: Mapping[str, Any], path: Path, image: Path, T_arkit_opengl: NDArray[np.float64],
    index: int, depth: Path | None,
) -> Entry:  # fmt: skip
    """Return the Entry of an image, whose intrinsics may be those of another size."""
    try:
        camera = Camera(
            int(number(values, 'width')), int(number(values, 'height')), number(values, 'fx'),
            number(values, 'fy'), number(values, 'cx') - 0.5, number(values, 'cy') - 0.5)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    return Entry(
        round(index / RATE * 1e9), image, camera.scaled(*image_size(image)),
        Z_UP_FROM_Y_UP @ T_arkit_opengl @ OPENGL_FROM_OPTICAL, depth)
