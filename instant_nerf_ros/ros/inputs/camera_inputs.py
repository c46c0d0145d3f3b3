"""Subscriptions to the topics of cameras and range sensors."""
import dataclasses

from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2

from instant_nerf_ros.ros.qos import SENSOR, subscription


@dataclasses.dataclass(frozen=True)
class CameraTopics:
    """The resolved names of the topics of a camera; without depth, depth is ''."""

    image: str
    camera_info: str
    depth: str
    depth_camera_info: str


def camera_topics(node, name, config):
    """Return the CameraTopics of a camera and its NodeConfig; name '' has no prefix."""
    def resolve(base, transport='raw'):
        # As image_transport does: a transport's topic lies below the remapped base topic.
        topic = node.resolve_topic_name(f'{name}/{base}' if name else base)
        return topic if transport == 'raw' else f'{topic}/{transport}'

    return CameraTopics(
        resolve('image', config.image_transport), resolve('camera_info'),
        resolve('depth', config.depth_transport) if config.use_depth else '',
        resolve('depth_camera_info') if config.use_depth else '')


def range_topics(node, config):
    """Return {resolved topic: message type} of the range sensors of a NodeConfig."""
    return {
        node.resolve_topic_name(name): message_type
        for names, message_type in ((config.scans, LaserScan), (config.clouds, PointCloud2))
        for name in names if name}


def subscribe(node, message_type, topic, callback, traffic, wanted=lambda: True):
    """Subscribe a topic as those who read sensors do; return the subscription.

    Messages are counted in a Traffic, and passed on to callback(message) if wanted() is true.
    """
    traffic.expect(topic)

    def count_and_call(message):
        traffic.count(topic)
        if wanted():
            callback(message)

    return subscription(node, message_type, topic, count_and_call, SENSOR)


def subscribe_camera(node, topics, config, images, traffic, wanted, and_poll):
    """Subscribe PosedImages to CameraTopics, images and depths if wanted(); see subscribe.

    and_poll(callback) returns a callback that has PosedImages polled, too.
    """
    def type_of(transport):
        return Image if transport == 'raw' else CompressedImage

    subscriptions = [
        subscribe(node, type_of(config.image_transport), topics.image,
                  and_poll(images.add_image), traffic, wanted),
        subscribe(node, CameraInfo, topics.camera_info, images.add_camera_info, traffic)]
    if config.use_depth:
        subscriptions += [
            subscribe(node, type_of(config.depth_transport), topics.depth, images.add_depth,
                      traffic, wanted),
            subscribe(node, CameraInfo, topics.depth_camera_info, images.add_depth_camera_info,
                      traffic)]
    return subscriptions
