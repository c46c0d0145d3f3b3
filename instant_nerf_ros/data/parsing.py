"""Checked values of files that were written by others: JSON, numbers, poses and paths.

Whatever a file contains, the result is a value or a ValueError with a sentence.
"""
import json
import math
import os.path
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.camera import MAX_COORDINATE

# Omitted suffixes of images, in the order in which they are tried.
SUFFIXES = ('.png', '.jpg', '.jpeg', '.PNG', '.JPG', '.JPEG', '.webp', '.tif', '.tiff', '.bmp')
TOLERANCE = 0.02  # of the elements of a rotation, and of scales
MAX_NAMED = 5  # in a sentence


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of any UTF encoding, with or without byte order mark."""
    try:
        document = json.loads(require_file(path).read_bytes())
    except RecursionError:
        raise ValueError(f'{path} is not valid JSON: it is nested too deeply') from None
    except ValueError as error:  # of the syntax, or of the encoding
        raise ValueError(f'{path} is not valid JSON: {error}') from None
    if not isinstance(document, dict):
        raise ValueError(
            f'{path} must contain a JSON object, contains a {type(document).__name__}')
    return document


def number(values: Mapping[str, Any], key: str, default: float = 0.0) -> float:
    """Return a finite number; the default if the key is missing or null."""
    value = values.get(key)
    if value is None:
        return default
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise ValueError(f'{key} must be a finite number, is {shortened(value)}')
    return result


def text(values: Mapping[str, Any], key: str) -> str:
    """Return a string; '' if the key is missing or null."""
    value = values.get(key)
    if not isinstance(value, str | None):
        raise ValueError(f'{key} must be a string, is {shortened(value)}')
    return value or ''


def parse_pose(matrix: ArrayLike | None, label: object) -> NDArray[np.float64]:
    """Return a (4, 4) or (3, 4) matrix as a pose (4, 4) with an exactly orthonormal rotation.

    A uniform scale of the rotation is removed with a warning. Raises ValueError, with the label,
    if it is not close to a pose.
    """
    pose, scale = parse_scaled_pose(matrix, label)
    if scale != 1.0:
        warnings.warn(
            f'{label}: the rotation has the scale {scale:.4g}, which was removed; the position '
            'was kept', stacklevel=3)
    return pose


def parse_scaled_pose(
    matrix: ArrayLike | None, label: object,
) -> tuple[NDArray[np.float64], float]:  # fmt: skip
    """Return a pose as `parse_pose` does, and the scale that was removed, 1.0 if it was none."""
    try:
        array = np.array(matrix, np.float64)  # NaN for None
    except (TypeError, ValueError, OverflowError):
        array = np.array(np.nan)
    if array.shape not in ((4, 4), (3, 4)) or not np.isfinite(array).all():
        raise ValueError(f'{label}: a pose must be a finite 4 x 4 matrix, is {shortened(matrix)}')
    scale = 1.0
    if len(array) == 4:
        if np.abs(array[3, :3]).max() > 1e-3 or array[3, 3] <= 0:
            raise ValueError(
                f'{label}: the last row of a pose must be 0 0 0 1, is {array[3].tolist()}; is '
                'the matrix transposed?')
        if abs(array[3, 3] - 1) > TOLERANCE:  # homogeneous coordinates
            scale, array = array[3, 3], array / array[3, 3]
    if not np.abs(array).max() < MAX_COORDINATE:
        raise ValueError(
            f'{label}: the position is more than {MAX_COORDINATE:.0g} m away; is its unit wrong?')
    try:
        left, singular, right = np.linalg.svd(array[:3, :3])
    except np.linalg.LinAlgError as error:
        raise ValueError(f'{label}: not a rotation: {error}') from None
    rotation, size = left @ right, singular.mean()
    if not size > 1e-6 or np.abs(rotation - array[:3, :3] / size).max() > TOLERANCE or (
            np.linalg.det(rotation) < 0):
        raise ValueError(
            f'{label}: not a rotation (right-handed, orthonormal): {array[:3, :3].tolist()}')
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, array[:3, 3]
    if abs(size - 1) > TOLERANCE:
        scale *= size
    return pose, float(scale)


def find_image(folder: Path, name: str) -> Path | None:
    """Return the path of an image that a file names, or None if it does not exist.

    A backslash separates folders in a name that does not exist as it stands. An omitted suffix
    is one of SUFFIXES. Upper and lower case may differ if only one file is meant.
    """
    for variant in dict.fromkeys((name, name.replace('\\', '/'))):
        for suffix in ('', *SUFFIXES):
            path = f'{os.path.join(folder, variant)}{suffix}'
            if os.path.isfile(path):
                return Path(path)
    parent, base = os.path.split(os.path.join(folder, name.replace('\\', '/')))
    found = [file for file in (os.listdir(parent) if os.access(parent, os.R_OK) else ())
             if file.casefold() == base.casefold()]
    return Path(parent, found[0]) if len(found) == 1 else None


def natural_key(name: str) -> list[int | str]:
    """Return a key by which frame_2 is sorted before frame_10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r'(\d+)', name)]


def require_file(path: Path) -> Path:
    """Return the path of a file. Raises FileNotFoundError if there is none."""
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing')
    return path


def enumeration(items: list[str]) -> str:
    """Return the first items, and the number of the others."""
    others = len(items) - MAX_NAMED
    return '; '.join(items[:MAX_NAMED]) + (f'; and {others} more' if others > 0 else '')


def shortened(value: object) -> str:
    """Return a value as it is written in Python, at most 200 characters of it."""
    written = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    return written if len(written) <= 200 else written[:200] + '...'
