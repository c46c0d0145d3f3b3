"""Folders of posed images: frames in a z-up world, and which of them are held out."""
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data import layouts
from instant_nerf_ros.nerf.camera import Camera

HOLD_OUT_EVERY = 8
# Intrinsics belong to the pixels as they are stored, not as EXIF would rotate them.
COLOR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def holdout(index: int) -> bool:
    """Return whether the frame with this index in order (0, 1, ...) is held out of training."""
    return index % HOLD_OUT_EVERY == 0


@dataclasses.dataclass(frozen=True)
class Frame:
    """A posed image."""

    stamp: int  # ns
    image: NDArray[np.uint8]  # (H, W, 3) RGB
    camera: Camera
    T_world_camera: NDArray[np.float64]  # (4, 4) optical frame to a z-up world [m]
    depth: NDArray[np.float32] | None = None  # (H, W) m along the optical axis, 0: not measured


class FrameFolder:
    """The frames of a folder; images are read from disk on access."""

    def __init__(self, entries: Sequence[layouts.Entry]) -> None:
        """entries: the frames, in order."""
        self.entries = entries

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.entries)

    def __getitem__(self, index: int) -> Frame:
        """Return a Frame.

        Raises IndexError after the last one; FileNotFoundError or ValueError, with the path, if an
        image is missing, unreadable, or not of the size of its camera.
        """
        entry = self.entries[index]
        image = _read_image(entry.image_path, COLOR, entry.camera)
        depth = None
        if entry.depth_path:
            counts = _read_image(entry.depth_path, cv2.IMREAD_UNCHANGED, entry.camera)
            if counts.ndim != 2:
                raise ValueError(f'{entry.depth_path} must have one channel')
            depth = counts.astype(np.float32) * np.float32(entry.depth_unit)
        return Frame(entry.stamp, np.ascontiguousarray(image[..., ::-1]), entry.camera,
                     entry.T_world_camera, depth)


def load_folder(
    path: str | os.PathLike[str], rate: float = 30.0, scale: float = 1.0,
) -> FrameFolder:  # fmt: skip
    """Return the FrameFolder of a folder, or of a transforms.json.

    A folder with an intrinsics.json is read as pose files, any other by its transforms.json (see
    layouts). rate: frames per second, for layouts without times [Hz]. scale: metres per unit of a
    transforms.json. If the folder has a reference occupancy, its transform turns the poses
    upright (z up, floor at 0); otherwise the world is that of the files.
    Raises FileNotFoundError or ValueError, with the reason.
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
    reference = folder / layouts.REFERENCE_FILE
    if reference.is_file():
        with np.load(reference) as arrays:
            T_up_world = layouts.parse_pose(arrays['T_gravity_from_world'], reference)
        entries = [
            dataclasses.replace(entry, T_world_camera=T_up_world @ entry.T_world_camera)
            for entry in entries]
    return FrameFolder(entries)


def load_reference(
    folder: str | os.PathLike[str],
) -> tuple[NDArray[np.int8], NDArray[np.float64], float]:  # fmt: skip
    """Return states, origin and voxel size of the reference occupancy of a folder.

    states (nx, ny, nz): 100 occupied, 0 free, -1 unknown; origin (3,) [m], the corner of voxel
    [0, 0, 0] in the world of the frames; voxel size [m].
    Raises FileNotFoundError if there is none.
    """
    path = Path(folder) / layouts.REFERENCE_FILE
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing: the folder has no reference occupancy')
    with np.load(path) as arrays:
        states = np.full(arrays['occupied'].shape, -1, np.int8)
        states[arrays['free']] = 0
        states[arrays['occupied']] = 100
        return states, arrays['origin'].astype(np.float64), float(arrays['voxel_size'])


def _read_image(path: Path, flags: int, camera: Camera) -> NDArray[np.generic]:
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
