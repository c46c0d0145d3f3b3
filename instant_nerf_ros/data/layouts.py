"""Folders of posed images on disk: where the files are, and what their numbers mean.

Two layouts are read: transforms.json (instant-ngp, nerfstudio) and pose files (7-Scenes and
tsdf-fusion, with an intrinsics.json). Whatever their conventions, an Entry follows ours.
"""
import csv
import dataclasses
import json
import math
import re
import warnings
from pathlib import Path

import cv2
import numpy as np

from instant_nerf_ros.nerf.camera import Camera

GRAVITY_FILE = 'reference_occupancy_gravity.npz'
# OpenGL cameras look along -z with y up, ours along +z with y down.
OPENGL_FROM_OPTICAL = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclasses.dataclass(frozen=True)
class Entry:
    """A posed image on disk."""

    stamp: int  # ns
    image_path: Path
    camera: Camera
    T_world_camera: np.ndarray  # (4, 4) float64
    depth_path: Path | None = None  # integer image with the pixels of the colour image
    depth_unit: float = 0.001  # m per count


def read_transforms(path, rate, scale):
    """Return the entries of a transforms.json, sorted by file name.

    OpenGL axes and half-integer pixel centres become ours. Frames without an image file, and
    images named twice, are left out with one warning. The format has no times: the frames follow
    each other at `rate` [Hz]. Translations and depth are multiplied by scale [m].
    """
    document = _json(path)
    if not all('file_path' in frame for frame in document.get('frames', [])):
        raise ValueError(f'{path} has a frame without file_path')
    frames = {frame['file_path']: frame for frame in reversed(document.get('frames', []))}
    found = {name: _image_file(path.parent / name) for name in frames}
    names = sorted((name for name in frames if found[name]), key=_natural)
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
        T_world_camera = rigid(frame.get('transform_matrix'), label) @ OPENGL_FROM_OPTICAL
        T_world_camera[:3, 3] *= scale
        depth = frame.get('depth_file_path')
        entries.append(Entry(
            stamp=round(index / rate * 1e9),
            image_path=found[name],
            camera=_transforms_camera(frame, found[name], label),
            T_world_camera=T_world_camera,
            depth_path=path.parent / depth if depth else None,
            depth_unit=float(frame.get('integer_depth_scale', 0.001)) * scale))
    return entries


def read_pose_files(folder):
    """Return the entries of a folder of NAME.color.jpg and NAME.pose.txt, in the order of NAME.

    The pose files hold the pose of the depth camera; intrinsics.json holds the intrinsics of the
    colour camera and where it sits on the depth camera; registered_depth/ holds depth images with
    the pixels of the colour images; frames.csv holds the times.
    """
    document = _json(folder / 'intrinsics.json')
    try:
        values = document['color_recommended']
        camera = Camera(*(values[key] for key in ('width', 'height', 'fx', 'fy', 'cx', 'cy')))
        T_depth_color = rigid(document['T_depthcam_from_colorcam_recommended'], 'intrinsics.json')
        depth_unit = float(document['depth_scale_m_per_unit'])
    except KeyError as error:
        raise ValueError(f"{folder / 'intrinsics.json'} lacks the key {error}") from None
    with _existing(folder / 'frames.csv').open(newline='') as file:
        times = {row['file_prefix']: float(row['t_nominal_s']) for row in csv.DictReader(file)}
    entries = []
    for name in sorted(times, key=_natural):
        pose_path = _existing(folder / f'{name}.pose.txt')
        depth_path = folder / 'registered_depth' / f'{name}.depth.png'
        try:
            T_world_depth = rigid(np.loadtxt(pose_path), pose_path)
        except ValueError as error:
            raise ValueError(f'{pose_path} is not a pose: {error}') from None
        entries.append(Entry(
            stamp=round(times[name] * 1e9),
            image_path=_existing(folder / f'{name}.color.jpg'),
            camera=camera,
            T_world_camera=T_world_depth @ T_depth_color,
            depth_path=depth_path if depth_path.exists() else None,
            depth_unit=depth_unit))
    return entries


def rigid(matrix, label):
    """Return a (4, 4) or (3, 4) matrix as a (4, 4) pose with an exactly orthonormal rotation.

    Raises ValueError, naming the label, where it is not near to one.
    """
    matrix = np.array(matrix, np.float64)
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


def _transforms_camera(frame, image_path, label):
    """Return the Camera of a frame of transforms.json (its keys override the common ones)."""
    if 'w' in frame and 'h' in frame:
        width, height = int(frame['w']), int(frame['h'])
    else:
        image = cv2.imread(str(image_path))
        if image is None:
            raise ValueError(f'{image_path} is not a readable image')
        height, width = image.shape[:2]
    focal_x = frame.get('fl_x') or _focal(frame.get('camera_angle_x'), width)
    focal_y = frame.get('fl_y') or _focal(frame.get('camera_angle_y'), height) or focal_x
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
        # The centre of the top-left pixel is (0.5, 0.5) there and (0, 0) here.
        float(frame.get('cx', width / 2)) - 0.5, float(frame.get('cy', height / 2)) - 0.5,
        model, distortion if model != 'none' else ())


def _focal(angle, size):
    return size / (2 * math.tan(angle / 2)) if angle else None


def _image_file(path):
    """Return the path, with .png added where the format leaves it out, or None."""
    if path.is_file():
        return path
    path = path.with_name(path.name + '.png')
    return path if path.is_file() else None


def _natural(name):
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', name)]


def _existing(path):
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing')
    return path


def _json(path):
    try:
        return json.loads(_existing(path).read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is not valid JSON: {error}') from None
