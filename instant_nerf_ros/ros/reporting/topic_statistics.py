"""TopicStatistics: message counts of topics, and the latency of images."""
import statistics
import threading


class TopicStatistics:
    """Counts messages and collects durations; safe to use from all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: dict[str, int] = {}
        self._waits: list[float] = []
        self._delays: list[float] = []

    def expect(self, topic: str) -> None:
        """Count the messages of a topic from now on, starting at 0."""
        with self._lock:
            self._messages.setdefault(topic, 0)

    def count(self, topic: str) -> None:
        """Count a message of an expected topic."""
        with self._lock:
            self._messages[topic] += 1

    def messages(self) -> dict[str, int]:
        """Return the number of messages so far by topic."""
        with self._lock:
            return dict(self._messages)

    def reset(self) -> None:
        """Remove all topics."""
        with self._lock:
            self._messages.clear()

    def waited(self, duration: float) -> None:
        """Record how long an image waited for its pose, camera_info and depth [s]."""
        with self._lock:
            self._waits.append(duration)

    def delayed(self, duration: float) -> None:
        """Record the age of an image at the time it became a keyframe [s]."""
        with self._lock:
            self._delays.append(duration)

    def medians(self) -> tuple[float, float]:
        """Return the median wait and delay since the last call [s], nan without any."""
        with self._lock:
            wait, delay = (
                statistics.median(durations) if durations else float('nan')
                for durations in (self._waits, self._delays))
            self._waits, self._delays = [], []
        return wait, delay
