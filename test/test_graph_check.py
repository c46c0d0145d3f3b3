"""Advice about publishers whose QoS does not fit."""
import types

import pytest

pytest.importorskip('rclpy')

from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from instant_nerf_ros.ros.reporting.graph_check import incompatible

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(('topic', 'message_type', 'advice'), [
    ('/image', Image, "set 'qos_overrides./image.subscription.durability' to volatile"),
    ('/robot/tf_static', TFMessage, 'publish it like the broadcasters of tf2')])
def test_the_advice_about_qos_is_one_that_works(topic, message_type, advice):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    other = types.SimpleNamespace(
        node_name='driver', qos_profile=QoSProfile(depth=1),
        topic_type=f"{message_type.__module__.partition('.')[0]}/msg/{message_type.__name__}")
    node = types.SimpleNamespace(
        subscriptions=[types.SimpleNamespace(
            topic_name=topic, msg_type=message_type, qos_profile=latched)],
        publishers=[], get_publishers_info_by_topic=lambda _: [other])
    (sentence,) = incompatible(node)
    assert sentence.startswith(f"on {topic}, 'driver' offers durability volatile")
    assert sentence.endswith(advice)
