"""Camera paths of nerfstudio: what its viewer writes, and `ns-render camera-path` reads."""
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from instant_nerf_ros.nerf import Camera
from instant_nerf_ros.nerf.camera import check_pose
from instant_nerf_ros.scenes.camera_paths import CameraPath
from instant_nerf_ros.scenes.outputs import output_file

OPTICAL_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # its own inverse


def read_camera_path(
    path: str | os.PathLike[str], dataparser_transforms: str | os.PathLike[str] | None = None,
) -> CameraPath:  # fmt: skip
    """Return the camera path that a viewer of nerfstudio has written as JSON.

    nerfstudio moves and scales a scene. Its outputs have a dataparser_transforms.json that says
    how, by which the path is returned to the world of the data; without it, the path is in the
    world already. Raises FileNotFoundError, or ValueError with the reason.
    """
    document, undo = _read(Path(path)), np.eye(4)
    scale = 1.0
    if dataparser_transforms is not None:
        moved = _read(Path(dataparser_transforms))
        try:
            undo[:3], scale = np.reshape(moved['transform'], (3, 4)), float(moved['scale'])
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f'{dataparser_transforms} needs a transform (3, 4) and a scale') from None
    if document.get('camera_type', 'perspective') != 'perspective':
        raise ValueError(f"{path} has a camera_type {document['camera_type']}; only perspective "
                         'cameras can be rendered')
    cameras, poses = [], []
    try:
        width, height = int(document['render_width']), int(document['render_height'])
        for entry in document['camera_path']:
            focal = height / 2 / math.tan(math.radians(float(entry['fov'])) / 2)
            cameras.append(Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2))
            pose = np.reshape(np.asarray(entry['camera_to_world'], np.float64), (4, 4))
            pose[:3, 3] /= scale
            poses.append(check_pose(np.linalg.inv(undo) @ pose @ OPTICAL_FROM_OPENGL))
        fps = float(document.get('fps', 24))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f'{path} is no camera path of nerfstudio: {error!r}') from None
    if not poses:
        raise ValueError(f'{path} has no cameras')
    return CameraPath(cameras, np.stack(poses), fps)


def write_camera_path(
    path: str | os.PathLike[str], route: CameraPath, overwrite: bool = False,
) -> None:  # fmt: skip
    """Write a camera path as nerfstudio reads it with `ns-render camera-path`.

    Centered intrinsics are all that the format has. Raises FileExistsError.
    """
    first = route.cameras[0]
    entries = [
        {'camera_to_world': (pose @ OPTICAL_FROM_OPENGL).ravel().tolist(),
         'fov': math.degrees(2 * math.atan(camera.height / 2 / camera.fy)),
         'aspect': camera.width / camera.height}
        for camera, pose in zip(route.cameras, route.T_world_camera)]
    document = {
        'camera_type': 'perspective', 'render_width': first.width, 'render_height': first.height,
        'fps': route.fps, 'seconds': len(entries) / route.fps, 'camera_path': entries}
    with output_file(path, overwrite) as new:
        new.write_text(json.dumps(document))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f'{path} is no JSON: {error}') from None
    if not isinstance(document, dict):
        raise ValueError(f'{path} is no JSON object')
    return document
