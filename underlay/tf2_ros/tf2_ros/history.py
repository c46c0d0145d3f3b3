"""What is known of one frame: its parent and its transform to it. Times are int nanoseconds."""
import bisect

from tf2_ros.exceptions import ExtrapolationException


def seconds(time):
    """Return a time as tf2 writes it."""
    return f'{time / 1e9:.6f}'


class StaticHistory:
    """A transform that holds at any time."""

    def __init__(self, _):
        self._entry = None

    def insert(self, _, parent, transform):
        """Replace the transform; return True."""
        self._entry = parent, transform
        return True

    def clear(self):
        """Keep the transform: it has no past."""

    def latest_time(self):
        """Return None: any time will do."""
        return None

    def latest_parent(self):
        """Return the parent frame."""
        return self._entry[0]

    def at(self, _):
        """Return (parent, transform)."""
        return self._entry


class MovingHistory:
    """The transforms of the last `cache_time` before the newest one, by stamp."""

    def __init__(self, cache_time):
        self._cache_time = cache_time
        self._times = []
        self._entries = []

    def insert(self, time, parent, transform):
        """Keep a transform; return False if the cache does not reach back to it."""
        index = bisect.bisect_right(self._times, time)
        self._times.insert(index, time)
        self._entries.insert(index, (parent, transform))
        oldest = self._times[-1] - self._cache_time
        expired = bisect.bisect_left(self._times, oldest)
        del self._times[:expired], self._entries[:expired]
        return time >= oldest

    def clear(self):
        """Forget all transforms."""
        self._times.clear()
        self._entries.clear()

    def latest_time(self):
        """Return the newest stamp; there is one where there is a parent."""
        return self._times[-1]

    def latest_parent(self):
        """Return the newest parent frame, or None without data."""
        return self._entries[-1][0] if self._entries else None

    def at(self, time):
        """Return (parent, transform) at a time, interpolated; raise ExtrapolationException."""
        times = self._times
        index = bisect.bisect_left(times, time)
        if index < len(times) and times[index] == time:
            return self._entries[index]
        if len(times) < 2:
            raise ExtrapolationException(
                f'Lookup would require extrapolation at time {seconds(time)}, but only time '
                f'{seconds(times[0] if times else 0)} is in the buffer')
        if index == len(times):
            raise ExtrapolationException(
                'Lookup would require extrapolation into the future.  Requested time '
                f'{seconds(time)} but the latest data is at time {seconds(times[-1])}')
        if index == 0:
            raise ExtrapolationException(
                'Lookup would require extrapolation into the past.  Requested time '
                f'{seconds(time)} but the earliest data is at time {seconds(times[0])}')
        parent, older = self._entries[index - 1]
        next_parent, newer = self._entries[index]
        if parent != next_parent:
            return parent, older
        ratio = (time - times[index - 1]) / (times[index] - times[index - 1])
        return parent, older.interpolate(newer, ratio)
