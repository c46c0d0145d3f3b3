"""What a viewer costs a mapper that trains, and how fast its pictures follow a camera.

A mapper, the simulated robot and a viewer run as processes, as on a robot with this processor.
Browsers would run elsewhere; here, clients that speak the protocol of the page stand for them.
Phases with and without clients alternate, and costs are processor times, so that other work on the
machine disturbs them little; latencies are as they are.
"""
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import report

ROOT = Path(__file__).resolve().parents[1]
START, DRIVE = 200.0, 20.0  # s, at most until the engine runs; of driving before measuring
# Seconds between camera messages: as a browser sends them while its camera turns, and single ones.
TURNING, SINGLE = 1 / 30, 1.0
ROUNDS = 3  # few enough that training does not converge, and rest, before the last one
CORES = 2


def measure(options):
    """Return the table of steps per second and latencies."""
    os.environ.setdefault('ROS_DOMAIN_ID', '61')
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
    os.environ.setdefault('FASTDDS_DEFAULT_PROFILES_FILE', str(ROOT / 'config' / 'fastdds.xml'))
    sys.path[:0] = [str(ROOT / 'examples'), str(ROOT / 'test')]
    from children import Children
    from observer import Observer
    with tempfile.TemporaryDirectory() as folder, Children(folder) as children, \
            Observer('camera/color/camera_info') as observer:
        topics = [('image', 'camera/color/image_raw'), ('camera_info', 'camera/color/camera_info'),
                  ('depth', 'camera/depth/image_raw')]
        children.start('mapper_node', {'use_depth': True, 'occupancy.voxel_size': 0.05}, topics)
        deadline = time.monotonic() + START
        while not observer.status.get('backend') and time.monotonic() < deadline:
            observer.spin(0.2)
        children.start('sim_robot', {'laps': 1.0})
        children.start('viewer', {'viewer_port': 8500})
        url = children.wait_for('viewer', r'http://\S+', 60.0)
        observer.spin(DRIVE)
        while children.running('sim_robot'):
            observer.spin(0.5)
        return [_phases(children, observer, url, options.seconds)]


def _phases(children, observer, url, seconds):
    """Return the table of steps per second in phases that alternate, and of latencies."""
    phases = {'no browser': (0, None), 'one browser, at rest': (1, None),
              'one browser, one move a second': (1, SINGLE),
              'one browser, camera turns': (1, TURNING),
              'ten browsers, cameras turn': (10, TURNING)}
    speeds = {name: [] for name in phases}
    latencies = {name: [] for name in phases}
    rates = {name: [] for name in phases}
    for _ in range(ROUNDS):
        for name, (count, period) in phases.items():
            speed, latency, rate = _phase(
                children, observer, url, count, period, seconds / ROUNDS)
            speeds[name].append(speed)
            latencies[name] += latency
            rates[name].append(rate)
    rows = []
    for name, (count, period) in phases.items():
        # Each phase is compared with the one without a browser of its own round.
        cost = [1 - speed / alone for speed, alone in zip(speeds[name], speeds['no browser'])]
        rows.append([
            name, float(np.median(speeds[name])),
            report.spread([100 * each for each in cost]) if count else None,
            float(np.median(rates[name])) if period else None,
            f'{1000 * np.median(latencies[name]):.0f}' if latencies[name] else None])
    return report.Table(
        ['browsers', 'steps/s', 'cost [%], median and range', 'pictures/s of each',
         'move to coarse picture, median [ms]'], rows)


def _phase(children, observer, url, count, period, seconds):
    """Return speed, latencies [s] of the first client, and its pictures per second.

    The speed is in steps per second on two cores that nobody else uses: what the mapper needs for
    a step, and what the viewer takes from it, are measured in processor time.
    """
    from viewer_client import ViewerClient
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(ViewerClient(url)) for _ in range(count)]
        for client in clients:
            client.set('Rendered view', True)
        observer.spin(6.0 if count else 3.0)  # discovery, and the first picture in full
        seen = [len(client.pictures) for client in clients]
        before = _counts(children, observer)
        begin, moves = time.monotonic(), []
        while (now := time.monotonic()) < begin + seconds:
            if period:
                angle = 0.5 * (now - begin)
                for client in clients:
                    sent = client.move((0.3 * np.sin(angle), 0.3 * np.cos(angle), 1.0))
                    if client is clients[0]:
                        moves.append(sent)
            observer.spin(period or SINGLE)
        taken = time.monotonic() - begin
        steps, mapper, viewer = np.subtract(_counts(children, observer), before)
        speed = steps / mapper * (CORES - viewer / taken)
        arrivals = [time_s for time_s, _ in clients[0].pictures[seen[0]:]] if clients else []
        # The oldest move that no earlier picture could show.
        latencies, previous = [], -1.0
        for arrival in arrivals:
            fresh = [sent for sent in moves if previous < sent < arrival]
            if fresh:
                latencies.append(arrival - fresh[0])
            previous = arrival
        return speed, latencies, len(arrivals) / taken


def _counts(children, observer):
    """Return steps, and the processor times [s] of mapper and viewer."""
    return (int(observer.status['steps']), children.processor_time('mapper_node'),
            children.processor_time('viewer'))
