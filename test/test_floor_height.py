"""FloorHeight: the floor is where TF says that the robot stands, if anybody knows."""
import types

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from geometry_msgs.msg import TransformStamped
from tf2_ros import Buffer

from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.outputs.floor_height import FloorHeight

pytestmark = pytest.mark.ros


def test_the_floor_follows_the_frame_and_what_tf_does_not_know_is_told_once():
    buffer, told = Buffer(), []
    settings = types.SimpleNamespace(node=NodeConfig(base_frame='base_footprint'))
    floor = FloorHeight(buffer, settings, told.append)
    assert floor() is None and floor() is None
    assert len(told) == 1 and "'base_footprint'" in told[0] and "'base_frame'" in told[0]
    for second, height in ((1, 0.25), (2, -1.5)):
        transform = TransformStamped(child_frame_id='base_footprint')
        transform.header.frame_id, transform.header.stamp.sec = 'map', second
        transform.transform.translation.z = height
        transform.transform.rotation.w = 1.0
        buffer.set_transform(transform, 'test')
        assert floor() == height
    settings.node = NodeConfig()  # it may change at any time
    assert floor() is None and len(told) == 1
