"""Advice about publishers whose QoS does not fit."""
import types

import pytest

pytest.importorskip('rclpy')

from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from instant_nerf_ros.ros.inputs.camera_inputs import CameraTopics, subscribe_camera
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.qos import SENSOR
from instant_nerf_ros.ros.reporting.graph_check import incompatible
from instant_nerf_ros.ros.reporting.topic_statistics import TopicStatistics

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


def test_while_a_camera_is_subscribed_to_and_left_its_sensor_publishers_are_never_incompatible():
    types_of = {'/image': Image, '/camera_info': CameraInfo}
    node = types.SimpleNamespace(subscriptions=[], publishers=[])
    node.get_publishers_info_by_topic = lambda topic: [types.SimpleNamespace(
        node_name='camera', qos_profile=SENSOR,
        topic_type=f'sensor_msgs/msg/{types_of[topic].__name__}')]
    found = []

    def create_subscription(message_type, topic, callback, qos, **_):
        created = types.SimpleNamespace(topic_name=topic, msg_type=message_type, qos_profile=qos)
        node.subscriptions.append(created)
        found.extend(incompatible(node))
        return created

    node.create_subscription = create_subscription
    images = types.SimpleNamespace(add_image=None, add_camera_info=None)
    subscriptions = subscribe_camera(
        node, CameraTopics('/image', '/camera_info', '', ''), NodeConfig(use_depth=False), images,
        TopicStatistics(), enabled=lambda: True, with_poll=lambda callback: callback)
    while subscriptions:  # in the order in which the node destroys them
        node.subscriptions.remove(subscriptions.pop())
        found.extend(incompatible(node))
    assert not found
