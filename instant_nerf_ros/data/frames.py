"""Folders of posed images: frames in a z-up world, and which of them are held out."""
import dataclasses
import os
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.images import read_color, read_color_alpha, read_depth
from instant_nerf_ros.data.layouts import REFERENCE_FILE, Entry, read_pose_files
from instant_nerf_ros.data.masks import masked_alpha, read_mask
from instant_nerf_ros.data.parsing import enumeration, parse_pose
from instant_nerf_ros.data.transforms import read_transforms
from instant_nerf_ros.nerf.angular_velocity import angular_velocity
from instant_nerf_ros.nerf.camera import Camera

HOLD_OUT_EVERY = 8
MAX_SECONDS = 0.5  # between two frames whose poses say how fast the camera turned
MASK_WARNING = (  # without the name of a file, so that it is given once for a folder
    'there are masks: only depth is masked, masked colors are trained like the others')


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
    # (H, W), MASKED_ALPHA where a mask covers it; None: opaque, or not wanted
    alpha: NDArray[np.uint8] | None = None
    angular_velocity: NDArray[np.float64] | None = None  # (3,) rad/s in the frame of the camera


class FrameFolder:
    """The frames of a folder; images are read from disk on access.

    Iteration yields the frames that can be read; a warning names and counts the others.
    """

    def __init__(self, entries: Sequence[Entry], with_alpha: bool = False) -> None:
        """entries: the frames, in order. Without alpha, it and masks are warned of."""
        self.entries, self._with_alpha = entries, with_alpha

    def __len__(self) -> int:
        """Return the number of frames, including those whose files turn out to be unreadable."""
        return len(self.entries)

    def __getitem__(self, index: int) -> Frame:
        """Return a Frame.

        Raises IndexError after the last one; FileNotFoundError or ValueError, with the path, if an
        image is missing, unreadable, or not of the shape of its camera.
        """
        entry = self.entries[index]
        alpha = None
        if self._with_alpha:
            image, alpha = read_color_alpha(entry.image_path, entry.camera)
        else:
            image = read_color(entry.image_path, entry.camera)
        depth = None
        if entry.depth_path:
            depth = read_depth(
                entry.depth_path, entry.camera, entry.depth_unit, entry.depth_float_unit)
        size = entry.camera.width, entry.camera.height
        masked = read_mask(entry.mask_path, size) if entry.mask_path else None
        if masked is not None and depth is not None:
            depth[masked] = 0.0
        if self._with_alpha:
            alpha = masked_alpha(alpha, masked)
        elif masked is not None and masked.any():
            warnings.warn(f'{entry.image_path.parent}: {MASK_WARNING}', stacklevel=2)
        return Frame(entry.stamp, image, entry.camera, entry.T_world_camera, depth, alpha,
                     self._angular_velocity(index))

    def _angular_velocity(self, index: int) -> NDArray[np.float64] | None:
        """Return that of a camera between the frames before and after, if they are near."""
        around = self.entries[max(index - 1, 0) : index + 2]
        before, after = around[0], around[-1]
        seconds = (after.stamp - before.stamp) * 1e-9
        if not 0 < seconds < MAX_SECONDS:
            return None
        return angular_velocity(before.T_world_camera, after.T_world_camera, seconds)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames that can be read; see `readable`."""
        return (frame for _, frame in self.readable(range(len(self))))

    def without_depth(self) -> 'FrameFolder':
        """Return the frames without their depth images, which are not read."""
        return FrameFolder(
            [dataclasses.replace(entry, depth_path=None) for entry in self.entries],
            self._with_alpha)

    def readable(self, indices: Iterable[int]) -> Iterator[tuple[int, Frame]]:
        """Yield (index, Frame) of all that can be read; one warning names and counts the others.

        Raises ValueError if there are indices, but none of their frames can be read.
        """
        count, unreadable = 0, []
        for index in indices:
            try:
                frame = self[index]
            except (ValueError, OSError) as error:
                unreadable.append(str(error))
                continue
            count += 1
            yield index, frame
        if unreadable and not count:
            raise ValueError(
                f'none of {len(unreadable)} frames can be read: {enumeration(unreadable)}')
        if unreadable:
            warnings.warn(
                f'{len(unreadable)} of {count + len(unreadable)} frames cannot be read and are '
                f'left out: {enumeration(unreadable)}', stacklevel=3)


def load_folder(
    path: str | os.PathLike[str], rate: float = 30.0, scale: float = 1.0,
) -> FrameFolder:  # fmt: skip
    """Return the FrameFolder of a folder, or of a transforms.json.

    A folder with an intrinsics.json is read as pose files, any other by its transforms.json (see
    layouts and transforms). rate: frames per second, for layouts without times [Hz]. scale: metres
    per unit of a transforms.json. If the folder has a reference occupancy, its transform turns the
    poses upright (z up, floor at 0); otherwise the world is that of the files. A warning names and
    counts the frames that cannot be used.
    Raises FileNotFoundError or ValueError, with the reason.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist')
    if not rate > 0 or not scale > 0:
        raise ValueError(f'rate and scale must be positive, are {rate} and {scale}')
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (path / 'intrinsics.json').is_file():
        entries = read_pose_files(path)
    elif path.is_file() or (path / 'transforms.json').is_file():
        entries = read_transforms(
            path if path.is_file() else path / 'transforms.json', rate, scale)
    else:
        raise ValueError(
            f'{path} is not a folder of posed images: it needs a transforms.json '
            '(instant-ngp, nerfstudio), or an intrinsics.json with *.pose.txt files (7-Scenes)')
    reference = folder / REFERENCE_FILE
    if reference.is_file():
        try:
            with np.load(reference) as arrays:
                T_up_world = parse_pose(arrays['T_gravity_from_world'], reference)
        except (KeyError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f'{reference} cannot be read: {error}') from None
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
    path = Path(folder) / REFERENCE_FILE
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing: the folder has no reference occupancy')
    with np.load(path) as arrays:
        states = np.full(arrays['occupied'].shape, -1, np.int8)
        states[arrays['free']] = 0
        states[arrays['occupied']] = 100
        return states, arrays['origin'].astype(np.float64), float(arrays['voxel_size'])
