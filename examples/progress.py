"""A line that says how far the map is."""
import sys
import time

LINE_PERIOD = 5.0  # s between lines where they cannot be overwritten


class Progress:
    """Rewrites one line of a terminal; elsewhere it writes a line now and then."""

    def __init__(self, observer):
        """Keep the Observer that knows."""
        self._observer = observer
        self._begin = self._told = time.monotonic()
        self._terminal = sys.stdout.isatty()

    def show(self, phase):
        """Show the latest figures."""
        now = time.monotonic()
        if not self._terminal and now - self._told < LINE_PERIOD:
            return
        self._told = now
        line = f'{now - self._begin:5.0f} s  {phase:8}'
        status = self._observer.status
        if status.get('backend'):
            line += (
                f"  {status['keyframes']:>4} keyframes  {status['steps']:>6} steps "
                f"({float(status['steps per second']):4.1f}/s)  "
                f"loss {float(status['loss']):.4f}  {self._observer.known_area():5.1f} m2 known")
        print(f'\r{line}\x1b[K' if self._terminal else line,
              end='' if self._terminal else '\n', flush=True)

    def close(self):
        """End the line."""
        if self._terminal:
            print()
