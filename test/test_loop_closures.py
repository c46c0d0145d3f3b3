"""Loop closures: the map follows the trajectory of a SLAM, in parts and over DDS."""
import types

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from geometry_msgs.msg import PoseArray
from nav_msgs.msg import OccupancyGrid, Path
from ros_helpers import WALL_DISTANCE, Robot, Slam, drive_until, mapper, wait_until
from test_trajectory import SECOND, START, Rig, path, shifted

from instant_nerf_ros.ros.conversions import cells_from_message
from instant_nerf_ros.ros.inputs.loop_closures import LoopClosures
from instant_nerf_ros.ros.inputs.trajectory import MIN_PERIOD
from instant_nerf_ros.ros.qos import LATCHED

pytestmark = pytest.mark.ros
SHIFT = 0.4  # metres


class RecordedLoopClosures(LoopClosures):
    """LoopClosures of a Rig, with the corrections that they applied."""

    def __init__(self):
        self.rig, self.corrected, self.path, self.logged = Rig(), [], [], []
        self.mapper = types.SimpleNamespace(correct_poses=self.corrected.append)
        super().__init__(
            self.rig.trajectory, types.SimpleNamespace(correct_poses=self.path.append),
            self.rig.dropped, self.logged.append)

    def follow(self, *poses):
        """Add the poses of a trajectory, and apply it."""
        self.rig.trajectory.add(path(poses))
        self.apply(self.mapper)


def test_each_keyframe_moves_as_the_trajectory_at_its_stamp():
    loop_closures = RecordedLoopClosures()
    loop_closures.follow(shifted(0.0), shifted(1.0))
    loop_closures.note(3, START)
    loop_closures.note(5, START + SECOND // 2)
    assert not loop_closures.corrected
    loop_closures.follow(shifted(0.0), shifted(1.4))
    [by_id], [by_stamp] = loop_closures.corrected, loop_closures.path
    assert {key: pytest.approx(T[0, 3]) for key, T in by_id.items()} == {3: 0, 5: 0.2}
    assert list(by_stamp) == [START, START + SECOND // 2] and '0.40 m' in loop_closures.logged[0]


def test_a_late_image_moves_if_its_pose_is_older_than_the_loop_closure():
    loop_closures = RecordedLoopClosures()
    loop_closures.follow(shifted(0.0), shifted(1.0))
    np.testing.assert_array_equal(loop_closures.T_new_old(START), np.eye(4))
    loop_closures.rig.time = 2.0
    loop_closures.follow(shifted(0.0), shifted(1.4))
    assert not loop_closures.corrected  # nothing is mapped yet
    found = [loop_closures.T_new_old(START + int(s * SECOND))[0, 3] for s in (0, 0.5, 1, 1.9, 2.1)]
    np.testing.assert_allclose(found, [0, 0.2, 0.4, 0.4, 0], atol=1e-9)


def test_a_loop_closure_that_the_mapper_refuses_is_logged_and_discarded():
    loop_closures = RecordedLoopClosures()
    loop_closures.follow(shifted(0.0))
    loop_closures.note(0, START)

    def refuse(corrections):
        raise ValueError('too far')

    loop_closures.mapper.correct_poses = refuse
    loop_closures.follow(shifted(1e6))
    assert loop_closures.rig.dropped.counts() == {'unusable trajectory': 1}
    assert not loop_closures.path
    np.testing.assert_array_equal(loop_closures.T_new_old(START), np.eye(4))
    loop_closures.rig.time += MIN_PERIOD
    loop_closures.mapper.correct_poses = loop_closures.corrected.append
    loop_closures.follow(shifted(0.0))  # as before the one that was refused
    assert not loop_closures.corrected


def test_the_map_moves_with_the_trajectory_over_dds():
    robot = Robot()
    slam = Slam(robot)
    grids = robot.collect(OccupancyGrid, 'loops/map', LATCHED)
    paths = robot.collect(Path, 'loops/path', LATCHED)
    keyframes = robot.collect(PoseArray, 'loops/keyframes', LATCHED)

    def wall_at(x):
        """Return whether the map has the wall x metres ahead, and nowhere else."""
        if not grids:
            return False
        info, cells = grids[-1].info, cells_from_message(grids[-1])
        row = int((0.0 - info.origin.position.y) / info.resolution)
        found = info.origin.position.x + info.resolution * (
            np.flatnonzero(cells[row] == 100) + 0.5)
        return len(found) > 0 and (abs(found - x) < 0.11).all()

    def all_at(x):
        """Return whether the poses of at least three images are all at x."""
        poses = [posed.pose for posed in paths[-1].poses] + keyframes[-1].poses
        return len(poses) >= 6 and all(abs(pose.position.x - x) < 1e-6 for pose in poses)

    try:
        with mapper('trajectory:=slam/path', name='loops') as process:
            slam.begin(process)
            drive_until(robot, lambda: wall_at(WALL_DISTANCE), process.text)
            slam.publish(shifted(0.0))
            robot.drive(10)
            wait_until(lambda: all_at(0.0), 10.0)
            slam.publish(shifted(SHIFT))
            process.wait_for('SLAM has closed a loop', 10.0)
            wait_until(lambda: wall_at(WALL_DISTANCE + SHIFT), 10.0, process.text)
            wait_until(lambda: all_at(SHIFT), 10.0)
    finally:
        robot.close()
