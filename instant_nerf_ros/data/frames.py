"""Posed images one by one, with the poses in a z-up world and the frames held out for tests."""
import dataclasses
from pathlib import Path

import cv2
import numpy as np

from instant_nerf_ros.data import layouts
from instant_nerf_ros.nerf.camera import Camera

HOLD_OUT_EVERY = 8
# Calibration tools look at the pixels as they are stored, not as EXIF would turn them.
COLOR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def holdout(index):
    """Return whether the frame with this index in order (0, 1, ...) is kept out of training."""
    return index % HOLD_OUT_EVERY == 0


@dataclasses.dataclass(frozen=True)
class Frame:
    """A posed image."""

    stamp: int  # ns
    image: np.ndarray  # (H, W, 3) uint8 RGB
    camera: Camera
    T_world_camera: np.ndarray  # (4, 4) float64, optical frame to a z-up world [m]
    depth: np.ndarray | None = None  # (H, W) float32 m along the axis, 0 where none


class FrameFolder:
    """The frames of a folder; an image is read when it is asked for."""

    def __init__(self, entries):
        """Take the layouts.Entry of every frame, in order."""
        self.entries = entries

    def __len__(self):
        """Return the number of frames."""
        return len(self.entries)

    def __getitem__(self, index):
        """Return a Frame.

        Raises IndexError past the last one, FileNotFoundError or ValueError, with the path, where
        an image is missing, unreadable, or of another size than its camera.
        """
        entry = self.entries[index]
        image = _read(entry.image_path, COLOR, entry.camera)
        depth = None
        if entry.depth_path:
            counts = _read(entry.depth_path, cv2.IMREAD_UNCHANGED, entry.camera)
            if counts.ndim != 2:
                raise ValueError(f'{entry.depth_path} must have one channel')
            depth = counts.astype(np.float32) * np.float32(entry.depth_unit)
        return Frame(entry.stamp, np.ascontiguousarray(image[..., ::-1]), entry.camera,
                     entry.T_world_camera, depth)


def load_folder(path, rate=30.0, scale=1.0):
    """Return the FrameFolder of a folder, or of a transforms.json.

    A folder with an intrinsics.json is read as pose files, any other by its transforms.json (see
    layouts, which also says what they contain). rate [Hz]: frames per second where the layout has
    no times. scale: metres per unit of a transforms.json. The poses are turned upright
    (z up, floor at 0) where the folder has a reference occupancy that says how; otherwise the
    world is that of the files. Raises FileNotFoundError or ValueError with what is wrong.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist')
    if not rate > 0 or not scale > 0:
        raise ValueError(f'rate and scale must be positive, are {rate} and {scale}')
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (path / 'intrinsics.json').is_file():
        entries = layouts.read_pose_files(path)
    elif path.is_file() or (path / 'transforms.json').is_file():
        entries = layouts.read_transforms(
            path if path.is_file() else path / 'transforms.json', rate, scale)
    else:
        raise ValueError(
            f'{path} is not a folder of posed images: it needs a transforms.json '
            '(instant-ngp, nerfstudio), or an intrinsics.json with *.pose.txt files (7-Scenes)')
    reference = folder / layouts.GRAVITY_FILE
    if reference.is_file():
        with np.load(reference) as arrays:
            T_up_world = layouts.rigid(arrays['T_gravity_from_world'], reference)
        entries = [
            dataclasses.replace(entry, T_world_camera=T_up_world @ entry.T_world_camera)
            for entry in entries]
    return FrameFolder(entries)


def load_reference(folder):
    """Return the reference occupancy of a folder, in the world of its frames.

    states int8 (nx, ny, nz): 100 occupied, 0 free, -1 unknown; origin (3,) [m], the corner of
    voxel [0, 0, 0]; voxel_size [m]. Raises FileNotFoundError where the folder has none.
    """
    path = Path(folder) / layouts.GRAVITY_FILE
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing: the folder has no reference occupancy')
    with np.load(path) as arrays:
        states = np.full(arrays['occupied'].shape, -1, np.int8)
        states[arrays['free']] = 0
        states[arrays['occupied']] = 100
        return states, arrays['origin'].astype(np.float64), float(arrays['voxel_size'])


def _read(path, flags, camera):
    """Return an image as OpenCV reads it, of the camera's size."""
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing')
    image = cv2.imread(str(path), flags)
    if image is None:
        raise ValueError(f'{path} is not a readable image')
    if image.shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f'{path} is {image.shape[1]} x {image.shape[0]}, but its intrinsics are for '
            f'{camera.width} x {camera.height}')
    return image
