"""How good held-out views are after some time of training, and what being online costs."""
import time

import numpy as np
from datasets import load
from report import Table, spread

from instant_nerf_ros.data.metrics import depth_errors, psnr

SCENES = ('fox', False), ('kitchen', False), ('kitchen', True)


def judge(mapper, frames):
    """Return the mean PSNR [dB], and the mean depth error [cm] or None, of held-out frames."""
    views = [mapper.render(frame.camera, frame.T_world_camera) for frame in frames]
    quality = np.mean([psnr(view.color, frame.image) for view, frame in zip(views, frames)])
    errors = [depth_errors(view.depth, frame.depth)
              for view, frame in zip(views, frames) if frame.depth is not None]
    return quality, 100 * np.concatenate(errors).mean() if errors else None


def measure(options):
    """Return the table of quality over time of training: the wall clock of add and step."""
    rows = []
    for scene in filter(None, (load(*arguments) for arguments in SCENES)):
        scene.trained()  # compiles
        runs = [list(_learn(scene, seed, options.marks)) for seed in range(options.seeds)]
        rows += [[scene.title, mark, *_columns(judged)]
                 for mark, *judged in zip(options.marks, *runs)]
    return [Table(['scene', 'training [s]', 'PSNR [dB]', 'depth L1 [cm]'], rows)]


def measure_online(options):
    """Return the table of a drive at recorded speed against all images from the start."""
    rows = []
    for with_depth in (False, True):
        scene = load('kitchen', with_depth)
        if scene is None:
            break
        scene.trained()  # compiles
        runs = []
        for seed in range(options.seeds):
            online, seconds = drive(scene, seed)
            runs.append([*judge(online, scene.held_out),
                         *next(_learn(scene, seed, [seconds]))])
        online, online_depth, offline, offline_depth = zip(*runs)
        rows.append([
            scene.title, seconds, spread(online), spread(offline),
            spread(np.subtract(online, offline)), spread(online_depth), spread(offline_depth)])
    return [Table(['scene', 'drive [s]', 'PSNR online [dB]', 'offline [dB]', 'difference [dB]',
                   'depth L1 online [cm]', 'offline [cm]'], rows)]


def drive(scene, seed):
    """Return a mapper that got the images at their times, and the seconds of that."""
    mapper, begin = scene.mapper(seed), time.monotonic()
    for frame in scene.train:
        due = begin + (frame.stamp - scene.train[0].stamp) / 1e9
        while time.monotonic() < due:
            mapper.step()
        scene.give(frame, mapper)
    return mapper, time.monotonic() - begin


def _learn(scene, seed, marks):
    """Yield how good it is at each mark [s]."""
    mapper, trained = scene.mapper(seed), 0.0
    begin = time.monotonic()
    for frame in scene.train:
        scene.give(frame, mapper)
    for mark in marks:
        while trained + time.monotonic() - begin < mark:
            mapper.step()
        trained += time.monotonic() - begin
        yield judge(mapper, scene.held_out)
        begin = time.monotonic()



def _columns(judged):
    quality, depth = zip(*judged)
    return spread(quality), None if depth[0] is None else spread(depth)
