"""BodyPoses: where base_frame has been, from TF, and when that is not believed."""
import types

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from tf2_ros import Buffer

from instant_nerf_ros.nerf.config import BodyConfig, Config, KeyframeConfig
from instant_nerf_ros.ros.conversions import transform_message
from instant_nerf_ros.ros.inputs.body_poses import BodyPoses
from instant_nerf_ros.ros.inputs.input_queue import InputQueue
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages

pytestmark = pytest.mark.ros

SECOND = 1_000_000_000
RADIUS = 0.2


class Rig:
    """BodyPoses with a real TF buffer of map, base and camera."""

    def __init__(self, camera=(0.1, 0.0, 0.5), base_frame='base', radius=RADIUS, frames=('cam',)):
        self.buffer, self.warnings = Buffer(), []
        dropped = DroppedMessages(self.warnings.append)
        self.queue = InputQueue(200, KeyframeConfig, dropped)
        parameters = types.SimpleNamespace(
            node=NodeConfig(base_frame=base_frame),
            engine=Config(body=BodyConfig(radius=radius)))
        self.poses = BodyPoses(
            self.buffer, parameters, lambda: list(frames), dropped, self.queue)
        mounted = np.eye(4)
        mounted[:3, 3] = camera
        self.buffer.set_transform_static(transform_message(mounted, 0, 'base', 'cam'), 'test')

    def tf(self, seconds, x, z=0.0):
        """Set the pose of the base, and return the positions (N, 3) that were queued."""
        pose = np.eye(4)
        pose[:3, 3] = x, 0.0, z
        self.buffer.set_transform(
            transform_message(pose, int(seconds * SECOND), 'map', 'base'), 'test')
        self.poses.poll()
        queued = []
        while (body := self.queue.pop()) is not None:
            queued.append(body.T_map_sensor[:3, 3])
        return np.array(queued).reshape(-1, 3)


def test_the_way_between_two_samples_is_filled_in():
    rig = Rig()
    assert rig.tf(1.0, 0.0).tolist() == [[0.0, 0.0, 0.0]]
    queued = rig.tf(2.0, 0.5)
    np.testing.assert_allclose(queued[:, 0], 0.05 * np.arange(1, 11), atol=1e-6)
    assert len(rig.tf(3.0, 0.51)) == 0  # it stands
    assert not rig.warnings


@pytest.mark.parametrize('settings', [
    {'base_frame': ''}, {'radius': 0.0}, {'frames': ()}])
def test_it_is_off_without_frame_radius_or_images(settings):
    rig = Rig(**settings)
    assert len(rig.tf(1.0, 0.0)) == 0 and not rig.warnings


def test_a_jump_is_not_a_way():
    rig = Rig()
    rig.tf(1.0, 0.0)
    np.testing.assert_allclose(rig.tf(1.1, 3.0), [[3.0, 0.0, 0.0]], atol=1e-6)
    [warning] = rig.warnings
    assert 'jumped by 3.00 m' in warning and "'base'" in warning


def test_a_robot_that_is_carried_clears_nothing_until_it_stands_again():
    rig = Rig()
    rig.tf(1.0, 0.0)
    assert len(rig.tf(2.0, 0.1, z=0.6)) == 0
    assert len(rig.tf(3.0, 0.9, z=0.6)) == 0
    assert len(rig.tf(4.0, 1.0, z=0.0)) > 0
    assert len(rig.tf(5.0, 1.5, z=0.0)) > 5
    assert 'has left the floor' in rig.warnings[0]


def test_a_ramp_is_driven():
    rig = Rig()
    rig.tf(1.0, 0.0)
    queued = rig.tf(3.0, 1.0, z=0.15)
    assert len(queued) == 21 and not rig.warnings
    assert queued[-1][2] == pytest.approx(0.15)


def test_a_base_far_from_the_camera_is_not_used():
    rig = Rig(camera=(3.0, 0.0, 0.5))
    assert len(rig.tf(1.0, 0.0)) == 0
    assert "more than 2 m away from the camera: set 'base_frame'" in rig.warnings[0]


def test_it_begins_anew_after_a_jump_in_time():
    rig = Rig()
    rig.tf(10.0, 0.0)
    rig.poses.clear()
    rig.buffer.clear()
    assert len(rig.tf(1.0, 2.0)) == 1
