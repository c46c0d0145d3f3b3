"""DroppedMessages: messages that were not used, counted by reason."""
import collections
import threading
import time
from collections.abc import Callable
from typing import Any

from instant_nerf_ros.ros.conversions import nanoseconds

# Reasons of drops that are normal, so that they need no warning.
BLURRED = 'blurred'
REDUNDANT = 'redundant'


class DroppedMessages:
    """Counts dropped messages by reason, and logs them at a bounded rate; thread-safe."""

    def __init__(
        self, warn: Callable[[str], object], period: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Keep a clock in seconds and warn(sentence).

        It is called for the first drop of a reason, and then at most once a period [s], with the
        number of drops since.
        """
        self._warn, self._period, self._clock = warn, period, clock
        self._lock = threading.Lock()
        self._counts: collections.Counter[str] = collections.Counter()
        self._warnings: collections.Counter[str] = collections.Counter()  # without a drop
        self._reported: dict[str, tuple[float, int]] = {}  # (time, count) of the last warning

    def add(self, reason: str, sentence: str) -> None:
        """Count a drop and warn; the sentence names the message and what to do about it."""
        self._count_and_report(self._counts, reason, sentence)

    def warn(self, reason: str, sentence: str) -> None:
        """Log something about a message that is used, at the rate of the drops of a reason."""
        self._count_and_report(self._warnings, reason, sentence)

    def _count_and_report(
        self, counts: collections.Counter[str], reason: str, sentence: str,
    ) -> None:  # fmt: skip
        with self._lock:
            counts[reason] += 1
            count, now = counts[reason], self._clock()
            reported_at, reported = self._reported.get(reason, (-float('inf'), 0))
            if now - reported_at < self._period:
                return
            self._reported[reason] = now, count
        new = count - reported
        self._warn(f'{reason}: {sentence}' + (
            f' ({new} times since the last report)' if new > 1 else ''))

    def count(self, reason: str) -> None:
        """Count a drop that needs no warning."""
        with self._lock:
            self._counts[reason] += 1

    def counts(self) -> dict[str, int]:
        """Return the number of drops by reason."""
        with self._lock:
            return dict(self._counts)

    def reset(self) -> None:
        """Set all counts to 0; the rate of the warnings stays bounded."""
        with self._lock:
            self._counts.clear()
            self._warnings.clear()
            self._reported = {
                reason: (reported_at, 0) for reason, (reported_at, _) in self._reported.items()}


def stamp(message: Any) -> int:
    """Return the stamp of a message with a header [ns]."""
    return nanoseconds(message.header.stamp)


def label(message: Any, kind: str) -> str:
    """Return the name of a message in the log: its kind, frame and stamp."""
    seconds, fraction = divmod(stamp(message), 1_000_000_000)
    return f"{kind} of '{message.header.frame_id}' at {seconds}.{fraction:09d}"
