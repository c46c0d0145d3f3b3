"""Where poses come from: /tf, or a topic that replaces it."""
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, TransformListener

from instant_nerf_ros.ros.conversions import matrix_from_pose, transform_message
from instant_nerf_ros.ros.inputs.tf_lookup import frame_name
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.qos import subscription
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages, label, stamp

STATIC_QOS = QoSProfile(
    depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# As for sensors, but deeper: poses are small, and odometry is fast.
POSE_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
TOPICS = {'odometry': ('odom', Odometry), 'pose': ('pose', PoseStamped)}


def pose_source(
    node: Node, buffer: Buffer, config: NodeConfig, dropped: DroppedMessages,
) -> 'TransformListener | PoseTopic':  # fmt: skip
    """Fill a Buffer from NodeConfig.pose_source until unregister() of the result is called."""
    if config.pose_source == 'tf':
        return TransformListener(buffer, node)
    return PoseTopic(node, buffer, config, dropped)


class PoseTopic:
    """Fills a Buffer with the poses of a topic, and with the static transforms of /tf_static.

    /tf is not subscribed: there the same frame may have another parent, and TF allows only one.
    """

    def __init__(
        self, node: Node, buffer: Buffer, config: NodeConfig, dropped: DroppedMessages,
    ) -> None:  # fmt: skip
        """Subscribe to the topic of NodeConfig.pose_source, 'odometry' or 'pose'."""
        self._node, self._buffer, self._config, self._dropped = node, buffer, config, dropped
        name, message_type = TOPICS[config.pose_source]
        self._subscriptions = [
            subscription(node, message_type, name, self._add, POSE_QOS),
            subscription(node, TFMessage, '/tf_static', self._add_static, STATIC_QOS)]

    def unregister(self) -> None:
        """Unsubscribe."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def _add(self, message: Odometry | PoseStamped) -> None:
        if isinstance(message, Odometry):
            pose, child = message.pose.pose, frame_name(message.child_frame_id)
        else:
            pose, child = message.pose, self._config.pose_frame
        parent = frame_name(message.header.frame_id)
        try:
            T_parent_child = matrix_from_pose(pose)
            if not parent or not child or parent == child:
                raise ValueError(
                    f"it is the pose of '{child}' in '{parent}': set two different frames")
            if stamp(message) <= 0:
                raise ValueError('its stamp is not positive: set the stamp in the publisher')
        except ValueError as error:
            self._dropped.add('invalid pose', f"{label(message, 'pose')}: {error}")
            return
        self._buffer.set_transform(
            transform_message(T_parent_child, stamp(message), parent, child), 'pose topic')

    def _add_static(self, message: TFMessage) -> None:
        for transform in message.transforms:
            self._buffer.set_transform_static(transform, 'default_authority')
