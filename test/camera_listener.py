"""Helpers for tests of the playback nodes: processes, and a subscriber of what they publish."""
import time

import numpy as np
from node_process import NodeProcess


def player(name, **parameters):
    """Start a playback node with parameters."""
    arguments = []
    for key, value in parameters.items():
        arguments += ['-p', f'{key}:={str(value).lower() if isinstance(value, bool) else value}']
    return NodeProcess(f'ros.playback.{name}', arguments)


class Listener:
    """A subscriber to everything a camera robot publishes, messages kept by topic."""

    def __init__(self, camera='camera'):
        """Subscribe, reliably so that a lost message is the publisher's."""
        import rclpy
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import CameraInfo, Image
        from tf2_msgs.msg import TFMessage
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node('listener', context=self._context)
        self._executor = rclpy.executors.SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.topics = {}
        for name, topic, kind, qos in (
                ('image', f'{camera}/color/image_raw', Image, 100),
                ('info', f'{camera}/color/camera_info', CameraInfo, 100),
                ('depth', f'{camera}/depth/image_raw', Image, 100),
                ('tf', '/tf', TFMessage, 1000),
                ('tf_static', '/tf_static', TFMessage, latched),
                ('clock', '/clock', Clock, 1000)):
            self.topics[name] = []
            self._node.create_subscription(kind, topic, self.topics[name].append, qos)

    def __enter__(self):
        """Return itself."""
        return self

    def __exit__(self, *_):
        """Leave the ROS graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.shutdown()

    def collect(self, message_type, topic, qos):
        """Subscribe; return the list that fills with messages."""
        messages = []
        self._node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def listen(self, until, timeout=40.0):
        """Receive until a condition holds; AssertionError after the timeout [s]."""
        deadline = time.monotonic() + timeout
        while not until():
            assert time.monotonic() < deadline, {
                name: len(messages) for name, messages in self.topics.items()}
            self._executor.spin_once(timeout_sec=0.1)

    def stamps(self, name):
        """Return the stamps of a topic [ns], in the order of arrival."""
        return [_nanoseconds(message.header.stamp) for message in self.topics[name]]

    def transforms(self, name='tf'):
        """Return {(parent, child): {stamp ns: (4, 4) matrix}} of /tf or /tf_static."""
        from instant_nerf_ros.ros.conversions import matrix_from_transform
        found = {}
        for message in self.topics[name]:
            for item in message.transforms:
                chain = found.setdefault((item.header.frame_id, item.child_frame_id), {})
                chain[_nanoseconds(item.header.stamp)] = matrix_from_transform(item.transform)
        return found

    def static(self, parent, child):
        """Return a transform (4, 4) of /tf_static."""
        return next(iter(self.transforms('tf_static')[parent, child].values()))


def _nanoseconds(stamp):
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def pixels(message, dtype, channels=1):
    """Return an image message as (H, W) or (H, W, C)."""
    array = np.frombuffer(message.data, dtype)
    array = array.reshape(message.height, message.width, channels)
    return array if channels > 1 else array[..., 0]
