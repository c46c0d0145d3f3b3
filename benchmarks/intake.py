"""The cost of image input: CPU time from camera to keyframe, and latency."""
import contextlib
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from report import ROOT, Table

SIZES = (640, 480), (1280, 720)
RATE = 30.0  # Hz
DISCOVERY_TIME = 4.0  # seconds, of DDS
TF_DELAY = 0.4  # seconds from an image to its TF, if TF is late
HERE = Path(__file__).parent


def measure(options):
    """Return the tables of CPU time without training, and of latency with training."""
    costs = [[_run(size, options.seconds, mode, 0.0) for mode in ('input', 'voting')]
             for size in SIZES]
    delays = [_run(size, options.seconds, 'training', late) for size in SIZES
              for late in (0.0, TF_DELAY)]
    return [
        Table(['RGB-D at 30 Hz', 'intake [cores]', 'and its votes on the map [cores]',
               'images that came', 'keyframes a second', 'lost'], [
            [_name(size), images['cores'], voting['cores'], images['images'],
             images['keyframes'] / options.seconds, images['lost'] + voting['lost']]
            for size, (images, voting) in zip(SIZES, costs)]),
        Table(['while training', 'TF comes later by [s]', 'image to keyframe, median [ms]',
               'images that came', 'lost'], [
            [_name(size), late, 1e3 * run['delay'], run['images'], run['lost']]
            for (size, late), run in zip(
                [(size, late) for size in SIZES for late in (0.0, TF_DELAY)], delays)])]


def _name(size):
    return f'{size[0]} x {size[1]}'


def measure_rest(options):
    """Return the table of CPU time after convergence, without new images."""
    with mapping('training') as (node, statuses, pid):
        with _camera(SIZES[0], 0.0):
            spin_until(node, lambda: int(statuses[-1]['keyframes']) > 0, 60.0)
            spin(node, DISCOVERY_TIME)
        spin_until(node, lambda: statuses[-1]['state'] == 'resting', 600.0)
        used, begin = _cpu_time(pid), time.monotonic()
        spin(node, options.seconds)
        share = (_cpu_time(pid) - used) / (time.monotonic() - begin)
    return [Table(['mapper_node at rest', 'cores'], [['no image, no subscriber', share]])]


@contextlib.contextmanager
def mapping(mode):
    """Run a mapper_node; yield a node, the diagnostics that it receives, and the process id.

    The diagnostics are {name: value}, the newest last.
    """
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray

    os.environ.update({
        'ROS_DOMAIN_ID': str(1 + os.getpid() % 100), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'AMENT_PREFIX_PATH': os.environ.get('AMENT_PREFIX_PATH', sys.prefix),
        'FASTDDS_DEFAULT_PROFILES_FILE': str(ROOT / 'config' / 'fastdds.xml')})
    statuses = []
    with process('intake_mapper.py', mode) as mapper:
        rclpy.init()
        try:
            node = rclpy.create_node('intake')
            node.create_subscription(
                DiagnosticArray, '/diagnostics',
                lambda array: statuses.append(
                    {pair.key: pair.value for pair in array.status[0].values}), 10)
            spin_until(node, lambda: statuses and statuses[-1]['backend'], 300.0)  # may compile
            yield node, statuses, mapper.pid
        finally:
            rclpy.shutdown()


def _camera(size, late):
    return process('intake_camera.py', *map(str, (*size, RATE, late)))


def _run(size, seconds, mode, late):
    """Return the figures of a mapper_node with a camera of a size, over so many seconds."""
    with mapping(mode) as (node, statuses, pid), _camera(size, late):
        spin_until(node, lambda: int(statuses[-1]['keyframes']) > 0, 60.0)
        spin(node, DISCOVERY_TIME)
        first, used, begin = statuses[-1], _cpu_time(pid), time.monotonic()
        count = len(statuses)
        spin(node, seconds)
        used, duration = _cpu_time(pid) - used, time.monotonic() - begin
        last = statuses[-1]
    rates = [float(status['rate: /image [Hz]']) for status in statuses[count:]]
    delays = [float(status['image to keyframe [s]']) for status in statuses[count:]]
    return {
        'cores': used / duration,
        'images': f'{statistics.mean(rates):.1f} Hz',
        'keyframes': int(last['keyframes']) - int(first['keyframes']),
        'delay': statistics.median(delay for delay in delays if delay == delay),
        'lost': lost(last) - lost(first)}


def lost(status):
    """Return the number of messages that were dropped, without those that normally are."""
    return sum(int(value) for key, value in status.items()
               if key.startswith('dropped: ')
               and key not in ('dropped: blurred', 'dropped: redundant'))


def _cpu_time(pid):
    """Return the CPU seconds of all threads of a process."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf('SC_CLK_TCK')


def spin(node, seconds):
    """Receive diagnostics for some time."""
    end = time.monotonic() + seconds
    spin_until(node, lambda: time.monotonic() > end, seconds + 1.0)


def spin_until(node, condition, timeout):
    """Receive diagnostics until a condition holds; RuntimeError after a timeout [s]."""
    import rclpy

    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(
                'the mapper does not respond: is ROS 2 installed, and /dev/shm large enough?')
        rclpy.spin_once(node, timeout_sec=0.1)


@contextlib.contextmanager
def process(program, *arguments):
    """Run a program of this folder for the duration of the context."""
    process = subprocess.Popen(
        [sys.executable, HERE / program, *arguments], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20.0)
