"""Publish transforms on /tf and /tf_static."""
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage


class TransformBroadcaster:
    """Publishes the transforms of frames that move."""

    def __init__(self, node):
        """Publish from `node`."""
        self._publisher = node.create_publisher(TFMessage, '/tf', 100)

    def sendTransform(self, transform):
        """Publish a TransformStamped, or a list of them."""
        self._publisher.publish(TFMessage(transforms=_as_list(transform)))


class StaticTransformBroadcaster:
    """Publishes the transforms that hold at any time, for late subscribers too."""

    def __init__(self, node):
        """Publish from `node`."""
        self._publisher = node.create_publisher(
            TFMessage, '/tf_static',
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self._sent = {}  # by child frame: the last message has to hold them all

    def sendTransform(self, transform):
        """Publish a TransformStamped, or a list of them, with all that were sent before."""
        for item in _as_list(transform):
            self._sent.setdefault(item.child_frame_id, item)
        self._publisher.publish(TFMessage(transforms=list(self._sent.values())))


def _as_list(transform):
    return list(transform) if hasattr(transform, '__iter__') else [transform]
