"""Model: the state of a Mapper as one .npz file, without pickle."""
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

from instant_nerf_ros.nerf.arrays import Alpha, Depth, Image, Pose
from instant_nerf_ros.nerf.camera import Camera, check_pose
from instant_nerf_ros.nerf.capture.alpha import keyframe_alpha
from instant_nerf_ros.nerf.capture.validation import check_posed_image
from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.constants import MILLIMETRE
from instant_nerf_ros.nerf.local_frame import LocalFrame
from instant_nerf_ros.nerf.occupancy import grid_state
from instant_nerf_ros.nerf.occupancy.blocks import DENSITY
from instant_nerf_ros.nerf.settings import flatten, replace

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.mapper import Mapper

FORMAT, VERSION = 'instant_nerf_ros model', 4
OLDEST = 2  # version that is read: its voxels are one box instead of blocks
# Settings that must be those of the file.
FIXED = (*(f'field.{name}' for name in (
    'levels', 'log2_table', 'coarsest_cell', 'finest_cell', 'hidden')), 'occupancy.voxel_size')
# Arrays of OccupancyGrid that have other names in the file.
FILE_NAMES = {'density_state': 'voxels', 'misses': 'passes', 'last_keyframe': 'stamps'}


def write(path: Path, mapper: Mapper, trained: bool = True) -> None:
    """Write settings and keyframes of a Mapper and, if trained, field and occupancy grid.

    The moments of Adam are not written: they are twice as large as the field, and a few steps
    restore them.
    """
    keyframes, schedule = mapper.keyframes, mapper.trainer.schedule
    cameras = list(keyframes.cameras)
    about = {
        'format': FORMAT, 'version': VERSION,
        'settings': {name: value for name, _, value in flatten(mapper.config)},
        'steps': mapper.steps, 'unit': mapper.trainer.space.unit,
        'counters': {
            'rays': schedule.rays, 'stride': schedule.stride, 'age': schedule.age},
        'cameras': [dataclasses.asdict(camera) for camera in cameras],
        'keyframes': len(keyframes), 'learnt': trained,
        'local_frame': mapper.measurements.frame.voxels, 'weighted_votes': True,
    }
    poses = mapper.keyframe_poses()
    with zipfile.ZipFile(path, 'w') as archive:
        _put(archive, 'about', np.array(json.dumps(about)))
        if trained and mapper.occupancy is not None:
            for name, tensor in mapper.trainer.field.state().items():
                _put(archive, f'field/{name}', tensor.cpu().numpy())
            for name, array in grid_state.to_arrays(mapper.occupancy).items():
                _put(archive, f'voxels/{FILE_NAMES.get(name, name)}', array,
                     zipfile.ZIP_DEFLATED)  # mostly zeros
            if mapper.trainer.space.unit != 1:
                places, blocks = mapper.trainer.space.blocks(mapper.occupancy)
                _put(archive, 'densities/places', places)
                for name in DENSITY:
                    _put(archive, f'densities/{name}', blocks[name], zipfile.ZIP_DEFLATED)
        for k in range(len(keyframes)):
            camera, image, depth = keyframes.image(k)
            _put(archive, f'keyframes/{k}/camera', np.array(cameras.index(camera)))
            _put(archive, f'keyframes/{k}/T_world_camera', poses[k])
            _put(archive, f'keyframes/{k}/image', image)
            _put(archive, f'keyframes/{k}/depth', depth)
            if (alpha := keyframe_alpha(keyframes, k)) is not None:
                _put(archive, f'keyframes/{k}/alpha', alpha)
            _put(archive, f'keyframes/{k}/draws', np.array(keyframes.ray_counts[k]))
            _put(archive, f'keyframes/{k}/exposure', keyframes.exposure.sums[k])


def read(path: Path, config: Config | None, make: Callable[[Config], Mapper]) -> Mapper:
    """Return make(config) with the content of a file; None: with the settings of the file.

    Raises ValueError if the file is damaged, of another program, or of another kind of field.
    """
    with _value_errors(path), np.load(path, allow_pickle=False) as arrays:
        about = _about(arrays)
        if config is None:
            config = replace(Config(), about['settings'])
        _check_settings(about['settings'], config)
        mapper = make(config)
        if not about['learnt']:
            for camera, pose, image, depth, alpha, *_ in _keyframes(about, arrays):
                check_posed_image(image, camera, depth, alpha)
                mapper.measurements.add_keyframe(
                    image, camera, check_pose(pose), depth, alpha)
            mapper.trainer.data_added()
            return mapper
        state = {name: torch.from_numpy(array)
                 for name, array in _group('field/', arrays).items()}
        if not all(tensor.isfinite().all() for tensor in state.values()):
            raise ValueError('the field has values that are not finite')
        x, y, z = about.get('local_frame', (0, 0, 0))  # older files have none
        frame = LocalFrame((int(x), int(y), int(z)), config.occupancy.voxel_size)
        names = {old: new for new, old in FILE_NAMES.items()}
        voxels = {names.get(name, name): array
                  for name, array in _group('voxels/', arrays).items()}
        if not about.get('weighted_votes'):
            voxels.update(grid_state.weighted(voxels['hits'], voxels['misses']))
        mapper.measurements.restore(
            grid_state.from_arrays(config.occupancy, voxels, mapper.backend, frame))
        unit = float(about.get('unit', 1.0))  # older files have none
        mapper.adaptation.restore(unit)
        mapper.set_config(config)
        if unit != 1:
            densities = _group('densities/', arrays)
            mapper.trainer.space.restore(densities.pop('places'), densities)
        mapper.trainer.load(state)
        counters = about['counters']
        mapper.trainer.restore(
            int(about['steps']), int(counters['rays']), float(counters['stride']),
            int(counters['age']))
        for camera, pose, image, depth, alpha, ray_count, exposure in _keyframes(about, arrays):
            check_posed_image(image, camera, depth, alpha)
            mapper.keyframes.add(
                image, camera, frame.localize(check_pose(pose)), depth, alpha)
            mapper.keyframes.restore(len(mapper.keyframes) - 1, ray_count, exposure)
        mapper.keyframes.exposure.solve()
        mapper.adaptation.see(mapper.keyframes)  # the grid stays as it was
        mapper.set_config(config)
        return mapper


def _put(
    archive: zipfile.ZipFile, name: str, array: NDArray[Any],
    compression: int = zipfile.ZIP_STORED,
) -> None:  # fmt: skip
    """Write an array as a member of an .npz file; by default without compression."""
    entry = zipfile.ZipInfo(f'{name}.npy')
    entry.compress_type = compression
    with archive.open(entry, 'w', force_zip64=True) as file:
        np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


@contextlib.contextmanager
def _value_errors(path: Path) -> Iterator[None]:
    """Convert errors in the content of a file to ValueError."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError,
            zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f'{path} is damaged, or no model of instant_nerf_ros: {error}') from error


def _about(arrays: Any) -> dict[str, Any]:
    """Return the header of a file."""
    if 'about' not in arrays:
        raise ValueError(f'it is no {FORMAT}')
    about: dict[str, Any] = json.loads(str(arrays['about']))
    if about['format'] != FORMAT or not (
            isinstance(about['version'], int) and OLDEST <= about['version'] <= VERSION):
        raise ValueError(
            f"it is a {about['format']} of version {about['version']}, not {FORMAT} {VERSION}")
    return about


def _check_settings(settings: Mapping[str, Any], config: Config) -> None:
    """Raise ValueError unless the fixed settings of a file are those of a Config."""
    for name, _, value in flatten(config):
        if name in FIXED and settings[name] != value:
            raise ValueError(
                f"it was saved with '{name}' = {settings[name]}, here it is {value}")


def _group(prefix: str, arrays: Any) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file whose names begin with a prefix, without the prefix."""
    return {name[len(prefix):]: arrays[name] for name in arrays.files if name.startswith(prefix)}


def _keyframes(
    about: Mapping[str, Any], arrays: Any,
) -> Iterator[tuple[
    Camera, Pose, Image, Depth, Alpha | None, float, NDArray[np.float64],
]]:  # fmt: skip
    """Yield camera, pose, image, depth [m], alpha, ray count and exposure of all keyframes."""
    cameras = [Camera.from_dict(camera) for camera in about['cameras']]
    for k in range(about['keyframes']):
        camera, pose, image, depth, ray_count, exposure = (
            arrays[f'keyframes/{k}/{name}']
            for name in ('camera', 'T_world_camera', 'image', 'depth', 'draws', 'exposure'))
        if not np.isfinite(exposure).all():
            raise ValueError(f'the exposure of keyframe {k} has values that are not finite')
        yield (cameras[int(camera)], pose, image, depth * np.float32(MILLIMETRE),
               arrays.get(f'keyframes/{k}/alpha'), float(ray_count), exposure)
