"""LLFF: folders with a poses_bounds.npy (Mildenhall et al. 2019), mostly forward-facing photos."""
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.images import image_size
from instant_nerf_ros.data.layouts import Entry
from instant_nerf_ros.data.parsing import SUFFIXES, natural_key, parse_pose, require_file
from instant_nerf_ros.nerf.camera import Camera

POSES_BOUNDS = 'poses_bounds.npy'
IMAGE_FOLDERS = 'images', 'images_4', 'images_8', 'images_2'
STEPS = 5  # points between the near and the far limit of a ray
WITHIN = 0.9  # of the image, where the corners of these points are
# Camera axes there are down, right and backward; here right, down and forward.
AXES = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


def read_llff(folder: Path) -> tuple[list[Entry], NDArray[np.float64]]:
    """Return the entries of a folder, sorted by name, and points (M, 3) in their limits of depth.

    Row n of poses_bounds.npy (N, 17) belongs to image n: a 3 x 5 matrix [R | t | height, width,
    focal length], and the least and the greatest depth. Images of another size than that are those
    of a scaled camera. Raises FileNotFoundError or ValueError, with the reason.
    """
    path = require_file(folder / POSES_BOUNDS)
    try:
        rows = np.load(path, allow_pickle=False)
    except (EOFError, ValueError) as error:
        raise ValueError(f'{path} is not a readable array: {error}') from None
    if rows.ndim != 2 or rows.shape[1] != 17 or rows.dtype.kind != 'f':
        raise ValueError(f'{path} must be N x 17 floats, is {rows.shape} {rows.dtype}')
    images = _images(folder)
    if len(images) != len(rows):
        raise ValueError(
            f'{path} has {len(rows)} poses, but {images[0].parent} has {len(images)} images: each '
            'image needs its pose, in the order of their names')
    entries, points = [], []
    for number, (image, row) in enumerate(zip(images, rows.astype(np.float64))):
        matrix, (near, far) = row[:15].reshape(3, 5), row[15:]
        if not (np.isfinite(row).all() and 0 < near < far and (matrix[:, 4] > 0).all()):
            raise ValueError(
                f'{path}: row {number} must be finite, with 0 < near < far and a camera, is '
                f'{row.tolist()}')
        height, width, focal = matrix[:, 4]
        pose = parse_pose(np.column_stack([matrix[:, :3] @ AXES.T, matrix[:, 3]]),
                          f'{path}, row {number}')
        camera = Camera(round(width), round(height), focal, focal, width / 2 - 0.5,
                        height / 2 - 0.5).scaled(*image_size(image))
        entries.append(Entry(number, image, camera, pose))
        x, y = WITHIN * camera.width / camera.fx / 2, WITHIN * camera.height / camera.fy / 2
        rays = np.array([(0, 0, 1), (x, y, 1), (-x, y, 1), (x, -y, 1), (-x, -y, 1)])
        depths = 1 / np.linspace(1 / near, 1 / far, STEPS)  # as a camera sees them: by parallax
        seen = (rays[:, None] * depths[:, None]).reshape(-1, 3)
        points.append(seen @ pose[:3, :3].T + pose[:3, 3])
    return entries, np.concatenate(points)


def _images(folder: Path) -> list[Path]:
    for name in IMAGE_FOLDERS:
        if (folder / name).is_dir():
            images = [path for path in (folder / name).iterdir() if path.suffix in SUFFIXES]
            if images:
                return sorted(images, key=lambda path: natural_key(path.name))
    raise FileNotFoundError(f"{folder} has no images: they belong into {folder / 'images'}")
