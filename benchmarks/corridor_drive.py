"""Worker: a robot drives through the wings of a building, which lie far apart."""
import functools
import json
import math
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from cache import cached, key
from updates import resident
from workers import serve

from instant_nerf_ros import simulation
from instant_nerf_ros.data.metrics import psnr
from instant_nerf_ros.nerf import Camera, Config, Mapper, replace
from instant_nerf_ros.nerf.capture.validation import to_millimetres
from instant_nerf_ros.nerf.constants import MILLIMETRE
from instant_nerf_ros.nerf.occupancy import lattice
from instant_nerf_ros.simulation.generator import generate
from instant_nerf_ros.simulation.recording import Recording
from instant_nerf_ros.simulation.route import survey

SEED = 21  # of the building
WINGS = 4  # that look alike
PITCH = np.array([160.0, 160.0, 0.0])  # m, between the wings
CAMERA = Camera(240, 180, 172.0, 172.0, 119.5, 89.5)
TRANSLATION, ROTATION = 0.7, math.radians(50.0)  # between two images
TEST_EVERY = 30  # of these, one is not shown to the mapper
VIEW = Camera(120, 90, 86.0, 86.0, 59.5, 44.5)
STEPS = 8  # of training for each image
CONFIG = {'keyframes.budget_mb': 96, 'keyframes.held_out_every': 0}
REPEATS = 5  # of a query


def recorded():
    """Return the images, depths [mm] and poses in a building, and the way through it [m]."""
    def record():
        building = generate('corridor', SEED)
        route = survey(building)
        frames = [capture.frame for capture in Recording(building, route, CAMERA).captures(
            TRANSLATION, ROTATION)]
        return ([(frame.image, to_millimetres(frame.depth), frame.T_world_camera)
                 for frame in frames],
                float(np.hypot(*np.diff(route.positions, axis=0).T).sum()))
    arguments = SEED, CAMERA, TRANSLATION, ROTATION
    sources = Path(simulation.__file__).parent.glob('*.py')
    return cached(key('corridor', arguments, sources), record)


def wing(number):
    """Return the images, depths [mm] and poses of a wing, and the way through it [m]."""
    frames, way = recorded()
    shift = np.eye(4)
    shift[:3, 3] = number * PITCH
    return [(image, depth, shift @ pose) for image, depth, pose in frames], way


def milliseconds(query, before=lambda: None):
    """Return the median time of a query [ms], before which something else is done each time."""
    times = []
    for _ in range(REPEATS):
        before()
        begin = time.perf_counter()
        query()
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


def quality(mapper, frames):
    """Return the mean PSNR [dB] of views that the mapper was not shown."""
    return float(np.mean([psnr(mapper.render(CAMERA, pose).color, image)
                          for image, _, pose in frames]))


def state_at(occupancy, position):
    """Return the state of the voxel at a position (3,) [m, world]."""
    index = np.floor((position - occupancy.world_corner) / occupancy.voxel_size).astype(int)
    return occupancy.states(lattice.slices(index, index + 1))[0, 0, 0]


def query_times(mapper, first, frame):
    """Return the times of queries [ms] at a pose in the first wing and at a frame, by name."""
    image, depth, this = frame
    depth = depth * np.float32(MILLIMETRE)
    return {
        'a voxel [ms]': milliseconds(lambda: state_at(mapper.occupancy, first[:3, 3])),
        'the map, after another image [ms]': milliseconds(
            mapper.map, lambda: mapper.integrate_depth(image, CAMERA, this, depth)),
        'a view of the first wing [ms]': milliseconds(lambda: mapper.render(VIEW, first)),
        'a view of this wing [ms]': milliseconds(lambda: mapper.render(VIEW, this))}


@functools.cache
def drive(steps=STEPS, wings=WINGS, **settings):
    """Return the figures after each wing."""
    mapper = Mapper(replace(Config(), {**CONFIG, **settings}))
    results, way, tests = [], 0.0, []
    for number in range(wings):
        frames, length = wing(number)
        tests.append(frames[TEST_EVERY // 2 :: TEST_EVERY])
        way += length
        for count, (image, depth, pose) in enumerate(frames):
            if count % TEST_EVERY != TEST_EVERY // 2:
                mapper.add(image, CAMERA, pose, depth * np.float32(MILLIMETRE))
                for _ in range(steps):
                    mapper.step()
        del frames
        places = mapper.keyframe_poses()[:, :3, 3]
        owners = np.linalg.norm(
            places[:, None] - np.arange(number + 1)[:, None] * PITCH, axis=-1).argmin(1)
        results.append({
            'way [m]': way, 'resident memory [MB]': resident(),
            'keyframes of the first wing': int((owners == 0).sum()),
            'keyframes of this wing': int((owners == number).sum()),
            'views of the first wing [dB]': quality(mapper, tests[0]),
            'views of this wing [dB]': quality(mapper, tests[-1]),
            **query_times(mapper, tests[0][0][2], tests[-1][-1]),
            'voxels of the grid': float(np.prod(1.0 * np.array(mapper.occupancy.shape)))})
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    return results


if __name__ == '__main__':
    serve(drive)
