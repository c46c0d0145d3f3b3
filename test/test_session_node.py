"""A session over DDS: a mapper that is killed continues with its map, and follows SLAM."""
import os
import signal
import time

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from geometry_msgs.msg import PoseArray
from nav_msgs.msg import OccupancyGrid
from ros_helpers import Robot, drive_until, mapper, statuses_of, value_of, wait_until

from instant_nerf_ros.ros.conversions import cells_from_message
from instant_nerf_ros.ros.qos import LATCHED

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
            wait_until(lambda: int((value_of(statuses[-1], 'session') or '0').split()[0]) > count,
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
