"""COLMAP: the frames and the points of a sparse model, binary or text."""
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.colmap_files import read_binary, read_text
from instant_nerf_ros.data.layouts import Entry
from instant_nerf_ros.data.parsing import enumeration, natural_key, parse_pose

FILES = 'cameras', 'images', 'points3D'
IMAGE_FOLDERS = 'images', 'image', 'rgb', 'input', '.'


def find_model(path: Path) -> Path | None:
    """Return the folder of a model: a path, its sparse/0, sparse, or colmap/sparse/0, or None.

    Of several models in sparse/, it is the one with the largest file of images.
    """
    parents = path, path / 'sparse', path / 'colmap' / 'sparse', path / 'colmap'
    folders = [parent for parent in parents if _suffix(parent)]
    for parent in parents[1:3]:
        if parent.is_dir():
            folders += [child for child in sorted(parent.iterdir()) if _suffix(child)]
    return max(folders, default=None, key=lambda folder: (
        folder / f'images{_suffix(folder)}').stat().st_size)


def _suffix(folder: Path) -> str:
    """Return .bin or .txt for a folder with a model, '' for any other."""
    for suffix in ('.bin', '.txt'):
        if all((folder / f'{name}{suffix}').is_file() for name in FILES):
            return suffix
    return ''


def read_colmap(
    model: Path, images: Path | None = None,
) -> tuple[list[Entry], NDArray[np.float64]]:  # fmt: skip
    """Return the entries of a sparse model, sorted by name, and its points (M, 3).

    A point is there once for each of the images that have seen it.

    images: the folder of the images; None: it is searched beside the model. Images that are
    missing are left out with one warning. Raises FileNotFoundError or ValueError, with the reason.
    """
    suffix = _suffix(model)
    if not suffix:
        raise FileNotFoundError(
            f'{model} is no COLMAP model: it needs cameras, images and points3D, .bin or .txt')
    read = read_binary if suffix == '.bin' else read_text
    try:
        cameras, posed, points = read(model)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f'{model} is damaged or truncated: {error}') from None
    except ValueError as error:
        raise ValueError(f'{model}: {error}') from None
    if not posed:
        raise ValueError(f'{model} has no images: COLMAP has registered none')
    posed.sort(key=lambda image: natural_key(image.name))
    folder = images or _find_images(model, [image.name for image in posed])
    entries: list[Entry] = []
    seen, missing = [], []
    for image in posed:
        path = folder / image.name
        if not path.is_file():
            missing.append(image.name)
            continue
        if image.camera not in cameras:
            raise ValueError(f'{model}: {image.name} has camera {image.camera}, which is missing')
        seen += [points[id] for id in image.points.tolist() if id in points]
        entries.append(Entry(
            len(entries), path, cameras[image.camera],
            parse_pose(image.T_world_camera, image.name)))
    if not entries:
        raise ValueError(f'{folder} has none of the images of {model}: {enumeration(missing)}')
    if missing:
        warnings.warn(
            f'{folder}: {len(missing)} of {len(posed)} images of the model are missing and are '
            f'left out: {enumeration(missing)}', stacklevel=2)
    return entries, np.array(seen, np.float64).reshape(-1, 3)


def _find_images(model: Path, names: list[str]) -> Path:
    """Return the folder of images, searched upward from a model."""
    for parent in (model, *model.resolve().parents[:3]):
        for name in IMAGE_FOLDERS:
            if any((parent / name / image).is_file() for image in names[:8]):
                return parent / name
    raise FileNotFoundError(
        f'the images of {model} ({names[0]}, ...) are not there: put them into images/ beside '
        'the model')
