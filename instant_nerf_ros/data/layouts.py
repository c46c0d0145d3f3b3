"""Layouts of folders of posed images: file names, and conventions of poses and cameras.

Two layouts are read: transforms.json (instant-ngp, nerfstudio) and pose files (7-Scenes and
tsdf-fusion, with an intrinsics.json). Both are converted to the conventions of this package.
"""
import csv
import dataclasses
import json
import math
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.camera import Camera

REFERENCE_FILE = 'reference_occupancy_gravity.npz'
# OpenGL cameras: x right, y up, z backward. Optical frames: x right, y down, z forward.
OPENGL_FROM_OPTICAL = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclasses.dataclass(frozen=True)
class Entry:
    """A posed image on disk."""

    stamp: int  # ns
    image_path: Path
    camera: Camera
    T_world_camera: NDArray[np.float64]  # (4, 4)
    depth_path: Path | None = None  # integer image, pixel by pixel that of the color image
    depth_unit: float = 0.001  # m per count


def read_transforms(path: Path, rate: float, scale: float) -> list[Entry]:
    """Return the entries of a transforms.json, sorted by file name.

    OpenGL axes and half-integer pixel centers are converted. Frames without an image file, and
    repeated images, are left out with one warning. The format has no times: the frames follow
    each other at `rate` [Hz]. Translations and depth are multiplied by scale [m per unit].
    """
    document = _read_json(path)
    if not all('file_path' in frame for frame in document.get('frames', [])):
        raise ValueError(f'{path} has a frame without file_path')
    frames = {frame['file_path']: frame for frame in reversed(document.get('frames', []))}
    images = {name: image for name in frames if (image := _image_file(path.parent / name))}
    names = sorted(images, key=_natural_key)
    missing, total = len(frames) - len(names), len(document.get('frames', []))
    if missing or total != len(frames):
        warnings.warn(
            f'{path} lists {total} frames: {missing} without an image file and '
            f'{total - len(frames)} named before were left out', stacklevel=3)
    if not names:
        raise ValueError(f'{path} names no image that is there; its paths are relative to it')
    entries = []
    for index, name in enumerate(names):
        frame = {**document, **frames[name]}
        label = f'{path}, frame {name}'
        T_world_camera = parse_pose(frame.get('transform_matrix'), label) @ OPENGL_FROM_OPTICAL
        T_world_camera[:3, 3] *= scale
        depth = frame.get('depth_file_path')
        entries.append(Entry(
            stamp=round(index / rate * 1e9),
            image_path=images[name],
            camera=_transforms_camera(frame, images[name], label),
            T_world_camera=T_world_camera,
            depth_path=path.parent / depth if depth else None,
            depth_unit=float(frame.get('integer_depth_scale', 0.001)) * scale))
    return entries


def read_pose_files(folder: Path) -> list[Entry]:
    """Return the entries of a folder of NAME.color.jpg and NAME.pose.txt, in the order of NAME.

    The pose files contain the pose of the depth camera; intrinsics.json the intrinsics of the
    color camera and its pose relative to the depth camera; registered_depth/ depth images that
    are registered to the color images; frames.csv the times.
    """
    document = _read_json(folder / 'intrinsics.json')
    try:
        values = document['color_recommended']
        camera = Camera(*(values[key] for key in ('width', 'height', 'fx', 'fy', 'cx', 'cy')))
        T_depth_color = parse_pose(
            document['T_depthcam_from_colorcam_recommended'], 'intrinsics.json')
        depth_unit = float(document['depth_scale_m_per_unit'])
    except KeyError as error:
        raise ValueError(f"{folder / 'intrinsics.json'} lacks the key {error}") from None
    with _require_file(folder / 'frames.csv').open(newline='') as file:
        times = {row['file_prefix']: float(row['t_nominal_s']) for row in csv.DictReader(file)}
    entries = []
    for name in sorted(times, key=_natural_key):
        pose_path = _require_file(folder / f'{name}.pose.txt')
        depth_path = folder / 'registered_depth' / f'{name}.depth.png'
        try:
            T_world_depth = parse_pose(np.loadtxt(pose_path), pose_path)
        except ValueError as error:
            raise ValueError(f'{pose_path} is not a pose: {error}') from None
        entries.append(Entry(
            stamp=round(times[name] * 1e9),
            image_path=_require_file(folder / f'{name}.color.jpg'),
            camera=camera,
            T_world_camera=T_world_depth @ T_depth_color,
            depth_path=depth_path if depth_path.exists() else None,
            depth_unit=depth_unit))
    return entries


def parse_pose(matrix: ArrayLike | None, label: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Return a (4, 4) or (3, 4) matrix as a pose (4, 4) with an exactly orthonormal rotation.

    Raises ValueError, with the label, if it is not close to a pose.
    """
    matrix = np.array(matrix, np.float64)  # NaN for None
    if matrix.shape not in ((4, 4), (3, 4)) or not np.isfinite(matrix).all():
        raise ValueError(f'{label}: a pose must be a finite 4 x 4 matrix, is {matrix.tolist()}')
    left, _, right = np.linalg.svd(matrix[:3, :3])
    rotation = left @ right
    if np.abs(rotation - matrix[:3, :3]).max() > 0.02 or np.linalg.det(rotation) < 0:
        raise ValueError(
            f'{label}: not a rotation (right-handed, orthonormal): {matrix[:3, :3].tolist()}')
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, matrix[:3, 3]
    return pose


def _transforms_camera(frame: Mapping[str, Any], image_path: Path, label: str) -> Camera:
    """Return the Camera of a frame of a transforms.json."""
    if 'w' in frame and 'h' in frame:
        width, height = int(frame['w']), int(frame['h'])
    else:
        image = cv2.imread(str(image_path))
        if image is None:
            raise ValueError(f'{image_path} is not a readable image')
        height, width = image.shape[:2]
    focal_x = frame.get('fl_x') or _focal_length(frame.get('camera_angle_x'), width)
    focal_y = frame.get('fl_y') or _focal_length(frame.get('camera_angle_y'), height) or focal_x
    if not focal_x:
        raise ValueError(f'{label}: no focal length; give fl_x [pixels] or camera_angle_x [rad]')
    fisheye = frame.get('is_fisheye') or frame.get('camera_model') == 'OPENCV_FISHEYE'
    if not fisheye and frame.get('camera_model', 'OPENCV') not in ('OPENCV', 'PINHOLE'):
        raise ValueError(
            f"{label}: camera_model {frame['camera_model']} is not supported; use OPENCV, "
            'PINHOLE or OPENCV_FISHEYE')
    keys = ('k1', 'k2', 'k3', 'k4') if fisheye else ('k1', 'k2', 'p1', 'p2', 'k3')
    distortion = tuple(float(frame.get(key, 0.0)) for key in keys)
    model = 'equidistant' if fisheye else 'plumb_bob' if any(distortion) else 'none'
    return Camera(
        width, height, float(focal_x), float(focal_y),
        # The center of the top-left pixel is (0.5, 0.5) there and (0, 0) here.
        float(frame.get('cx', width / 2)) - 0.5, float(frame.get('cy', height / 2)) - 0.5,
        model, distortion if model != 'none' else ())


def _focal_length(angle: float | None, size: int) -> float:
    """Return the focal length [pixels] for a field of view [rad] of so many pixels, 0 for None."""
    return size / (2 * math.tan(angle / 2)) if angle else 0.0


def _image_file(path: Path) -> Path | None:
    """Return the path of an image, with the suffix .png if it was omitted, or None."""
    if path.is_file():
        return path
    path = path.with_name(path.name + '.png')
    return path if path.is_file() else None


def _natural_key(name: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', name)]


def _require_file(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing')
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(_require_file(path).read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is not valid JSON: {error}') from None
