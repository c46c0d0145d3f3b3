"""Layouts of folders of posed images: what an entry is, and the layout of pose files.

Two layouts are read: transforms.json (instant-ngp, nerfstudio; see transforms) and pose files
(7-Scenes and tsdf-fusion, with an intrinsics.json). Both are converted to the conventions of this
package. A frame that cannot be used is left out; a warning names and counts such frames.
"""
import csv
import dataclasses
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.intrinsics import suspicions
from instant_nerf_ros.data.parsing import (
    enumeration,
    natural_key,
    number,
    parse_pose,
    read_json,
    require_file,
)
from instant_nerf_ros.nerf.camera import Camera

REFERENCE_FILE = 'reference_occupancy_gravity.npz'
MAX_TIME = 2.0**31 - 2  # s; stamps of ROS have 32 bits


@dataclasses.dataclass(frozen=True)
class Entry:
    """A posed image on disk."""

    stamp: int  # ns
    image_path: Path
    camera: Camera
    T_world_camera: NDArray[np.float64]  # (4, 4)
    depth_path: Path | None = None  # a picture of the same shape as the color image
    depth_unit: float = 0.001  # m per count of integers
    depth_float_unit: float = 1.0  # m per unit of floats
    mask_path: Path | None = None  # see masks


def read_pose_files(folder: Path) -> list[Entry]:
    """Return the entries of a folder of NAME.color.jpg and NAME.pose.txt, in the order of NAME.

    The pose files contain the pose of the depth camera; intrinsics.json the intrinsics of the
    color camera and its pose relative to the depth camera; registered_depth/ depth images that
    are registered to the color images; frames.csv the times. Unusable frames are left out with
    one warning. Raises FileNotFoundError or ValueError if no frame can be used.
    """
    document = read_json(folder / 'intrinsics.json')
    try:
        values = document['color_recommended']
        if not isinstance(values, dict):
            raise ValueError('color_recommended must be an object')
        width, height, fx, fy, cx, cy = (
            number({key: values[key]}, key) for key in ('width', 'height', 'fx', 'fy', 'cx', 'cy'))
        camera = Camera(int(width), int(height), fx, fy, cx, cy)
        T_depth_color = parse_pose(
            document['T_depthcam_from_colorcam_recommended'],
            'T_depthcam_from_colorcam_recommended')
        depth_unit = number(document, 'depth_scale_m_per_unit', 0.001)
        if depth_unit <= 0:
            raise ValueError(f'depth_scale_m_per_unit must be positive, is {depth_unit}')
    except KeyError as error:
        raise ValueError(f"{folder / 'intrinsics.json'} lacks the key {error}") from None
    except ValueError as error:
        raise ValueError(f"{folder / 'intrinsics.json'}: {error}") from None
    for sentence in suspicions({}, camera):
        warnings.warn(f"{folder / 'intrinsics.json'}: {sentence}", stacklevel=3)
    times = _read_times(folder / 'frames.csv')
    with_depth = (folder / 'registered_depth').is_dir()
    entries, unusable = [], []
    for name in sorted(times, key=natural_key):
        pose_path = folder / f'{name}.pose.txt'
        try:
            stamp = number(times, name, math.nan)
            if not 0 <= stamp <= MAX_TIME:
                raise ValueError(f'{name}: the time {stamp} s is not between 0 and {MAX_TIME:.0f}')
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', UserWarning)  # of an empty file
                matrix = np.loadtxt(require_file(pose_path))
            entries.append(Entry(
                stamp=round(stamp * 1e9),
                image_path=require_file(folder / f'{name}.color.jpg'),
                camera=camera,
                T_world_camera=parse_pose(matrix, pose_path) @ T_depth_color,
                depth_path=folder / 'registered_depth' / f'{name}.depth.png' if with_depth
                else None,
                depth_unit=depth_unit))
        except (ValueError, OSError) as error:
            unusable.append(f'frame {name}: {error}')
    if not entries:
        raise ValueError(
            f'{folder} has no usable frame: {enumeration(unusable) or "frames.csv names none"}')
    if unusable:
        warnings.warn(
            f'{folder} has {len(times)} frames: {len(unusable)} that cannot be used were left '
            f'out: {enumeration(unusable)}', stacklevel=3)
    return entries


def _read_times(path: Path) -> dict[str, Any]:
    """Return {name of a frame: its time [s] as text} of a frames.csv."""
    try:
        with require_file(path).open(newline='', encoding='utf-8-sig') as file:
            return {row['file_prefix']: row['t_nominal_s'] for row in csv.DictReader(file)
                    if row['file_prefix']}
    except KeyError as error:
        raise ValueError(f'{path} lacks the column {error}') from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is not readable: {error}') from None
