"""FloorHeight: the height of the frame of the robot that stands on the floor."""
import types

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from geometry_msgs.msg import TransformStamped
from tf2_ros import Buffer

from instant_nerf_ros.ros.outputs.floor_height import FloorHeight
from instant_nerf_ros.ros.params.node_config import NodeConfig

pytestmark = pytest.mark.ros


def test_the_floor_follows_the_frame_and_missing_tf_is_reported_once():
    buffer, warnings = Buffer(), []
    settings = types.SimpleNamespace(node=NodeConfig(base_frame='base_footprint'))
    floor = FloorHeight(buffer, settings, warnings.append)
    assert floor() is None and floor() is None
    (warning,) = warnings
    assert "'base_footprint'" in warning and "'base_frame'" in warning
    for second, height in ((1, 0.25), (2, -1.5)):
        transform = TransformStamped(child_frame_id='base_footprint')
        transform.header.frame_id, transform.header.stamp.sec = 'map', second
        transform.transform.translation.z = height
        transform.transform.rotation.w = 1.0
        buffer.set_transform(transform, 'test')
        assert floor() == height
    settings.node = NodeConfig()  # a live parameter
    assert floor() is None and len(warnings) == 1
