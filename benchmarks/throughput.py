"""Speed of training: end to end, against lower bounds, by stage, and with one core busy."""
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import kernels
import numpy as np
from datasets import load_rgbd
from profiling import profiled
from report import Table
from workers import Worker

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.nerf.field.train_step import StepResult

BUDGETS = 8192, 16384  # samples per step: the default, and that of the peer
ROUNDS = 3
MIN_SHARE = 0.005  # of a step, for a stage to be listed


class Counter:
    """Counts steps, rays and samples of a mapper within its context."""

    def __init__(self, mapper: Mapper) -> None:
        self.mapper, self.positions = mapper, None
        train_step = mapper.backend.train_step

        def counted(*arguments: Any) -> StepResult:
            result = train_step(*arguments)
            self.samples += len(result.positions)
            self.positions = result.positions
            return result
        self._patch = mock.patch.object(mapper.backend, 'train_step', counted)
        self.reset()

    def __enter__(self) -> 'Counter':
        """Start counting."""
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop counting."""
        self._patch.stop()

    def reset(self) -> None:
        """Set all counts to zero."""
        self.samples = self.rays = self.steps = 0
        self.seconds = 0.0

    def run(self, seconds: float) -> None:
        """Take steps for some time."""
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            self.rays += self.mapper.trainer.schedule.rays
            self.mapper.step()
            self.steps += 1
        self.seconds += time.monotonic() - begin

    def write_step(self, path: Path) -> None:
        """Write the sizes of the mean step, for lower_bounds.py."""
        field, shapes = self.mapper.trainer.field, {}
        for network in ('geometry', 'color'):
            shapes[network] = [
                tuple(value.shape) for name, value in field.state().items()
                if name.startswith(network) and value.ndim == 2]
        np.savez(path, samples=self.samples // self.steps, **shapes,
                 positions=self.positions / field.extent + 0.5,
                 scales=np.array(field.geometry.scales), entries=field.geometry.table.shape[1])


def measure(options):
    """Return the tables of figures, stages and kernels."""
    scene, columns = load_rgbd(), []
    for budget in BUDGETS:
        mapper = scene.trained(settings={'sampling.samples_per_step': budget})
        with Counter(mapper) as counter:
            counter.run(options.seconds)  # until occupancy and rays per step are stable
            columns.append(_figures(counter, options.seconds))
    names = [f'{budget:,} samples a step' for budget in BUDGETS]
    rows = [[name, *values] for name, *values in zip(columns[0], *(c.values() for c in columns))]
    return [Table([scene.title, *names], rows), _stages(mapper, options.seconds),
            kernels.measure(mapper)]


def _figures(counter, seconds):
    bounds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'step.npz'
        counter.write_step(path)
        with Worker('lower_bounds.py', path) as worker:
            counter.reset()
            for _ in range(ROUNDS):
                counter.run(seconds / ROUNDS)
                bounds.append(worker.measure())
    speed, count = counter.samples / counter.seconds, counter.samples / counter.steps
    rays, steps = counter.rays / counter.seconds, counter.steps / counter.seconds
    (products, products_alone), (gathers, _) = (
        np.min([bound[name] for bound in bounds], axis=0) for name in ('products', 'gathers'))
    ratio = speed * products / count
    if products > products_alone:
        print('no ratio to the lower bound: other processes use the cores')
        ratio = None
    with _busy_core():
        counter.reset()
        counter.run(seconds / ROUNDS)
    return {
        'steps/s': steps,
        'rays/s': rays,
        'samples/s': speed,
        'step [ms]': 1e3 / steps,
        'lower bound: float32 matrix products of the step [ms]': 1e3 * products,
        'the same with one thread [ms]': 1e3 * products_alone,
        'lower bound: gathers from the hash grid [ms]': 1e3 * gathers,
        'samples/s of the float32 lower bound': count / products,
        'end to end / float32 lower bound': ratio,
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
            for name, took in profile.seconds.most_common() if took > MIN_SHARE * total]
    return Table(['stage, without the stages inside it', 'ms per step', 'share'], rows)


@contextlib.contextmanager
def _busy_core() -> Iterator[None]:
    """Keep one core busy with another process."""
    process = subprocess.Popen([sys.executable, '-c', 'while True: pass'])
    try:
        yield
    finally:
        process.kill()
        process.wait()
