"""What was not used, counted by reason and reported from time to time."""
import collections
import threading
import time

from instant_nerf_ros.ros.conversions import nanoseconds
from instant_nerf_ros.ros.inputs.encodings import UnknownEncodingError


class Drops:
    """Counts by reason; safe to use from every thread.

    warn(sentence) is called for the first drop of a reason, and then at most every period
    seconds, with the number of drops since.
    """

    def __init__(self, warn, period=5.0, clock=time.monotonic):
        """Keep the function that reports, and the clock in seconds."""
        self._warn, self._period, self._clock = warn, period, clock
        self._lock = threading.Lock()
        self._counts = collections.Counter()
        self._reported = {}  # reason: (time, count) of its latest report

    def add(self, reason, sentence):
        """Count one drop; the sentence says which thing was dropped, and what to do."""
        with self._lock:
            self._counts[reason] += 1
            count, now = self._counts[reason], self._clock()
            then, before = self._reported.get(reason, (-float('inf'), 0))
            if now - then < self._period:
                return
            self._reported[reason] = now, count
        times = f' ({count - before} times since the last report)' if count - before > 1 else ''
        self._warn(f'{reason}: {sentence}{times}')

    def count(self, reason):
        """Count one drop that is nothing to worry about."""
        with self._lock:
            self._counts[reason] += 1

    def counts(self):
        """Return {reason: count}."""
        with self._lock:
            return dict(self._counts)


def stamp(message):
    """Return the stamp of a message with a header, in nanoseconds."""
    return nanoseconds(message.header.stamp)


def label(message, kind):
    """Return what a report calls a message: its kind, frame and stamp."""
    seconds, fraction = divmod(stamp(message), 1_000_000_000)
    return f"{kind} of '{message.header.frame_id}' at {seconds}.{fraction:09d}"


def reason(error, kind):
    """Return the reason that a ValueError of encodings stands for."""
    return 'unknown encoding' if isinstance(error, UnknownEncodingError) else f'unreadable {kind}'
