"""Defaults in scenes of other sizes than a room, beside lengths that are set by hand."""
import dataclasses

import numpy as np
from datasets import Scene, load
from report import Table

from instant_nerf_ros.data.metrics import psnr
from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.bounds import scene_bounds
from instant_nerf_ros.nerf.settings import flatten

STEPS = 600  # of training, after the last image
SCALES = {'small': 0.08, 'flat': 1.0, 'hall': 8.0}  # of the simulated flat
POSES = {'keyframes.min_translation': 0.0, 'keyframes.min_rotation': 0.0, 'motion.align': False,
         'keyframes.held_out_every': 0}  # all images, with the given poses
ROOM = {'sampling.near': 0.2, 'sampling.far': 10.0}


def measure(options):
    """Return the table of views with the defaults and with other settings."""
    flat, wrist = load('flat', with_depth=False), load('wrist', with_depth=False)
    scenes = [(name, _scaled(flat, scale), _lengths(scale)) for name, scale in SCALES.items()]
    if wrist is not None:
        scenes.append(('wrist camera', wrist, _bounds(wrist)))
    rows = []
    for name, scene, by_hand in scenes:
        quality = [_quality(scene, settings) for settings in (ROOM, {}, by_hand)]
        rows.append([name, *quality])
    return [Table(['scene', 'near and far of a room [dB]', 'defaults [dB]', 'by hand [dB]'],
                  rows)]


def _scaled(scene, scale):
    """Return a scene whose lengths are multiplied."""
    def scaled(frame):
        pose = frame.T_world_camera.copy()
        pose[:3, 3] *= scale
        return dataclasses.replace(frame, T_world_camera=pose)
    return Scene(scene.name, False, *(list(map(scaled, frames))
                                      for frames in (scene.train, scene.held_out)))


def _lengths(scale):
    """Return all lengths of the defaults at another scale, as far as their limits allow."""
    lengths = {name: (default, field.metadata) for name, field, default in flatten(Config())
               if name.startswith(('field.', 'occupancy.', 'sampling.'))
               and '[m]' in field.metadata['description']}
    return {name: float(np.clip(
        scale * (ROOM.get(name) or default), limits['low'], limits['high']))
        for name, (default, limits) in lengths.items()}


def _bounds(scene):
    """Return the settings that follow from all images of a scene before it is mapped."""
    frames = scene.train
    return scene_bounds(*([getattr(frame, name) for frame in frames] for name in (
        'image', 'camera', 'T_world_camera'))).settings()


def _quality(scene, settings):
    """Return the mean PSNR of the held-out views [dB] after training."""
    mapper = Mapper(replace(Config(), {**POSES, **settings}))
    for frame in scene.train:
        mapper.add(frame.image, frame.camera, frame.T_world_camera)
    for _ in range(STEPS):
        mapper.step()
    return float(np.mean([psnr(mapper.render(frame.camera, frame.T_world_camera).color,
                               frame.image) for frame in scene.held_out]))
