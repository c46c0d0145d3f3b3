"""Feed a Buffer from /tf and /tf_static."""
from threading import Thread

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage


class TransformListener:
    """Subscribes a node to the transforms of the robot."""

    def __init__(self, buffer, node, *, spin_thread=False):
        """Listen with `node`; with `spin_thread`, spin the whole node in a thread of its own."""
        self._node = node
        # A callback of the node may wait for a transform: these must be able to run meanwhile.
        group = ReentrantCallbackGroup()
        static_qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(
                TFMessage, '/tf', _feed(buffer.set_transform), 100, callback_group=group),
            node.create_subscription(
                TFMessage, '/tf_static', _feed(buffer.set_transform_static), static_qos,
                callback_group=group),
        ]
        if spin_thread:
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            Thread(target=executor.spin, daemon=True).start()

    def unregister(self):
        """Stop listening."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())


def _feed(set_transform):
    def callback(message):
        for transform in message.transforms:
            set_transform(transform, 'default_authority')

    return callback
