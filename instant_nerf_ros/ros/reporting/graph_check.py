"""Publishers and subscribers that cannot talk because of their type or QoS, in words."""
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

# Policy, what a subscriber requests, and the offer that does not satisfy it.
RULES = (
    ('reliability', ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT),
    ('durability', DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE),
)
HINTS = {
    'sensor_msgs/msg/CompressedImage': (
        ": set image_transport to 'compressed' (depth_transport to 'compressedDepth'), and remap "
        'to the topic without that ending'),
    'sensor_msgs/msg/Image': ": set image_transport (depth_transport) to 'raw'",
}


def incompatible(node):
    """Yield a sentence for every endpoint that cannot talk to one of the node's own.

    The graph is asked anew each time, because what does not match may be started again.
    """
    for subscription in node.subscriptions:
        topic, mine = subscription.topic_name, _type_name(subscription.msg_type)
        for other in node.get_publishers_info_by_topic(topic):
            if other.topic_type != mine:
                yield (
                    f"on {topic}, '{other.node_name}' publishes {other.topic_type}, but {mine} is "
                    f"expected here{HINTS.get(other.topic_type, ': remap one of the two')}")
                continue
            for policy, requested, offered in _clashes(
                    subscription.qos_profile, other.qos_profile):
                yield (
                    f"on {topic}, '{other.node_name}' offers {policy} {offered}, but {requested} "
                    f"is requested here: set 'qos_overrides.{topic}.subscription.{policy}' to "
                    f'{offered}')
    for publisher in node.publishers:
        topic, mine = publisher.topic_name, _type_name(publisher.msg_type)
        for other in node.get_subscriptions_info_by_topic(topic):
            if other.topic_type != mine:
                yield (
                    f"on {topic}, '{other.node_name}' expects {other.topic_type}, but {mine} is "
                    'published here: remap one of the two')
                continue
            for policy, requested, offered in _clashes(
                    other.qos_profile, publisher.qos_profile):
                yield (
                    f"on {topic}, '{other.node_name}' requests {policy} {requested}, but "
                    f"{offered} is offered here: set 'qos_overrides.{topic}.publisher.{policy}' "
                    f'to {requested}')


def _type_name(message_type):
    """Return what the graph calls a type: package/msg/Name."""
    return f"{message_type.__module__.partition('.')[0]}/msg/{message_type.__name__}"


def _clashes(request, offer):
    for policy, requested, offered in RULES:
        if getattr(request, policy) == requested and getattr(offer, policy) == offered:
            yield policy, requested.name.lower(), offered.name.lower()
