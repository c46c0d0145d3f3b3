"""transforms.json: the layout of instant-ngp and nerfstudio.

A frame that cannot be used is left out; a warning names and counts such frames.
"""
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.images import image_size
from instant_nerf_ros.data.intrinsics import camera_of, suspicions
from instant_nerf_ros.data.layouts import Entry
from instant_nerf_ros.data.parsing import (
    MAX_NAMED,
    enumeration,
    find_image,
    natural_key,
    number,
    parse_scaled_pose,
    read_json,
    text,
)

# OpenGL cameras: x right, y up, z backward. Optical frames: x right, y down, z forward.
OPENGL_FROM_OPTICAL = np.diag([1.0, -1.0, -1.0, 1.0])
DEPTH_KEYS = ('depth_file_path', 'depth_path')  # of nerfstudio, of instant-ngp
UNIT_KEYS = ('integer_depth_scale', 'depth_unit_scale_factor')  # m per count of integer depth
MASK_KEYS = ('mask_path', 'mask_file_path')


def read_transforms(path: Path, rate: float, scale: float) -> list[Entry]:
    """Return the entries of a transforms.json, sorted by file name.

    OpenGL axes and half-integer pixel centers are converted. Frames without an image file,
    repeated images and unusable frames are left out with one warning. The format has no times:
    the frames follow each other at `rate` [Hz]. Translations and depth are multiplied by scale
    [m per unit]. Raises ValueError if no frame can be used.
    """
    if path.suffix.lower() != '.json':
        raise ValueError(
            f'{path} is neither a folder, a transforms.json nor a recording (.mcap, .db3, .bag)')
    document = read_json(path)
    listed = document.get('frames') or []
    if not isinstance(listed, list):
        raise ValueError(f"{path}: 'frames' must be a list")
    frames: dict[str, Mapping[str, Any]] = {}
    unusable: list[str] = []
    for index, frame in enumerate(listed):
        name = frame.get('file_path') if isinstance(frame, dict) else None
        if isinstance(name, str):
            frames.setdefault(name, frame)
        else:
            unusable.append(f'frame {index} has no file_path')
    repeated = len(listed) - len(frames) - len(unusable)
    images = {name: image for name in frames if (image := find_image(path.parent, name))}
    missing = [f'{name} is missing' for name in frames if name not in images]
    entries: list[Entry] = []
    scaled, suspicious = [], {}
    for name in sorted(images, key=natural_key):
        frame = {**document, **{k: v for k, v in frames[name].items() if v is not None}}
        try:
            pose, pose_scale = parse_scaled_pose(frame.get('transform_matrix'), 'transform_matrix')
            entry = _transforms_entry(
                frame, path.parent, images[name], round(len(entries) / rate * 1e9), pose, scale)
        except (ValueError, OSError) as error:
            unusable.append(f'frame {name}: {error}')
            continue
        entries.append(entry)
        suspicious.update(dict.fromkeys(suspicions(frame, entry.camera)))
        if pose_scale != 1.0:
            scaled.append(f'{name} by {pose_scale:.4g}')
    if not entries and unusable:
        raise ValueError(f'{path} has no usable frame: {enumeration(unusable + missing)}')
    if missing or repeated or unusable:
        others = f', and {len(unusable)} that cannot be used' if unusable else ''
        warnings.warn(
            f'{path} lists {len(listed)} frames: {len(missing)} without an image file and '
            f'{repeated} named before{others} were left out: {enumeration(missing + unusable)}',
            stacklevel=3)
    if not entries:
        raise ValueError(f'{path} names no image that is there; its paths are relative to it')
    if scaled:
        warnings.warn(
            f'{path}: {len(scaled)} rotations are scaled, which was removed; positions were kept: '
            f'{enumeration(scaled)}', stacklevel=3)
    for sentence in list(suspicious)[:MAX_NAMED]:
        warnings.warn(f'{path}: {sentence}', stacklevel=3)
    if document.get('rolling_shutter'):
        warnings.warn(f'{path}: rolling_shutter is not corrected', stacklevel=3)
    return entries


def _transforms_entry(
    frame: Mapping[str, Any], folder: Path, image_path: Path, stamp: int,
    T_world_opengl: NDArray[np.float64], scale: float,
) -> Entry:  # fmt: skip
    """Return the Entry of a frame of a transforms.json. Raises ValueError if it is unusable."""
    width, height = int(number(frame, 'w')), int(number(frame, 'h'))
    if not width or not height:
        width, height = image_size(image_path)
    T_world_camera = T_world_opengl @ OPENGL_FROM_OPTICAL
    T_world_camera[:3, 3] *= scale
    depth, mask = (next((name for key in keys if (name := text(frame, key))), '')
                   for keys in (DEPTH_KEYS, MASK_KEYS))
    if frame.get('enable_depth_loading') is False:
        depth = ''
    unit = next((value for key in UNIT_KEYS if (value := number(frame, key))), 0.001)
    if unit < 0:
        raise ValueError(f'the unit of depth must be positive, is {unit}')
    return Entry(
        stamp, image_path, camera_of(frame, width, height), T_world_camera,
        (find_image(folder, depth) or folder / depth) if depth else None, unit * scale, scale,
        (find_image(folder, mask) or folder / mask) if mask else None)
