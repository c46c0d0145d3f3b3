"""Model: all that a Mapper has learned, as one .npz file without pickle."""
from __future__ import annotations

import contextlib
import dataclasses
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Depth, Image, Pose
from instant_nerf_ros.nerf.camera import Camera, check_pose
from instant_nerf_ros.nerf.capture.keyframes import check_posed_image
from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.constants import MILLIMETRE
from instant_nerf_ros.nerf.local_frame import LocalFrame
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.settings import flatten, replace

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.mapper import Mapper

FORMAT, VERSION = 'instant_nerf_ros model', 2
BOUND = 'field.', 'occupancy.voxel_size'  # settings that must be the same to load it
# Names in the file of what has another name in OccupancyGrid.
VOXEL_NAMES = {'density_state': 'voxels', 'misses': 'passes', 'last_keyframe': 'stamps'}


def write(path: Path, mapper: Mapper, trained: bool = True) -> None:
    """Write settings and keyframes of a Mapper and, if trained, field and occupancy grid.

    The moments of Adam are left out: they would triple the field, and are soon the same again.
    """
    keyframes, schedule = mapper.keyframes, mapper.trainer.schedule
    cameras = list(keyframes.cameras)
    about = {
        'format': FORMAT, 'version': VERSION,
        'settings': {name: value for name, _, value in flatten(mapper.config)},
        'steps': mapper.steps,
        'counters': {
            'rays': schedule.rays, 'stride': schedule.stride, 'age': schedule.age},
        'cameras': [dataclasses.asdict(camera) for camera in cameras],
        'keyframes': len(keyframes), 'learnt': trained, 'local_frame': mapper.frame.voxels,
    }
    poses = mapper.keyframe_poses()
    with zipfile.ZipFile(path, 'w') as archive:
        _put(archive, 'about', np.array(json.dumps(about)))
        if trained and mapper.occupancy is not None:
            for name, tensor in mapper.field.state().items():
                _put(archive, f'field/{name}', tensor.cpu().numpy())
            for name, array in mapper.occupancy.state_dict().items():
                name = VOXEL_NAMES.get(name, name)
                _put(archive, f'voxels/{name}', array, zipfile.ZIP_DEFLATED)  # mostly zeros
        for k in range(len(keyframes)):
            camera, image, depth = keyframes.image(k)
            _put(archive, f'keyframes/{k}/camera', np.array(cameras.index(camera)))
            _put(archive, f'keyframes/{k}/T_world_camera', poses[k])
            _put(archive, f'keyframes/{k}/image', image)
            _put(archive, f'keyframes/{k}/depth', depth)
            _put(archive, f'keyframes/{k}/draws', np.array(keyframes.ray_counts[k]))
            _put(archive, f'keyframes/{k}/exposure', keyframes.exposure.sums[k])


def read(path: Path, config: Config | None, make: Callable[[Config], Mapper]) -> Mapper:
    """Return make(config) with the content of a file; config None: with the settings of the file.

    Raises ValueError if the file is damaged, of another program, or of another kind of field.
    """
    with _value_errors(path), np.load(path, allow_pickle=False) as arrays:
        about = _about(arrays)
        saved = replace(Config(), about['settings']) if config is None else config
        _compare(about['settings'], saved)
        mapper = make(saved)
        if not about['learnt']:
            for camera, pose, image, depth, *_ in _keyframes(about, arrays):
                mapper.add(image, camera, pose, depth)
            return mapper
        state = {name: torch.from_numpy(array)
                 for name, array in _below('field/', arrays).items()}
        if not all(tensor.isfinite().all() for tensor in state.values()):
            raise ValueError('the field has values that are no numbers')
        x, y, z = about.get('local_frame', (0, 0, 0))  # older files have none
        frame = LocalFrame((int(x), int(y), int(z)), saved.occupancy.voxel_size)
        names = {old: new for new, old in VOXEL_NAMES.items()}
        voxels = {names.get(name, name): array
                  for name, array in _below('voxels/', arrays).items()}
        occupancy = OccupancyGrid.from_state_dict(
            saved.occupancy, voxels, mapper.backend, frame)
        mapper.restore(occupancy, state, int(about['steps']), about['counters'])
        for camera, pose, image, depth, ray_count, exposure in _keyframes(about, arrays):
            check_posed_image(image, camera, depth)
            pose = frame.localize(check_pose(pose))
            mapper.keyframes.add(image, camera, pose, depth)
            mapper.keyframes.restore(len(mapper.keyframes) - 1, ray_count, exposure)
        mapper.keyframes.exposure.solve()
        return mapper


def _put(
    archive: zipfile.ZipFile, name: str, array: NDArray[Any],
    compression: int = zipfile.ZIP_STORED,
) -> None:  # fmt: skip
    """Write an array as a member of an .npz; floats are not compressible."""
    entry = zipfile.ZipInfo(f'{name}.npy')
    entry.compress_type = compression
    with archive.open(entry, 'w', force_zip64=True) as file:
        np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


@contextlib.contextmanager
def _value_errors(path: Path) -> Iterator[None]:
    """Turn errors in the content of a file into a ValueError."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError,
            zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f'{path} is damaged, or no model of instant_nerf_ros: {error}') from error


def _about(arrays: Any) -> dict[str, Any]:
    if 'about' not in arrays:
        raise ValueError(f'it is no {FORMAT}')
    about: dict[str, Any] = json.loads(str(arrays['about']))
    if about['format'] != FORMAT or about['version'] != VERSION:
        raise ValueError(
            f"it is a {about['format']} of version {about['version']}, not {FORMAT} {VERSION}")
    return about


def _compare(settings: Mapping[str, Any], config: Config) -> None:
    for name, _, value in flatten(config):
        if name.startswith(BOUND) and settings[name] != value:
            raise ValueError(
                f"it was saved with '{name}' = {settings[name]}, here it is {value}")


def _below(prefix: str, arrays: Any) -> dict[str, NDArray[Any]]:
    return {name[len(prefix):]: arrays[name] for name in arrays.files if name.startswith(prefix)}


def _keyframes(
    about: Mapping[str, Any], arrays: Any,
) -> Iterator[tuple[Camera, Pose, Image, Depth, float, NDArray[np.float64]]]:  # fmt: skip
    """Yield camera, pose, image, depth [m], ray count and exposure of all keyframes."""
    cameras = [
        Camera(**{**camera, 'distortion': tuple(camera['distortion'])})
        for camera in about['cameras']]
    for k in range(about['keyframes']):
        camera, pose, image, depth, ray_count, exposure = (
            arrays[f'keyframes/{k}/{name}']
            for name in ('camera', 'T_world_camera', 'image', 'depth', 'draws', 'exposure'))
        if not np.isfinite(exposure).all():
            raise ValueError(f'the exposure of keyframe {k} has values that are no numbers')
        yield (cameras[int(camera)], pose, image, depth * np.float32(MILLIMETRE), float(ray_count),
               exposure)
