"""Posed images of all cameras, until the engine takes them."""
import collections
import threading


class ReadyImages:
    """A bounded queue, safe to use from every thread.

    When it is full, every second image of each camera makes room, so that no part of the way and
    no camera goes missing.
    """

    def __init__(self, size, drop):
        """Keep the most images of a camera that may wait, and drop(posed), which is told."""
        self._size, self._drop = size, drop
        self._changed = threading.Condition()
        self._images = collections.deque()

    def append(self, posed):
        """Queue a PosedImage."""
        with self._changed:
            mine = [other for other in self._images if other.source is posed.source]
            if len(mine) >= self._size:
                dropped = mine[::2]
                self._images = collections.deque(
                    other for other in self._images if not _among(other, dropped))
                for other in dropped:
                    self._drop(other)
            self._images.append(posed)
            self._changed.notify_all()

    def clear(self):
        """Forget all of them."""
        with self._changed:
            self._images.clear()

    def wait(self, timeout):
        """Wait at most timeout seconds for an image."""
        with self._changed:
            self._changed.wait_for(lambda: self._images, timeout)

    def take(self):
        """Return the oldest PosedImage, None where there is none."""
        with self._changed:
            return self._images.popleft() if self._images else None


def _among(item, items):
    return any(item is other for other in items)
