"""LateSubscribers: when a latched message has to be published again, although it is the same."""
import time
from collections.abc import Callable, Iterable, Sequence

from rclpy.qos import DurabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

REPEAT_PERIOD = 2.0  # s between two repetitions
REPETITIONS = 3  # per subscription: the first ones may be sent before DDS has connected it


def gids(endpoints: Iterable[TopicEndpointInfo]) -> set[bytes]:
    """Return the identifiers of endpoints of the ROS graph."""
    return {bytes(endpoint.endpoint_gid) for endpoint in endpoints}


class LateSubscribers:
    """Finds new volatile subscriptions of a topic: DDS does not send them the latched message."""

    def __init__(
        self, subscriptions: Callable[[], Sequence[TopicEndpointInfo]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Keep subscriptions(), which returns those of the topic, and a clock in seconds."""
        self._subscriptions, self._clock = subscriptions, clock
        self._published_at = -float('inf')
        self._messages: dict[bytes, int] = {}  # since the subscription was found

    def are_waiting(self) -> bool:
        """Return whether new subscriptions wait for the message, and it is time to repeat it."""
        if self._clock() - self._published_at < REPEAT_PERIOD:
            return False
        return any(self._messages.get(gid, 0) < REPETITIONS for gid in self._volatile())

    def note_message(self) -> None:
        """Note that a message was published."""
        self._published_at = self._clock()
        self._messages = {gid: self._messages.get(gid, 0) + 1 for gid in self._volatile()}

    def _volatile(self) -> set[bytes]:
        return gids(
            endpoint for endpoint in self._subscriptions()
            if endpoint.qos_profile.durability == DurabilityPolicy.VOLATILE)
