"""Sources: what a path holds, and its frames, whatever wrote them."""
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.bag_frames import BagFrames
from instant_nerf_ros.data.bags import is_bag
from instant_nerf_ros.data.colmap import find_model, read_colmap
from instant_nerf_ros.data.frames import Frame, FrameFolder, holdout, load_folder
from instant_nerf_ros.data.layouts import REFERENCE_FILE, Entry
from instant_nerf_ros.data.llff import POSES_BOUNDS, read_llff
from instant_nerf_ros.data.masks import with_masks
from instant_nerf_ros.data.parsing import read_json
from instant_nerf_ros.data.phones import is_polycam, is_record3d, read_polycam, read_record3d
from instant_nerf_ros.nerf import Camera, Config, Mapper
from instant_nerf_ros.nerf.capture.alpha import keyframe_alpha
from instant_nerf_ros.nerf.capture.selection import is_far
from instant_nerf_ros.scenes.sessions import is_session, session_mapper

MODEL = 'model.npz'
SPLITS = ('transforms_train.json', ('transforms_test.json', 'transforms_val.json'))
MIN_FRAMES = 8  # with fewer, none is held out
RATE = 30.0  # Hz, of frames without times
MAX_BAG_FRAMES = 600


@dataclasses.dataclass(frozen=True)
class Source:
    """Posed frames, and what is known of them."""

    kind: str  # what they are, in words
    names: list[str]  # of the frames
    cameras: list[Camera]
    poses: NDArray[np.float64]  # T_world_camera (F, 4, 4), in the world and the unit of the files
    read: Callable[[Sequence[int]], Iterator[tuple[int, Frame]]]  # of indices; those readable
    held_out: frozenset[int]  # indices that are not trained on
    metric: bool = False  # the unit is the metre
    level: bool = False  # z is up
    refine: bool = False  # poses of images without depth were not adjusted to the images
    points: NDArray[np.float64] | None = None  # (N, 3) that were triangulated, if any
    config: Config = Config()  # to begin with


def open_source(path: Path) -> Source:
    """Return the Source of posed frames at a path; the folder of photos is for `photos`.

    Raises FileNotFoundError, ImportError or ValueError, with the reason and what is possible.
    """
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist')
    if is_bag(path):
        return _bag(path)
    for folder in (path, path / 'map'):
        if (folder / MODEL).is_file():
            return _keyframes('saved map', Mapper.load(folder), folder)
    if is_session(path):
        return _keyframes('session of a node', session_mapper(path), path)
    if path.is_dir() and (path / SPLITS[0]).is_file():
        return _split_transforms(path)
    if path.is_file() or any(
            (path / name).is_file() for name in ('transforms.json', 'intrinsics.json')):
        return _posed_folder(path)
    if model := find_model(path):
        entries, points = read_colmap(model)
        return of_entries('COLMAP model', entries, points=points)
    if (path / POSES_BOUNDS).is_file():
        entries, points = read_llff(path)
        return of_entries('LLFF photos', entries, points=points)
    if is_polycam(path):
        return of_entries('Polycam recording', read_polycam(path), metric=True, level=True,
                           refine=True)
    if is_record3d(path):
        return of_entries('Record3D recording', read_record3d(path), metric=True, level=True,
                           refine=True)
    raise ValueError(
        f'{path} has no poses and no photos. It may be a folder of photos, a video, a rosbag2, a '
        'saved map, a session of a node, or a folder with transforms.json, transforms_train.json, '
        f'intrinsics.json, {POSES_BOUNDS} or a COLMAP model (sparse/0)')


def is_posed(path: Path) -> bool:
    """Return whether `open_source` accepts a folder, as it has poses."""
    names = 'transforms.json', SPLITS[0], 'intrinsics.json', POSES_BOUNDS, MODEL, f'map/{MODEL}'
    return (path.suffix == '.json' or any((path / name).is_file() for name in names)
            or is_bag(path) or find_model(path) is not None or is_polycam(path)
            or is_record3d(path) or is_session(path))


def without_depth(source: Source) -> Source:
    """Return a Source whose frames have no depth."""
    def read(indices: Sequence[int]) -> Iterator[tuple[int, Frame]]:
        return ((index, dataclasses.replace(frame, depth=None))
                for index, frame in source.read(indices))

    return dataclasses.replace(source, read=read)


def split(count: int) -> frozenset[int]:
    """Return the indices that are held out where the data does not say it: 0, 8, 16, ..."""
    return frozenset(i for i in range(count) if count >= MIN_FRAMES and holdout(i))


def of_entries(
    kind: str, entries: Sequence[Entry], held_out: frozenset[int] | None = None,
    points: NDArray[np.float64] | None = None, metric: bool = False, level: bool = False,
    refine: bool = False,
) -> Source:  # fmt: skip
    """Return the Source of entries; held_out: indices, None: as `split` does."""
    entries = with_masks(entries)
    paths = [str(entry.image_path.resolve()) for entry in entries]
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    return Source(
        kind, [os.path.relpath(path, root) for path in paths], [entry.camera for entry in entries],
        np.array([entry.T_world_camera for entry in entries]),
        FrameFolder(entries, with_alpha=True).readable,
        split(len(entries)) if held_out is None else held_out, metric, level, refine, points)


def _posed_folder(path: Path) -> Source:
    """Return the Source of a transforms.json, or of a folder of pose files."""
    folder = path if path.is_dir() else path.parent
    entries = load_folder(path).entries
    metric = any(entry.depth_path for entry in entries)
    held_out = None
    pose_files = path.is_dir() and (path / 'intrinsics.json').is_file()
    if not pose_files:
        document = read_json(path if path.is_file() else path / 'transforms.json')
        named = [str(name) for key in ('test_filenames', 'val_filenames')
                 for name in document.get(key) or ()]
        chosen = {(folder / name).resolve() for name in named}
        held_out = frozenset(
            i for i, entry in enumerate(entries) if entry.image_path.resolve() in chosen) or None
    return of_entries(
        'posed RGB-D frames' if metric else 'transforms.json', entries, held_out,
        metric=metric or pose_files, refine=metric or pose_files,
        level=(folder / REFERENCE_FILE).is_file())


def _split_transforms(path: Path) -> Source:
    """Return the Source of a set with a file for each split, like NeRF synthetic."""
    train = load_folder(path / SPLITS[0]).entries
    test: Sequence[Entry] = []
    for name in SPLITS[1]:
        if not test and (path / name).is_file():
            test = load_folder(path / name).entries
    entries = [*train, *test]
    held_out = frozenset(range(len(train), len(entries))) if test else None
    return of_entries('transforms_train.json', entries, held_out)


def _bag(path: Path) -> Source:
    """Return the Source of a recording: the images from new viewpoints, with a known pose."""
    bag, config = BagFrames(path), Config()
    stamps, poses = [], np.empty((0, 4, 4))
    unposed = 0
    for stamp, pose in bag.poses():
        if pose is None:
            unposed += 1
        elif is_far(pose, poses, config.keyframes):
            stamps.append(stamp)
            poses = np.concatenate([poses, pose[None]])
    if not stamps:
        raise ValueError(
            f"{path}: TF has no pose of '{bag.frame}' in '{bag.world}' at the time of any of "
            f'{unposed} images')
    every = -(-len(stamps) // MAX_BAG_FRAMES)
    stamps, poses = stamps[::every], poses[::every]

    def read(indices: Sequence[int]) -> Iterator[tuple[int, Frame]]:
        number = {stamps[index]: index for index in indices}
        return ((number[frame.stamp], frame) for frame in bag.read(set(number)))

    return Source('recording of a robot', [str(stamp) for stamp in stamps],
                  [bag.intrinsics] * len(stamps), poses, read, split(len(stamps)), metric=True,
                  level=True, refine=True)


def _keyframes(kind: str, mapper: Mapper, folder: Path) -> Source:
    """Return the Source of the keyframes of a mapper, with its settings."""
    keyframes, poses = mapper.keyframes, mapper.keyframe_poses()
    if not len(keyframes):
        raise ValueError(f'{folder} has no images: the map was made of range scans alone')

    def read(indices: Sequence[int]) -> Iterator[tuple[int, Frame]]:
        for index in indices:
            camera, image, depth = keyframes.image(index)
            yield index, Frame(
                round(index / RATE * 1e9), image, camera, poses[index],
                depth * np.float32(0.001) if depth.any() else None,
                keyframe_alpha(keyframes, index))

    numbers = range(len(keyframes))
    return Source(
        kind, [f'keyframe {k}' for k in numbers],
        [keyframes.image(k)[0] for k in numbers], poses, read,
        split(len(keyframes)), metric=True, level=True, refine=True, config=mapper.config)
