"""Publishers and subscribers that cannot talk because of their QoS, in words."""
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

# Policy, what a subscriber requests, and the offer that does not satisfy it.
RULES = (
    ('reliability', ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT),
    ('durability', DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE),
)


def incompatible(node):
    """Yield a sentence for every endpoint that cannot talk to one of the node's own.

    The graph is asked anew each time, because what does not match may be started again.
    """
    for subscription in node.subscriptions:
        topic = subscription.topic_name
        for other in node.get_publishers_info_by_topic(topic):
            for policy, requested, offered in _clashes(
                    subscription.qos_profile, other.qos_profile):
                yield (
                    f"on {topic}, '{other.node_name}' offers {policy} {offered}, but {requested} "
                    f"is requested here: set 'qos_overrides.{topic}.subscription.{policy}' to "
                    f'{offered}')
    for publisher in node.publishers:
        topic = publisher.topic_name
        for other in node.get_subscriptions_info_by_topic(topic):
            for policy, requested, offered in _clashes(
                    other.qos_profile, publisher.qos_profile):
                yield (
                    f"on {topic}, '{other.node_name}' requests {policy} {requested}, but "
                    f"{offered} is offered here: set 'qos_overrides.{topic}.publisher.{policy}' "
                    f'to {requested}')


def _clashes(request, offer):
    for policy, requested, offered in RULES:
        if getattr(request, policy) == requested and getattr(offer, policy) == offered:
            yield policy, requested.name.lower(), offered.name.lower()
