"""Work that is done again and again."""
import time


class Periodic:
    """Work that rests one period after each run, however long that takes: training goes on."""

    def __init__(self, rate, work):
        """Keep rate() -> Hz, 0 for never, which may change."""
        self._rate, self._work, self._ended = rate, work, -float('inf')

    def run_if_due(self, shortest=0.0):
        """Do the work if it is time; shortest is the least period [s], whatever the rate."""
        rate = self._rate()
        if rate and time.monotonic() >= self._ended + max(1.0 / rate, shortest):
            self._work()
            self._ended = time.monotonic()
