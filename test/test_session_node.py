"""A session over DDS: a mapper that is killed continues with its map, and follows SLAM."""
import os
import signal
import tempfile
import threading
import time

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

import node_process
import ros_helpers
from geometry_msgs.msg import PoseArray
from nav_msgs.msg import OccupancyGrid
from ros_helpers import Robot, drive_until, mapper, statuses_of, value_of, wait_until

from instant_nerf_ros.ros.conversions import cells_from_message
from instant_nerf_ros.ros.qos import LATCHED
from instant_nerf_ros.session.history import History
from instant_nerf_ros.session.session_folder import SessionFolder

pytestmark = pytest.mark.ros


def test_a_mapper_that_is_killed_resumes_its_map_without_an_image(tmp_path):
    robot = Robot()
    grids = robot.collect(OccupancyGrid, 'kept/map', LATCHED)
    frames = robot.collect(PoseArray, 'kept/keyframes', LATCHED)
    statuses = statuses_of(robot, 'kept')
    settings = f'session_folder:={tmp_path}/session', 'keyframes_rate:=5.0'
    try:
        with mapper(*settings, name='kept') as process:
            process.wait_for('the engine runs on backend', 60.0)
            drive_until(robot, lambda: grids and frames and (
                cells_from_message(grids[-1]) == 100).any(), process.text, timeout=60.0)
            count = len(frames[-1].poses)
            wait_until(lambda: statuses and int(
                (value_of(statuses[-1], 'session') or '0').split()[0]) > count,
                30.0, process.text)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        before = (cells_from_message(grids[-1]) == 100).sum()
        grids.clear()
        frames.clear()
        with mapper(*settings, 'resume:=true', name='kept') as process:
            process.wait_for('keyframes of the session continue', 60.0)
            wait_until(lambda: grids and frames and len(frames[-1].poses) >= count, 30.0,
                       process.text)
            wait_until(lambda: (cells_from_message(grids[-1]) == 100).sum() >= before, 10.0)
            assert process.end(signal.SIGINT) == 0
        with mapper(*settings, name='kept') as process:
            process.wait_for('the earlier session is now in', 60.0)
            time.sleep(0.1)
            assert len([*tmp_path.iterdir()]) == 2
    finally:
        robot.close()


def test_a_folder_that_is_not_absolute_is_refused_before_the_engine_starts():
    with mapper('session_folder:=flat') as process:
        assert process.wait() == 1
        assert "'session_folder' must be an absolute path, is 'flat'" in process.text()
        assert 'starting the engine' not in process.text()


class NodeOnASlowDisk(node_process.NodeProcess):
    """A node for which writing a file of a session takes some seconds."""

    def __init__(self, duration, name, arguments):
        self._output = tempfile.NamedTemporaryFile('w+')  # noqa: SIM115 - lives as long as this
        self._process = node_process.prepared.Process(
            target=run_on_a_slow_disk, args=(duration, name, arguments, self._output.name),
            daemon=True)
        self._process.start()


def run_on_a_slow_disk(duration, name, arguments, output):
    """Run a node whose files of a session take some seconds each."""
    put = SessionFolder._put

    def put_slowly(*given):
        time.sleep(duration)
        put(*given)

    SessionFolder._put = put_slowly
    node_process._run(name, arguments, (), output)


@pytest.mark.parametrize('duration', [1.0, 30.0])
def test_an_orderly_end_waits_for_the_session_and_says_what_it_could_not_write(
        tmp_path, monkeypatch, duration):  # fmt: skip
    monkeypatch.setattr(ros_helpers, 'NodeProcess', lambda name, arguments, without: (
        NodeOnASlowDisk(duration, name, arguments)))
    robot = Robot()
    frames = robot.collect(PoseArray, 'ended/keyframes', LATCHED)
    try:
        with mapper(f'session_folder:={tmp_path}', 'keyframes_rate:=5.0', name='ended') as process:
            process.wait_for('the engine runs on backend', 60.0)
            drive_until(robot, lambda: frames and len(frames[-1].poses) > 5, process.text, 60.0)
            # launch sends the second signal 5 s after the first one, and kills after 5 s more.
            second = threading.Timer(5.0, os.kill, (process.pid, signal.SIGTERM))
            second.start()
            assert process.end(signal.SIGINT, timeout=9.5) == 0
            second.cancel()
            if duration > 10:
                assert 'images or scans were not written to the session' in process.text()
                assert 'the disk is too slow' in process.text()
            else:
                assert 'not written' not in process.text()
                history = History(SessionFolder(tmp_path))
                assert len(history.inputs) >= len(frames[-1].poses)
                assert history.votes[-1][0] == len(history.inputs) and history.fields
    finally:
        robot.close()
