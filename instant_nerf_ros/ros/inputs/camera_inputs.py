"""Topics of cameras and range sensors, and the subscriptions to them."""
import dataclasses
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2

from instant_nerf_ros.ros.inputs.posed_images import PosedImages
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.qos import LATE, SENSOR, fixed_subscription, subscription
from instant_nerf_ros.ros.reporting.topic_statistics import TopicStatistics

Callback = Callable[[Any], None]  # of a subscription, with a message


@dataclasses.dataclass(frozen=True)
class CameraTopics:
    """The resolved topic names of a camera; depth and depth_camera_info are '' without depth."""

    image: str
    camera_info: str
    depth: str
    depth_camera_info: str


def camera_topics(node: Node, name: str, config: NodeConfig) -> CameraTopics:
    """Return the topics of a camera, given its NodeConfig; the name '' means no prefix."""
    def resolve(base: str, transport: str = 'raw') -> str:
        # As in image_transport, the topic of a transport lies below the remapped base topic.
        topic = node.resolve_topic_name(f'{name}/{base}' if name else base)
        return topic if transport == 'raw' else f'{topic}/{transport}'

    return CameraTopics(
        resolve('image', config.image_transport), resolve('camera_info'),
        resolve('depth', config.depth_transport) if config.use_depth else '',
        resolve('depth_camera_info') if config.use_depth else '')


def range_topics(node: Node, config: NodeConfig) -> dict[str, type]:
    """Return {resolved topic: message type} of the range sensors of a NodeConfig."""
    return {
        node.resolve_topic_name(name): message_type
        for names, message_type in ((config.scans, LaserScan), (config.clouds, PointCloud2))
        for name in names if name}


def subscribe(
    node: Node, message_type: type, topic: str, callback: Callback, statistics: TopicStatistics,
    enabled: Callable[[], bool] = lambda: True,
) -> Subscription:  # fmt: skip
    """Subscribe to a topic with sensor QoS, and count its messages in the statistics.

    callback(message) is called only while enabled() is true.
    """
    statistics.expect(topic)

    def count_and_call(message: Any) -> None:
        statistics.count(topic)
        if enabled():
            callback(message)

    return subscription(node, message_type, topic, count_and_call, SENSOR)


def subscribe_camera(
    node: Node, topics: CameraTopics, config: NodeConfig, images: PosedImages,
    statistics: TopicStatistics, enabled: Callable[[], bool],
    with_poll: Callable[[Callback], Callback],
) -> list[Subscription]:  # fmt: skip
    """Subscribe to the topics of a camera, whose messages go to PosedImages; see `subscribe`.

    enabled() applies to images and depth images. with_poll(callback) returns a callback that also
    schedules a poll of the PosedImages.
    """
    def subscribe_info(topic: str, callback: Callback) -> list[Subscription]:
        # Some drivers publish it once, which only a transient-local subscription receives. That
        # does not match other publishers, and their messages arrive on the usual one.
        def late(message: CameraInfo) -> None:
            if not statistics.messages().get(topic):  # later ones are counted already
                statistics.count(topic)
            callback(message)

        # graph_check compares publishers with the first subscription of a topic. So the usual one
        # is created first and destroyed last.
        return [
            subscribe(node, CameraInfo, topic, callback, statistics),
            fixed_subscription(node, CameraInfo, topic, with_poll(late), LATE)]

    def type_of(transport: str) -> type:
        return Image if transport == 'raw' else CompressedImage

    subscriptions = [
        subscribe(node, type_of(config.image_transport), topics.image,
                  with_poll(images.add_image), statistics, enabled),
        *subscribe_info(topics.camera_info, images.add_camera_info)]
    if config.use_depth:
        subscriptions += [
            subscribe(node, type_of(config.depth_transport), topics.depth, images.add_depth,
                      statistics, enabled),
            *subscribe_info(topics.depth_camera_info, images.add_depth_camera_info)]
    return subscriptions
