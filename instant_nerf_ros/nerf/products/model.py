"""Model: all that a Mapper has learnt, as one .npz file without pickle."""
import contextlib
import dataclasses
import json
import zipfile
import zlib

import numpy as np
import torch

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.capture.keyframes import MILLIMETRE, checked
from instant_nerf_ros.nerf.occupancy.occupancy_grid import Occupancy
from instant_nerf_ros.nerf.settings import flatten, replace

FORMAT, VERSION = 'instant_nerf_ros model', 2
BOUND = 'field.', 'occupancy.voxel_size'  # settings without which it cannot be loaded
COUNTERS = 'rays', 'stride', 'age'  # of the schedule: how far the training is


def write(path, mapper, learnt=True):
    """Write settings and keyframes of a Mapper and, unless they are lost, field and voxels.

    Adam's moments are left out: they would triple the field, and soon are what they were.
    """
    store = mapper.keyframes
    cameras = list(store.cameras)
    about = {
        'format': FORMAT, 'version': VERSION,
        'settings': {name: value for name, _, value in flatten(mapper.config)},
        'steps': mapper.steps,
        'counters': {name: getattr(mapper.schedule, name) for name in COUNTERS},
        'cameras': [dataclasses.asdict(camera) for camera in cameras],
        'keyframes': len(store), 'learnt': learnt,
    }
    with zipfile.ZipFile(path, 'w') as archive:
        _put(archive, 'about', np.array(json.dumps(about)))
        if learnt:
            for name, tensor in mapper.field.state().items():
                _put(archive, f'field/{name}', tensor.cpu().numpy())
            for name, array in mapper.occupancy.state().items():
                _put(archive, f'voxels/{name}', array, zipfile.ZIP_DEFLATED)  # mostly zeros
        for k in range(len(store)):
            camera, image, depth = store.image(k)
            _put(archive, f'keyframes/{k}/camera', np.array(cameras.index(camera)))
            _put(archive, f'keyframes/{k}/T_world_camera', store.T_world_camera[k])
            _put(archive, f'keyframes/{k}/image', image)
            _put(archive, f'keyframes/{k}/depth', depth)
            _put(archive, f'keyframes/{k}/draws', store.draws[k])
            _put(archive, f'keyframes/{k}/exposure', store.exposure.sums[k])


def read(path, config, make):
    """Return make(config), a Mapper, with what was written; config None: with its settings.

    Raises ValueError if the file is damaged, foreign, or from other settings of the field.
    """
    with _understood(path), np.load(path, allow_pickle=False) as arrays:
        about = _about(arrays)
        saved = replace(Config(), about['settings']) if config is None else config
        _compare(about['settings'], saved)
        mapper = make(saved)
        if not about['learnt']:
            for camera, pose, image, depth, *_ in _keyframes(about, arrays):
                mapper.add(image, camera, pose, depth)
            return mapper
        mapper.occupancy = Occupancy.restored(
            saved.occupancy, _below('voxels/', arrays), mapper.engine)
        _read_keyframes(mapper.keyframes, about, arrays)
        state = {name: torch.from_numpy(array)
                 for name, array in _below('field/', arrays).items()}
        if not all(tensor.isfinite().all() for tensor in state.values()):
            raise ValueError('the field has values that are no numbers')
        mapper.field.load(state)
        mapper.steps = int(about['steps'])
        for name in COUNTERS:
            kind = type(getattr(mapper.schedule, name))
            setattr(mapper.schedule, name, kind(about['counters'][name]))
        return mapper


def _put(archive, name, array, compression=zipfile.ZIP_STORED):
    """Write an array as a member of an .npz; ndarrays of floats would not shrink."""
    entry = zipfile.ZipInfo(f'{name}.npy')
    entry.compress_type = compression
    with archive.open(entry, 'w', force_zip64=True) as file:
        np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


@contextlib.contextmanager
def _understood(path):
    """Turn what goes wrong with the content of a file into a ValueError."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError,
            zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f'{path} is damaged, or not of here: {error}') from error


def _about(arrays):
    if 'about' not in arrays:
        raise ValueError(f'it is no {FORMAT}')
    about = json.loads(str(arrays['about']))
    if about['format'] != FORMAT or about['version'] != VERSION:
        raise ValueError(
            f"it is a {about['format']} of version {about['version']}, not {FORMAT} {VERSION}")
    return about


def _compare(settings, config):
    for name, _, value in flatten(config):
        if name.startswith(BOUND) and settings[name] != value:
            raise ValueError(
                f"it was saved with '{name}' = {settings[name]}, here it is {value}")


def _below(prefix, arrays):
    return {name[len(prefix):]: arrays[name] for name in arrays.files if name.startswith(prefix)}


def _keyframes(about, arrays):
    """Yield camera, pose, image, depth in metres, draws and exposure of all keyframes."""
    cameras = [
        Camera(**{**camera, 'distortion': tuple(camera['distortion'])})
        for camera in about['cameras']]
    for k in range(about['keyframes']):
        camera, pose, image, depth, draws, exposure = (
            arrays[f'keyframes/{k}/{name}']
            for name in ('camera', 'T_world_camera', 'image', 'depth', 'draws', 'exposure'))
        if not np.isfinite(exposure).all():
            raise ValueError(f'the exposure of keyframe {k} has values that are no numbers')
        yield (cameras[int(camera)], pose, image, depth * np.float32(MILLIMETRE), float(draws),
               exposure)


def _read_keyframes(keyframes, about, arrays):
    for camera, pose, image, depth, draws, exposure in _keyframes(about, arrays):
        keyframes.add(image, camera, checked(image, camera, pose, depth), depth)
        keyframes.draws[-1] = draws
        keyframes.exposure.sums[-1] = exposure
    keyframes.exposure.solve()
