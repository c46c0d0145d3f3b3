"""Speed of training: end to end, against its floors, by stage, and with a core taken away."""
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kernels
import numpy as np
from datasets import load_rgbd
from profiling import profiled
from report import Table
from workers import Worker

from instant_nerf_ros.nerf.field import train_step

BUDGETS = 8192, 16384  # the default, and as many as the peer gets
ROUNDS = 3
SHOWN = 0.005  # share of a step below which a stage is not listed


class Counter:
    """Counts what a mapper does, while its context lasts."""

    def __init__(self, mapper):
        self.mapper, self.positions, self._learn = mapper, None, train_step.train_step
        self.reset()

    def __enter__(self):
        """Return it."""
        def counted(*arguments):
            learnt = self._learn(*arguments)
            self.samples += len(learnt.positions)
            self.positions = learnt.positions
            return learnt
        train_step.train_step = counted
        return self

    def __exit__(self, *_):
        """Stop counting."""
        train_step.train_step = self._learn

    def reset(self):
        """Count from zero."""
        self.samples = self.rays = self.steps = 0
        self.seconds = 0.0

    def run(self, seconds):
        """Take steps for some time, and count them."""
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            self.rays += self.mapper.schedule.rays
            self.mapper.step()
            self.steps += 1
        self.seconds += time.monotonic() - begin

    def write_step(self, path):
        """Write what the floors need to know of the mean step."""
        field, shapes = self.mapper.field, {}
        for network in ('geometry', 'color'):
            shapes[network] = [
                tuple(value.shape) for name, value in field.state().items()
                if name.startswith(network) and value.ndim == 2]
        np.savez(path, samples=self.samples // self.steps, **shapes,
                 positions=self.positions / field.extent + 0.5,
                 scales=np.array(field.geometry.scales), entries=field.geometry.table.shape[1])


def measure(options):
    """Return the tables of the figures, of the stages and of the kernels."""
    scene, columns = load_rgbd(), []
    for budget in BUDGETS:
        mapper = scene.trained(settings={'sampling.samples_per_step': budget})
        with Counter(mapper) as counter:
            counter.run(options.seconds)  # until occupancy and sample budget have settled
            columns.append(_figures(counter, options.seconds))
    names = [f'{budget:,} samples a step' for budget in BUDGETS]
    rows = [[name, *values] for name, *values in zip(columns[0], *(c.values() for c in columns))]
    return [Table([scene.title, *names], rows), _stages(mapper, options.seconds),
            kernels.measure(mapper)]


def _figures(counter, seconds):
    floors = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'step.npz'
        counter.write_step(path)
        with Worker('floors.py', path) as worker:
            counter.reset()
            for _ in range(ROUNDS):
                counter.run(seconds / ROUNDS)
                floors.append(worker.measure())
    speed, count = counter.samples / counter.seconds, counter.samples / counter.steps
    rays, steps = counter.rays / counter.seconds, counter.steps / counter.seconds
    (products, products_alone), (gathers, _) = (
        np.min([floor[name] for floor in floors], axis=0) for name in ('products', 'gathers'))
    ratio = speed * products / count
    if products > products_alone:
        print('no ratio to the floor: all threads take longer than one, so the cores are busy')
        ratio = None
    with _busy_core():
        counter.reset()
        counter.run(seconds / ROUNDS)
    return {
        'steps/s': steps,
        'rays/s': rays,
        'samples/s': speed,
        'step [ms]': 1e3 / steps,
        'floor: float32 matrix products of the step [ms]': 1e3 * products,
        'the same with one thread [ms]': 1e3 * products_alone,
        'floor: gathers from the hash grid [ms]': 1e3 * gathers,
        'samples/s of the float32 floor': count / products,
        'end to end / float32 floor': ratio,
        'samples/s with one core busy / idle': counter.samples / counter.seconds / speed,
    }


def _stages(mapper, seconds):
    with profiled(mapper) as profile:
        begin, first = time.monotonic(), mapper.steps
        while time.monotonic() - begin < seconds:
            mapper.step()
        steps = mapper.steps - first
    total = sum(profile.seconds.values())
    rows = [[name, 1e3 * took / steps, took / total]
            for name, took in profile.seconds.most_common() if took > SHOWN * total]
    return Table(['stage, without the stages inside it', 'ms per step', 'share'], rows)


@contextlib.contextmanager
def _busy_core():
    """Keep one core busy with another process."""
    process = subprocess.Popen([sys.executable, '-c', 'while True: pass'])
    try:
        yield
    finally:
        process.kill()
        process.wait()
