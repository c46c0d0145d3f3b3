"""Posed images and scans of all sensors, until the engine takes them."""
import collections
import threading


class Ready:
    """A bounded queue, safe to use from every thread.

    When it is full, every second one of each sensor makes room, so that no part of the way and
    no sensor goes missing.
    """

    def __init__(self, size, drop):
        """Keep how many of a sensor may wait, and drop(posed), which is told."""
        self._size, self._drop = size, drop
        self._changed = threading.Condition()
        self._waiting = collections.deque()

    def append(self, posed):
        """Queue a PosedImage or PosedScan."""
        with self._changed:
            mine = [other for other in self._waiting if other.source is posed.source]
            if len(mine) >= self._size:
                dropped = mine[::2]
                self._waiting = collections.deque(
                    other for other in self._waiting if not _among(other, dropped))
                for other in dropped:
                    self._drop(other)
            self._waiting.append(posed)
            self._changed.notify_all()

    def clear(self):
        """Forget all of them."""
        with self._changed:
            self._waiting.clear()

    def wait(self, timeout):
        """Wait at most timeout seconds for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout)

    def take(self):
        """Return the oldest one, None where there is none."""
        with self._changed:
            return self._waiting.popleft() if self._waiting else None


def _among(item, items):
    return any(item is other for other in items)
