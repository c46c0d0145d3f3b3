"""Images that are used, and training, while another process takes one of two cores."""
import collections
import os
import statistics
import time

import numpy as np
from report import Table, spread

from instant_nerf_ros.nerf import Camera, Config, Mapper, replace
from instant_nerf_ros.nerf.warm_up import warm_up
from instant_nerf_ros.ros.duty_cycle import DutyCycle
from instant_nerf_ros.ros.inputs.keyframe_feeder import MAX_WAITING
from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.tour import Tour

RATE = 5.0  # Hz
SIZE = (640, 480), (320, 240)  # pixels
SETTINGS = {'device': 'cpu', 'keyframes.min_translation': 0.0, 'keyframes.held_out_every': 0}


def measure(options):
    """Return the table of what the engine does on one core.

    All times are those of the processor, so that other processes do not matter. The loop is that
    of the training thread, without ROS.
    """
    cores = os.sched_getaffinity(0)
    warm_up('cpu', Config().field)
    os.sched_setaffinity(0, {max(cores)})  # the threads of the engine share it
    try:
        rows = [_row(size, with_depth, options.seconds)
                for with_depth in (False, True) for size in SIZE]
    finally:
        os.sched_setaffinity(0, cores)
    return [Table(
        ['camera, 5 Hz, one core', 'images', 'used', 'of these without stereo', 'waiting at most',
         'steps/s', 'share of training [%]', 'image to keyframe [ms]'], rows)]


def _row(size, with_depth, seconds):
    frames = list(_frames(size, int(RATE * seconds)))
    mapper = Mapper(replace(Config(), SETTINGS))
    duty_cycle, waiting = DutyCycle(time.process_time), collections.deque()
    trained, hurried, longest, delays, begin = 0.0, 0, 0, [], time.process_time()

    def feed():
        nonlocal hurried
        k = waiting.popleft()
        image, camera, pose, depth = frames[k]
        hurry = len(waiting) > MAX_WAITING
        mapper.add(image, camera, pose, depth if with_depth else None, hurry=hurry)
        hurried += hurry
        delays.append(time.process_time() - begin - k / RATE)

    arrived = 0
    while (now := time.process_time() - begin) < seconds:
        while arrived < len(frames) and arrived / RATE <= now:
            waiting.append(arrived)
            arrived += 1
        longest = max(longest, len(waiting))
        if waiting and (duty_cycle.images_due() or not mapper.keyframe_count):
            duty_cycle.take_images(feed)
        before = time.process_time()
        duty_cycle.step(mapper, 1.0)
        trained += time.process_time() - before
    return [f"{'RGB-D' if with_depth else 'RGB'}, {size[0]} x {size[1]}", arrived,
            mapper.keyframe_count, hurried, longest, mapper.steps / seconds,
            100 * trained / seconds, spread(np.multiply(1e3, [
                min(delays), statistics.median(delays), max(delays)]))]


def _frames(size, count):
    width, height = size
    camera = Camera(width, height, 0.7 * width, 0.7 * width, (width - 1) / 2, (height - 1) / 2)
    flat, tour = Flat(), Tour()
    for k in range(count):
        pose = tour.T_world_camera(k / RATE % tour.duration)
        image, depth = flat.render(camera, pose)
        yield image, camera, pose, depth
