"""A mapper_node for an hour: what grows, and what the field forgets.

python benchmarks/soak.py --minutes 5     prints the table of a short one

The robot drives through the first room of the flat, and then through the other one until the end.
"""
import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from driven_mapper import DrivenMapper
from report import Table

MINUTES, RATE = 60.0, 28.0  # Hz: 100,000 images in an hour
FIRST_ROOM = 120.0  # s in the first room
LAP = 60.0  # s for each lap through the other one
WIDTH, BUDGET = 160, 32  # pixels; MB for keyframes
SHARE = 0.25  # of the time that is for training, as on a robot with other things to do
PERIOD = 10.0  # s between two looks at the counters
VIEWS = 16  # of the first room, for the PSNR
DOORWAY = 0.4  # m, x in the world: the first room is before it


def measure(_):
    """Return the tables of the soak of an hour."""
    return soak(MINUTES)


def soak(minutes):
    """Return the tables of a soak of some minutes."""
    from std_srvs.srv import Trigger
    with tempfile.TemporaryDirectory() as folder:
        left, last = Path(folder) / 'left', Path(folder) / 'last'
        with DrivenMapper(
                folder, WIDTH, map_folder=str(left), training_share=SHARE,
                **{'keyframes.budget_mb': BUDGET}) as mapper:
            first, other = rooms(mapper.tour)
            mapper.drive(there_and_back(first, FIRST_ROOM / LAP), FIRST_ROOM, RATE)
            assert mapper.call(Trigger, 'save_map').success
            samples, begin = [], time.monotonic()
            while (elapsed := time.monotonic() - begin) < 60.0 * minutes - FIRST_ROOM:
                samples.append(_sample(mapper, elapsed + FIRST_ROOM))
                print(*samples[-1], file=sys.stderr, flush=True)
                mapper.drive(there_and_back(other, PERIOD / LAP, elapsed / LAP), PERIOD, RATE)
            samples.append(_sample(mapper, time.monotonic() - begin + FIRST_ROOM))
            _set_folder(mapper, last)
            assert mapper.call(Trigger, 'save_map').success
            used = f'{mapper.offered:,} offered, {mapper.status["keyframes"]} keyframes in memory'
            steps = int(mapper.status['steps'])
        quality = [_quality(each, first, mapper) for each in (left, last)]
    return _tables(samples, quality, used, steps)


def rooms(tour):
    """Return the times [s] of the tour at which the robot is in the first and the other room."""
    times = np.arange(0.0, tour.duration, 0.1)
    inside = np.array([tour.T_world_base(each)[0, 3] for each in times]) < DOORWAY
    return times[inside], times[~inside]


def there_and_back(times, laps, begin=0.0):
    """Return the function fraction -> time of the tour, forward and back along some times."""
    def at(fraction):
        lap = (begin + laps * fraction) % 1.0
        return float(np.interp(1.0 - abs(2.0 * lap - 1.0), np.linspace(0, 1, len(times)), times))
    return at


def _sample(mapper, elapsed):
    full = float(mapper.status.get('memory of keyframes [MB]', 0)) > 0.95 * BUDGET
    return elapsed, full, *mapper.counters()


def _set_folder(mapper, folder):
    from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
    from rcl_interfaces.srv import SetParameters
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=str(folder))
    (result,) = mapper.call(SetParameters, 'set_parameters', parameters=[
        Parameter(name='map_folder', value=value)]).results
    assert result.successful, result.reason


def _quality(folder, times, mapper):
    """Return the PSNR [dB] of the views of the first room from a saved map."""
    from instant_nerf_ros.data.metrics import psnr
    from instant_nerf_ros.nerf import Mapper
    from instant_nerf_ros.simulation.tour import T_BASE_CAMERA
    saved, values = Mapper.load(folder), []
    for at in times[:: max(1, len(times) // VIEWS)]:
        T_world_base = mapper.tour.T_world_base(at)
        image, camera, _ = mapper.view(T_world_base)
        rendered = saved.render(camera, T_world_base @ T_BASE_CAMERA).color
        values.append(psnr(rendered, image))
    return float(np.mean(values))


def _tables(samples, quality, used, steps):
    """Return the tables of the counters over time and of what was found."""
    kept = [sample for sample in samples if sample[1]]
    growth = _growth(kept)
    every = samples[:: max(1, len(samples) // 8)]
    return [
        Table(['minutes', 'memory [MiB]', 'threads', 'open files', '/dev/shm [MiB]'], [
            [f'{sample[0] / 60:.1f}', *map(float, sample[2:])] for sample in every]),
        Table(['soak', 'expected', 'seen'], [
            ['memory, from the full budget on', 'within 3 %', growth],
            *[[name, 'constant', f'{min(column):.0f} to {max(column):.0f}'] for name, column in (
                (name, [sample[index] for sample in kept or samples[1:]]) for index, name in (
                    (3, 'threads'), (4, 'open files'), (5, '/dev/shm [MiB]')))],
            ['PSNR of the first room, when the robot left it and at the end',
             'at most 1 dB less', f'{quality[0]:.2f} and {quality[1]:.2f} dB'],
            ['images', '28 a second', used], ['training steps', '-', f'{steps:,}']])]


def _growth(samples):
    """Return the change of memory from the first tenth of samples to the last, as a text."""
    if len(samples) < 10:
        return 'the budget was not reached'
    part = len(samples) // 10
    memory = np.array([sample[2] for sample in samples])
    before, after = np.median(memory[:part]), np.median(memory[-part:])
    return (f'{100 * (after / before - 1):+.1f} % from {samples[0][0] / 60:.0f} to '
            f'{samples[-1][0] / 60:.0f} min ({memory.min():.0f} to {memory.max():.0f} MiB)')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=MINUTES)
    for table in soak(parser.parse_args().minutes):
        print(table, '\n')
