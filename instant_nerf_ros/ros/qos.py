"""Publishers and subscriptions: open to qos_overrides, and cheap to wait for.

By default rclpy waits for two events of each, that of a QoS or a type that does not fit. That is
more than all else it waits for, and costs its executor time with every message. A look at the
graph once a second (graph_check.py) finds the same, and says what to do.
"""
from rclpy.qos import (
    DurabilityPolicy,
    QoSPresetProfiles,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

# REP-2003: a map is reliable and reaches those who come late.
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Reliable reaches both kinds of subscribers.
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# What REP-2003 wants of those who read sensors.
SENSOR = QoSPresetProfiles.SENSOR_DATA.value

# Those that decide whether a publisher and a subscriber can talk, and how much is kept.
OVERRIDES = QoSOverridingOptions((
    QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DURABILITY))


def subscription(node, message_type, topic, callback, qos):
    """Return a subscription."""
    return node.create_subscription(
        message_type, topic, callback, _own(qos), qos_overriding_options=OVERRIDES,
        event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))


def publisher(node, message_type, topic, qos):
    """Return a lifecycle publisher: it is silent while the node is not active."""
    return node.create_lifecycle_publisher(
        message_type, topic, _own(qos), qos_overriding_options=OVERRIDES,
        event_callbacks=PublisherEventCallbacks(use_default_callbacks=False))


def _own(qos):
    """Return a copy of a QoSProfile: overrides change it."""
    return QoSProfile(
        depth=qos.depth, history=qos.history, reliability=qos.reliability,
        durability=qos.durability)
