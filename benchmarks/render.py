"""The time of rendering a view, idle and while training, and the memory of a long session."""
import time

import numpy as np
from datasets import load_rgbd
from report import Table
from workers import Worker

SIZES = (160, 120), (320, 240)
VIEWS = 20  # for each figure


def measure(options):
    """Return the table of render times [ms]."""
    scene = load_rgbd()
    mapper = scene.trained()
    begin = time.monotonic()
    while time.monotonic() - begin < options.seconds:
        mapper.step()
    rows = []
    for size in SIZES:
        _times(mapper, scene, size, 0)  # warm
        idle, _ = _times(mapper, scene, size, 0)
        # A request at the beginning of a step waits until the step is done.
        training, waiting = _times(mapper, scene, size, 1)
        rows.append([f'{size[0]} x {size[1]}', np.median(idle), np.median(training),
                     np.median(waiting), np.max(waiting)])
    return [Table(['size', 'idle [ms]', 'between steps [ms]', 'from request to answer [ms]',
                   'longest [ms]'], rows)]


def measure_memory(options):
    """Return the table of memory and start-up time, in a new process with warm caches."""
    load_rgbd().trained()
    with Worker('memory.py') as worker:
        result = worker.measure()
    return [Table(['figure', 'value'], [[name, value] for name, value in result.items()])]


def _times(mapper, scene, size, steps):
    """Return the milliseconds of each rendering, without and with the steps before it."""
    renders, totals = [], []
    for number in range(VIEWS):
        frame = scene.held_out[number % len(scene.held_out)]
        camera = frame.camera.scaled(*size)
        begin = time.perf_counter()
        for _ in range(steps):
            mapper.step()
        stepped = time.perf_counter()
        mapper.render(camera, frame.T_world_camera)
        end = time.perf_counter()
        renders.append(1e3 * (end - stepped))
        totals.append(1e3 * (end - begin))
    return renders, totals
