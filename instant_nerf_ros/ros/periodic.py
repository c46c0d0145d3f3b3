"""Periodic: limits how often work is done."""
import time
from collections.abc import Callable


class Periodic:
    """A period between the end of a run of some work and the start of the next one.

    It starts at the end, so that slow work leaves time for training between two runs.
    """

    def __init__(self, rate: Callable[[], float]) -> None:
        """Keep rate() -> [Hz], which may change; with 0 the work is never due."""
        self._rate = rate
        self._ended = -float('inf')

    def due(self, min_period: float = 0.0) -> bool:
        """Return whether the period, which is at least min_period [s], has passed."""
        rate = self._rate()
        return bool(rate) and time.monotonic() >= self._ended + max(1.0 / rate, min_period)

    def done(self) -> None:
        """Start the next period, as the work has ended."""
        self._ended = time.monotonic()
