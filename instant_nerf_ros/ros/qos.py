"""QoS profiles, and publishers and subscriptions that accept qos_overrides.

The default event callbacks of rclpy, for incompatible QoS and incompatible types, are disabled:
they add two entities per publisher and subscription to the wait set of the executor, which costs
time with every message. reporting/graph_check.py finds both problems once a second instead.
"""
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSPresetProfiles, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

# REP-2003: a map is reliable, and late subscribers receive it.
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# A reliable publisher serves reliable and best-effort subscribers.
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# What may be sent once, before a subscriber comes. As a request, it matches only such publishers.
LATE = QoSProfile(
    depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# REP-2003: subscribers to sensors are best effort.
SENSOR = QoSPresetProfiles.SENSOR_DATA.value

# The policies that decide whether publisher and subscriber are compatible, and the queue length.
OVERRIDES = QoSOverridingOptions((
    QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DURABILITY))


def subscription(
    node: Node, message_type: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile,
) -> Subscription:  # fmt: skip
    """Return a subscription of a node."""
    return node.create_subscription(
        message_type, topic, callback, _copied(qos), qos_overriding_options=OVERRIDES,
        event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))


def fixed_subscription(
    node: Node, message_type: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile,
) -> Subscription:  # fmt: skip
    """Return a subscription whose QoS cannot be overridden, beside one whose QoS can."""
    return node.create_subscription(
        message_type, topic, callback, _copied(qos),
        event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))


def publisher(
    node: LifecycleNode, message_type: type, topic: str, qos: QoSProfile,
) -> LifecyclePublisher:  # fmt: skip
    """Return a lifecycle publisher, which publishes only while the node is active."""
    return node.create_lifecycle_publisher(
        message_type, topic, _copied(qos), qos_overriding_options=OVERRIDES,
        event_callbacks=PublisherEventCallbacks(use_default_callbacks=False))


def _copied(qos: QoSProfile) -> QoSProfile:
    """Return a copy of a QoSProfile, because overrides change it."""
    return QoSProfile(
        depth=qos.depth, history=qos.history, reliability=qos.reliability,
        durability=qos.durability)
