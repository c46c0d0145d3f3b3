"""Check of the ROS graph: publishers and subscriptions that do not match in type or QoS."""
from collections.abc import Iterator

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

# (policy, the requested value, the offered value that does not satisfy it)
INCOMPATIBLE = (
    ('reliability', ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT),
    ('durability', DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE),
)
TF = '/tf', '/tf_static'
HINTS = {  # by the type that is published instead of the expected one
    'sensor_msgs/msg/CompressedImage': (
        ": set image_transport to 'compressed' (depth_transport to 'compressedDepth'), and remap "
        'to the topic without that ending'),
    'sensor_msgs/msg/Image': ": set image_transport (depth_transport) to 'raw'",
}


def incompatible(node: Node) -> Iterator[str]:
    """Yield a sentence for every endpoint of the graph that does not match one of the node's.

    The graph is read at each call, as the other endpoint may be restarted with another QoS.
    """
    requests: dict[str, list[Subscription]] = {}
    for subscription in node.subscriptions:
        requests.setdefault(subscription.topic_name, []).append(subscription)
    for topic, (subscription, *others) in requests.items():
        expected = _type_name(subscription.msg_type)
        for other in node.get_publishers_info_by_topic(topic):
            if other.topic_type != expected:
                yield (
                    f"on {topic}, '{other.node_name}' publishes {other.topic_type}, but "
                    f'{expected} is expected here'
                    f"{HINTS.get(other.topic_type, ': remap one of the two')}")
                continue
            # Another subscription is for publishers that the first one does not match.
            if any(not any(_mismatches(one.qos_profile, other.qos_profile)) for one in others):
                continue
            for policy, requested, offered in _mismatches(
                    subscription.qos_profile, other.qos_profile):
                # The listener of tf2 takes no overrides.
                remedy = 'publish it like the broadcasters of tf2' if topic.endswith(TF) else (
                    f"set 'qos_overrides.{topic}.subscription.{policy}' to {offered}")
                yield (
                    f"on {topic}, '{other.node_name}' offers {policy} {offered}, but {requested} "
                    f'is requested here: {remedy}')
    for publisher in node.publishers:
        topic, published = publisher.topic_name, _type_name(publisher.msg_type)
        for other in node.get_subscriptions_info_by_topic(topic):
            if other.topic_type != published:
                yield (
                    f"on {topic}, '{other.node_name}' expects {other.topic_type}, but "
                    f'{published} is published here: remap one of the two')
                continue
            for policy, requested, offered in _mismatches(
                    other.qos_profile, publisher.qos_profile):
                yield (
                    f"on {topic}, '{other.node_name}' requests {policy} {requested}, but "
                    f"{offered} is offered here: set 'qos_overrides.{topic}.publisher.{policy}' "
                    f'to {requested}')


def _type_name(message_type: type) -> str:
    """Return the name of a message type in the graph: package/msg/Name."""
    return f"{message_type.__module__.partition('.')[0]}/msg/{message_type.__name__}"


def _mismatches(request: QoSProfile, offer: QoSProfile) -> Iterator[tuple[str, str, str]]:
    """Yield (policy, requested value, offered value) that are not compatible."""
    for policy, requested, offered in INCOMPATIBLE:
        if getattr(request, policy) == requested and getattr(offer, policy) == offered:
            yield policy, requested.name.lower(), offered.name.lower()
