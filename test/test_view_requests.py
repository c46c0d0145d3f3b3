"""ViewRequests: poses from which a view was requested."""
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

import tf2_ros
from geometry_msgs.msg import PoseStamped

from instant_nerf_ros.ros.conversions import header_message, transform_message, write_pose
from instant_nerf_ros.ros.outputs.view_requests import ViewRequests
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages

pytestmark = pytest.mark.ros

SECOND = 1_000_000_000


def request(x, stamp_ns, frame_id):
    """Return a PoseStamped at x metres."""
    pose = np.eye(4)
    pose[0, 3] = x
    message = PoseStamped(header=header_message(stamp_ns, frame_id))
    write_pose(pose, message.pose)
    return message


class Rig:
    """ViewRequests with a real TF buffer and a clock that stands still."""

    def __init__(self):
        self.now, self.warnings, self.buffer = 0.0, [], tf2_ros.Buffer()
        self.dropped = DroppedMessages(self.warnings.append)
        self.requests = ViewRequests(
            self.buffer, NodeConfig(tf_timeout=1.0), self.dropped, lambda: self.now)

    def take(self):
        """Return [(stamp, frame, x)] of the requests that are ready."""
        self.requests.poll()
        taken = []
        while (view := self.requests.take()) is not None:
            taken.append((view.stamp_ns, view.frame_id, view.T_map_camera[0, 3]))
        return taken


def test_a_pose_in_the_map_frame_needs_no_tf_and_may_have_any_stamp():
    rig = Rig()
    for stamp_ns in (5, 0, 3):
        rig.requests.add(request(float(stamp_ns), stamp_ns, 'map'))
    assert rig.take() == [(5, 'map', 5.0), (0, 'map', 0.0), (3, 'map', 3.0)]


def test_a_pose_in_another_frame_is_transformed_at_its_stamp():
    rig = Rig()
    rig.requests.add(request(1.0, 3 * SECOND // 2, 'base'))
    assert rig.take() == []
    for seconds, x in ((1, 10.0), (2, 20.0)):
        pose = np.eye(4)
        pose[0, 3] = x
        rig.buffer.set_transform(
            transform_message(pose, seconds * SECOND, 'map', 'base'), 'test')
    assert rig.take() == [(3 * SECOND // 2, 'base', 16.0)]


def test_the_camera_at_a_goal_looks_forward_and_is_upright():
    rig = Rig()
    turned = np.eye(4)  # to the left by a right angle, at (2, 3)
    turned[:2, :2], turned[:2, 3] = [[0, -1], [1, 0]], [2, 3]
    message = PoseStamped(header=header_message(5, 'map'))
    write_pose(turned, message.pose)
    rig.requests.add_goal(message)
    rig.requests.poll()
    T_map_camera = rig.requests.take().T_map_camera
    np.testing.assert_allclose(
        T_map_camera[:3, 3], [2, 3, NodeConfig().render_goal_height], atol=1e-9)
    ahead, down = T_map_camera[:3, 2], T_map_camera[:3, 1]
    np.testing.assert_allclose(ahead, [0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(down, [0, 0, -1], atol=1e-9)


def test_an_unknown_frame_delays_the_others_for_a_bounded_time_only():
    rig = Rig()
    rig.requests.add(request(0.0, SECOND, 'nowhere'))
    rig.requests.add(request(7.0, 1, 'map'))
    assert rig.take() == []
    rig.now = 1.0
    assert rig.take() == [(1, 'map', 7.0)]
    assert rig.dropped.counts() == {'invalid render pose': 1}
    assert "'nowhere' at 1.000000000" in rig.warnings[0]


def test_an_invalid_pose_is_dropped_at_once():
    rig = Rig()
    message = request(0.0, 1, 'map')
    message.pose.orientation.w = 0.0
    rig.requests.add(message)
    rig.requests.add(request(7.0, 2, 'map'))
    assert rig.take() == [(2, 'map', 7.0)]
    assert rig.dropped.counts() == {'invalid render pose': 1}
