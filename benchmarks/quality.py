"""Quality of held-out views over training time, and what is lost by mapping online."""
import time

import numpy as np
from datasets import load
from report import Table, spread

from instant_nerf_ros.data.metrics import depth_errors, psnr

SCENES = ('fox', False), ('kitchen', False), ('kitchen', True)


def evaluate(mapper, frames):
    """Return mean PSNR [dB] and mean depth error [cm] (None without depth) of held-out frames."""
    views = [mapper.render(frame.camera, frame.T_world_camera) for frame in frames]
    quality = np.mean([psnr(view.color, frame.image) for view, frame in zip(views, frames)])
    errors = [depth_errors(view.depth, frame.depth)
              for view, frame in zip(views, frames) if frame.depth is not None]
    return quality, 100 * np.concatenate(errors).mean() if errors else None


def measure(options):
    """Return the table of quality over training time: the wall clock of add and step."""
    rows = []
    for scene in filter(None, (load(*arguments) for arguments in SCENES)):
        scene.trained()  # compiles
        runs = [list(_train(scene, seed, options.marks)) for seed in range(options.seeds)]
        rows += [[scene.title, mark, *_columns(figures)]
                 for mark, *figures in zip(options.marks, *runs)]
    return [Table(['scene', 'training [s]', 'PSNR [dB]', 'depth L1 [cm]'], rows)]


def measure_online(options):
    """Return the table of images at the recorded rate against all images from the start."""
    rows = []
    for with_depth in (False, True):
        scene = load('kitchen', with_depth)
        if scene is None:
            break
        scene.trained()  # compiles
        runs = []
        for seed in range(options.seeds):
            online, seconds = drive(scene, seed)
            runs.append([*evaluate(online, scene.held_out),
                         *next(_train(scene, seed, [seconds]))])
        online, online_depth, offline, offline_depth = zip(*runs)
        rows.append([
            scene.title, seconds, spread(online), spread(offline),
            spread(np.subtract(online, offline)), spread(online_depth), spread(offline_depth)])
    return [Table(['scene', 'drive [s]', 'PSNR online [dB]', 'offline [dB]', 'difference [dB]',
                   'depth L1 online [cm]', 'offline [cm]'], rows)]


def drive(scene, seed):
    """Return a mapper that received the images at their recorded times, and the seconds."""
    mapper, begin = scene.mapper(seed), time.monotonic()
    for frame in scene.train:
        due = begin + (frame.stamp - scene.train[0].stamp) / 1e9
        while time.monotonic() < due:
            mapper.step()
        scene.add(frame, mapper)
    return mapper, time.monotonic() - begin


def _train(scene, seed, marks):
    """Yield the quality at each mark [s]."""
    mapper, trained = scene.mapper(seed), 0.0
    begin = time.monotonic()
    for frame in scene.train:
        scene.add(frame, mapper)
    for mark in marks:
        while trained + time.monotonic() - begin < mark:
            mapper.step()
        trained += time.monotonic() - begin
        yield evaluate(mapper, scene.held_out)
        begin = time.monotonic()


def _columns(figures):
    quality, depth = zip(*figures)
    return spread(quality), None if depth[0] is None else spread(depth)
