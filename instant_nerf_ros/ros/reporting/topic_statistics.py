"""What comes in: messages by topic, and how long images took to be complete, and to be learnt."""
import statistics
import threading


class Traffic:
    """Counts; safe to use from every thread."""

    def __init__(self):
        """Start with nothing."""
        self._lock = threading.Lock()
        self._messages = {}
        self._waits, self._delays = [], []

    def expect(self, topic):
        """Count a topic from now on, even if nothing comes."""
        with self._lock:
            self._messages.setdefault(topic, 0)

    def count(self, topic):
        """Count a message."""
        with self._lock:
            self._messages[topic] += 1

    def messages(self):
        """Return {topic: messages so far}."""
        with self._lock:
            return dict(self._messages)

    def forget(self):
        """Expect no topic any more."""
        with self._lock:
            self._messages.clear()

    def waited(self, duration):
        """Note how long an image waited for its pose, camera_info and depth [s]."""
        with self._lock:
            self._waits.append(duration)

    def delayed(self, duration):
        """Note how old an image was when it was given to the engine [s]."""
        with self._lock:
            self._delays.append(duration)

    def medians(self):
        """Return the medians of waits and delays since the last call, nan where none was [s]."""
        with self._lock:
            medians = tuple(
                statistics.median(times) if times else float('nan')
                for times in (self._waits, self._delays))
            self._waits, self._delays = [], []
            return medians
