"""PoseJumps: what is a jump of the localisation, in a TF buffer and over DDS."""
import types

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from ros_helpers import LifecycleClient, Robot, Slam, drive_until, mapper, statuses_of
from std_srvs.srv import Trigger
from test_trajectory import SECOND, START, shifted
from tf2_ros import Buffer

from instant_nerf_ros.ros.conversions import transform_message
from instant_nerf_ros.ros.inputs.pose_jumps import PoseJumps
from instant_nerf_ros.ros.params.node_config import NodeConfig

pytestmark = pytest.mark.ros


class Rig:
    """PoseJumps of a robot in a TF buffer, once a second."""

    def __init__(self, odom_frame='odom', seen=True):
        self.buffer, self.time, self.settled_ns = Buffer(), 0, 0
        self.sensor = types.SimpleNamespace(frame_id='cam' if seen else '')
        self.jumps = PoseJumps(
            self.buffer, NodeConfig(odom_frame=odom_frame), [self.sensor], self.now_ns,
            lambda: self.settled_ns)
        self.set_tf('base', 'cam', shifted(0.1))

    def now_ns(self):
        """Return the time [ns]."""
        return START + self.time * SECOND

    def set_tf(self, parent, child, pose):
        """Set a transform at this time."""
        self.buffer.set_transform(transform_message(pose, self.now_ns(), parent, child), 'test')

    def check(self, T_map_odom, T_odom_base, seconds=1):
        """Let time pass, set TF, and return what is said about the map."""
        self.time += seconds
        self.set_tf('map', 'odom', T_map_odom)
        self.set_tf('odom', 'base', T_odom_base)
        self.set_tf('base', 'cam', shifted(0.1))
        return self.jumps.check()


def test_a_jump_is_noticed_until_it_is_settled():
    rig = Rig()
    assert rig.check(shifted(0.0), shifted(0.0)) is None
    assert rig.check(shifted(0.0), shifted(0.5)) is None
    sentence = rig.check(shifted(0.3), shifted(1.0))
    assert 'map -> odom has jumped by 0.30 m, 0.0 degrees' in sentence
    assert rig.check(shifted(0.3), shifted(1.5)) == sentence
    assert 'by 0.40 m' in rig.check(shifted(-0.1), shifted(1.5))  # the largest one counts
    rig.settled_ns = rig.now_ns()
    assert rig.check(shifted(-0.1), shifted(2.0)) is None
    assert 'by 0.20 m' in rig.check(shifted(0.1), shifted(2.0))  # and not those before


def test_a_turn_counts_where_the_robot_is():
    """A turn of odom about its distant origin moves the robot, one about the robot does not."""
    rig = Rig()
    rig.check(shifted(0.0), shifted(10.0))
    assert 'by 0.50 m, 2.9 degrees' in rig.check(shifted(0.0, 0.05), shifted(10.0))
    rig = Rig()
    rig.check(shifted(0.0), shifted(10.0))
    sensor = shifted(10.1)
    about = sensor @ shifted(0.0, 0.01) @ np.linalg.inv(sensor)
    assert rig.check(about, shifted(10.0)) is None
    about = sensor @ shifted(0.0, 0.11) @ np.linalg.inv(sensor)
    assert 'by 0.00 m, 5.7 degrees' in rig.check(about, shifted(10.0))


def test_a_localisation_may_correct_the_drift_of_odometry():
    rig, T_map_odom, T_odom_base = Rig(), np.eye(4), np.eye(4)
    for _ in range(30):  # the wheels slip: it drives 0.9 m and turns 27 degrees, not 1 m and 30
        T_map_base = T_map_odom @ T_odom_base @ shifted(0.9, np.radians(27))
        T_odom_base = T_odom_base @ shifted(1.0, np.radians(30))
        T_map_odom = T_map_base @ np.linalg.inv(T_odom_base)
        assert rig.check(T_map_odom, T_odom_base) is None


def test_odometry_that_starts_again_is_no_jump_in_the_map():
    rig = Rig()
    rig.check(shifted(0.0), shifted(20.0))
    assert rig.check(shifted(20.0), shifted(0.0)) is None


@pytest.mark.parametrize('rig', [Rig(seen=False), Rig(odom_frame=''), Rig(odom_frame='map')])
def test_nothing_is_claimed_before_the_first_image_or_without_odometry(rig):
    assert rig.check(shifted(0.0), shifted(0.0)) is None
    assert rig.check(shifted(5.0), shifted(0.0)) is None


def test_nothing_is_claimed_where_tf_has_one_transform_from_map_to_robot():
    rig = Rig()
    for rig.time in (1, 2):
        rig.set_tf('map', 'base', shifted(3.0 * rig.time))
        rig.set_tf('base', 'cam', shifted(0.1))
        assert rig.jumps.check() is None


def test_nothing_is_claimed_about_a_time_of_which_nothing_is_known():
    rig = Rig()
    rig.check(shifted(0.0), shifted(0.0))
    assert rig.check(shifted(1.0), shifted(0.0), seconds=60) is None
    rig.check(shifted(1.0), shifted(0.0))
    rig.jumps.clear()
    assert rig.check(shifted(2.0), shifted(0.0)) is None


class LocalisedRobot(Robot):
    """A robot whose poses are those of odometry, which a SLAM places in the map."""

    x = 0.0  # m, of odom in the map

    def send_tf(self, stamp_ns):
        """Broadcast both parts of the pose of the camera."""
        for pose, parent, child in (
                (shifted(self.x), 'map', 'odom'), (self.pose(), 'odom', 'camera')):
            self._broadcaster.sendTransform(transform_message(pose, stamp_ns, parent, child))


def test_the_node_says_that_the_map_is_stale_until_it_moves_or_is_reset():
    robot = LocalisedRobot()
    slam = Slam(robot)
    found = statuses_of(robot, 'jumps')
    client = LifecycleClient(robot, 'jumps')

    def is_stale():
        return bool(found) and 'the map is stale' in found[-1].message

    def drive(seconds):
        for _ in range(seconds):
            robot.drive(20)
            yield is_stale()

    try:
        with mapper('trajectory:=slam/path', name='jumps') as process:
            slam.begin(process)
            robot.drive(10)
            slam.publish(shifted(0.0))
            assert not any(drive(3))
            robot.x = 0.3
            drive_until(robot, is_stale, process.text)
            assert 'map -> odom has jumped by 0.30 m' in found[-1].message
            slam.publish(shifted(0.3))
            drive_until(robot, lambda: not is_stale(), process.text)
            assert not any(drive(3))
            robot.x = 0.0
            drive_until(robot, is_stale, process.text)
            assert client.call(Trigger, 'reset')[0].success
            drive_until(robot, lambda: not is_stale(), process.text)
            assert not any(drive(3))
    finally:
        robot.close()
