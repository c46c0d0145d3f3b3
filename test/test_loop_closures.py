"""Loop closures: what is mapped follows the trajectory of SLAM, in parts and over DDS."""
import types

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from geometry_msgs.msg import PoseArray, PoseStamped
from nav_msgs.msg import OccupancyGrid, Path
from ros_helpers import WALL_DISTANCE, Robot, drive_until, mapper, wait_until
from test_trajectory import SECOND, START, Rig, path, shifted

from instant_nerf_ros.ros.conversions import cells_from_message, header_message, pose_message
from instant_nerf_ros.ros.qos import LATCHED
from instant_nerf_ros.ros.inputs.loop_closures import LoopClosures
from instant_nerf_ros.ros.inputs.trajectory import CALM

pytestmark = pytest.mark.ros
SHIFT = 0.4  # metres


class Loops(LoopClosures):
    """Of a Rig, whose corrections a test sees."""

    def __init__(self):
        self.rig, self.corrected, self.way, self.said = Rig(), [], [], []
        self.mapper = types.SimpleNamespace(correct=self.corrected.append)
        super().__init__(
            self.rig.trajectory, types.SimpleNamespace(correct=self.way.append), self.rig.drops,
            self.said.append)

    def after(self, *poses):
        """Follow a trajectory."""
        self.rig.trajectory.add(path(poses))
        self.follow(self.mapper)


def test_each_keyframe_moves_as_the_trajectory_at_its_stamp():
    loops = Loops()
    loops.after(shifted(0.0), shifted(1.0))
    loops.note(3, START)
    loops.note(5, START + SECOND // 2)
    assert not loops.corrected
    loops.after(shifted(0.0), shifted(1.4))
    [by_number], [by_stamp] = loops.corrected, loops.way
    assert {number: pytest.approx(T[0, 3]) for number, T in by_number.items()} == {3: 0, 5: 0.2}
    assert list(by_stamp) == [START, START + SECOND // 2] and '0.40 m' in loops.said[0]


def test_an_image_that_comes_later_moves_if_its_pose_is_from_before():
    loops = Loops()
    loops.after(shifted(0.0), shifted(1.0))
    np.testing.assert_array_equal(loops.T_new_old(START), np.eye(4))
    loops.rig.time = 2.0
    loops.after(shifted(0.0), shifted(1.4))
    assert not loops.corrected  # nothing is mapped yet
    found = [loops.T_new_old(START + int(s * SECOND))[0, 3] for s in (0, 0.5, 1, 1.9, 2.1)]
    np.testing.assert_allclose(found, [0, 0.2, 0.4, 0.4, 0], atol=1e-9)


def test_what_the_mapper_refuses_is_told_and_forgotten():
    loops = Loops()
    loops.after(shifted(0.0))
    loops.note(0, START)

    def refuse(corrections):
        raise ValueError('too far')

    loops.mapper.correct = refuse
    loops.after(shifted(1e6))
    assert loops.rig.drops.counts() == {'unusable trajectory': 1} and not loops.way
    np.testing.assert_array_equal(loops.T_new_old(START), np.eye(4))
    loops.rig.time += CALM
    loops.mapper.correct = loops.corrected.append
    loops.after(shifted(0.0))  # as before: there is nothing to take back
    assert not loops.corrected


def test_the_map_moves_with_the_trajectory_over_dds():
    robot = Robot()
    publisher = robot.node.create_publisher(Path, 'slam/path', 1)
    grids = robot.collect(OccupancyGrid, 'loops/map', LATCHED)
    ways = robot.collect(Path, 'loops/path', LATCHED)
    keyframes = robot.collect(PoseArray, 'loops/keyframes', LATCHED)

    def tell(x):
        """Say that all that was driven so far is x metres ahead of where TF said."""
        times = begin, robot.node.get_clock().now().nanoseconds
        publisher.publish(Path(header=header_message(times[1], 'map'), poses=[
            PoseStamped(header=header_message(time, 'map'), pose=pose_message(shifted(x)))
            for time in times]))

    def wall_at(x):
        """Tell whether the map shows the wall x metres ahead, and nowhere else."""
        if not grids:
            return False
        info, cells = grids[-1].info, cells_from_message(grids[-1])
        row = int((0.0 - info.origin.position.y) / info.resolution)
        found = info.origin.position.x + info.resolution * (
            np.flatnonzero(cells[row] == 100) + 0.5)
        return len(found) > 0 and (abs(found - x) < 0.11).all()

    def all_at(x):
        """Tell whether all of at least three images were taken at x."""
        poses = [posed.pose for posed in ways[-1].poses] + keyframes[-1].poses
        return len(poses) >= 6 and all(abs(pose.position.x - x) < 1e-6 for pose in poses)

    try:
        with mapper('trajectory:=slam/path', name='loops') as process:
            process.wait_for('the engine runs on backend')
            robot.wait_for_listener()
            wait_until(lambda: publisher.get_subscription_count(), 10.0)
            begin = robot.node.get_clock().now().nanoseconds
            drive_until(robot, lambda: wall_at(WALL_DISTANCE), process.text)
            tell(0.0)
            robot.drive(10)
            wait_until(lambda: all_at(0.0), 10.0)
            tell(SHIFT)
            process.wait_for('SLAM has closed a loop', 10.0)
            wait_until(lambda: wall_at(WALL_DISTANCE + SHIFT), 10.0, process.text)
            wait_until(lambda: all_at(SHIFT), 10.0)
    finally:
        robot.close()
