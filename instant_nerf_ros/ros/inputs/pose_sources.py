"""Where poses come from: TF, or a topic that stands for the moving part of it."""
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from tf2_msgs.msg import TFMessage
from tf2_ros import TransformListener

from instant_nerf_ros.ros.conversions import matrix_from_pose, transform_message
from instant_nerf_ros.ros.reporting.dropped_messages import label, stamp
from instant_nerf_ros.ros.qos import subscription

STATIC_QOS = QoSProfile(
    depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# A sensor's, but a pose is small, and odometry fast.
POSE_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
TOPICS = {'odometry': ('odom', Odometry), 'pose': ('pose', PoseStamped)}


def pose_source(node, buffer, config, drops):
    """Feed a tf2_ros Buffer as NodeConfig.pose_source says; unregister() of the result ends it."""
    if config.pose_source == 'tf':
        return TransformListener(buffer, node)
    return PoseTopic(node, buffer, config, drops)


class PoseTopic:
    """Poses from a topic, interpolated like TF; what does not move comes from /tf_static.

    /tf is not heard: there the same frame may have another parent, and a frame has but one.
    """

    def __init__(self, node, buffer, config, drops):
        """Subscribe; see pose_source."""
        self._node, self._buffer, self._config, self._drops = node, buffer, config, drops
        name, message_type = TOPICS[config.pose_source]
        self._subscriptions = [
            subscription(node, message_type, name, self._add, POSE_QOS),
            subscription(node, TFMessage, '/tf_static', self._add_static, STATIC_QOS)]

    def unregister(self):
        """Stop listening."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def _add(self, message):
        if isinstance(message, Odometry):
            pose, child = message.pose.pose, message.child_frame_id
        else:
            pose, child = message.pose, self._config.pose_frame
        parent = message.header.frame_id
        try:
            T_parent_child = matrix_from_pose(pose)
            if not parent or not child or parent == child:
                raise ValueError(f"a pose of '{child}' in '{parent}'")
            if stamp(message) <= 0:
                raise ValueError('its stamp is not a time')
        except ValueError as error:
            self._drops.add('invalid pose', f"{label(message, 'pose')}: {error}")
            return
        self._buffer.set_transform(
            transform_message(T_parent_child, stamp(message), parent, child), 'pose topic')

    def _add_static(self, message):
        for transform in message.transforms:
            self._buffer.set_transform_static(transform, 'default_authority')
