"""Quality of `fit` with its defaults over time, beside nerfstudio's field on the same images."""
import tempfile
from pathlib import Path

import numpy as np
from cache import CACHE
from datasets import DATA
from environments import interpreter, run_script
from object_scene import write
from peers import ALONE, COMPLETE
from report import Table, spread

from instant_nerf_ros.scenes import Scene, evaluate, fit
from instant_nerf_ros.scenes.evaluation import reference

RECORDED = 'fox', 'wrist', 'kitchen'


def measure(options):
    """Return the table of held-out PSNR by data and seconds of training."""
    rows = []
    for name, folder in _data().items():
        for mark in options.marks:
            with tempfile.TemporaryDirectory() as out:
                scenes = [
                    fit(folder, Path(out) / f'{seed}', seconds=mark, settings={'seed': seed})
                    for seed in range(options.seeds)]
            theirs = run_script(
                interpreter('.peer-venv', COMPLETE, ('--no-deps', *ALONE)),
                'nerfstudio_training.py', _request(scenes[0], mark))
            rows.append([
                name, mark, spread([evaluate(scene).mean('psnr') for scene in scenes]),
                spread([scene.mapper.steps for scene in scenes]), theirs['psnr'],
                theirs['steps']])
    return [Table(['data', 'training [s]', 'PSNR [dB]', 'steps', "nerfstudio's field [dB]",
                   'its steps'], rows)]


def _data():
    """Return {name: folder} of what is there, and of the object, which is rendered once."""
    folder = CACHE / 'object'
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=CACHE) as part:
            write(Path(part) / 'object')
            (Path(part) / 'object').rename(folder)
    return {'object': folder, **{
        name: DATA / name for name in RECORDED if (DATA / name).is_dir()}}


def _request(scene: Scene, seconds: float):
    """Return what the peer needs: images over white, rays, bounds, as our training has them."""
    def views(frames):
        return [(reference(frame), frame.camera.directions().astype(np.float32),
                 scene.mapper.measurements.frame.localize(frame.T_world_camera))
                for frame in frames]
    sampling = scene.mapper.trainer.config.sampling
    grid = scene.mapper.occupancy
    return {
        'train': views(scene.training_frames().values()), 'seconds': seconds,
        'held_out': views(scene.held_out.values()), 'near': sampling.near, 'far': sampling.far,
        'low': grid.corner, 'high': grid.corner + np.array(grid.shape) * grid.voxel_size,
        'white': any(frame.alpha is not None for frame in scene.held_out.values())}
