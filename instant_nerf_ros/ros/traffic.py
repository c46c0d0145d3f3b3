"""What comes in: messages by topic, and how long images waited to be complete."""
import threading


class Traffic:
    """Counts; safe to use from every thread."""

    def __init__(self):
        """Start with nothing."""
        self._lock = threading.Lock()
        self._messages = {}
        self._waits, self._waited = 0, 0.0

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
            self._waits, self._waited = self._waits + 1, self._waited + duration

    def mean_wait(self):
        """Return the mean of what waited() was told since the last call, nan if nothing [s]."""
        with self._lock:
            mean = self._waited / self._waits if self._waits else float('nan')
            self._waits, self._waited = 0, 0.0
            return mean
