"""The progress of the mapper on one line of the terminal."""
import math
import sys
import time
from collections.abc import Mapping

LINE_PERIOD = 5.0  # seconds between lines where they cannot be overwritten
# What the mapper does, by the 'state' in its diagnostics; other states are printed as they are.
ACTIVITIES = {
    'starting the engine': 'compiling kernels (a minute or two at the first start)',
    'resting': 'converged',
}


class Progress:
    """Rewrites one line of a terminal; elsewhere, it writes a line now and then."""

    def __init__(self) -> None:
        self._begin = self._last = time.monotonic()
        self._terminal = sys.stdout.isatty()

    def show(self, phase: str, status: Mapping[str, str], known_area: float) -> None:
        """Write the phase of the demo and `describe` of the mapper."""
        now = time.monotonic()
        if not self._terminal and now - self._last < LINE_PERIOD:
            return
        self._last = now
        line = f'{now - self._begin:5.0f} s  {phase:8}  {describe(status, known_area)}'
        print(f'\r{line}\x1b[K' if self._terminal else line,
              end='' if self._terminal else '\n', flush=True)

    def close(self) -> None:
        """End the line."""
        if self._terminal:
            print()


def describe(status: Mapping[str, str], known_area: float) -> str:
    """Return what the mapper does, and the figures that are known.

    status: the values of its latest diagnostics by name, empty before the first ones; known_area:
    the free and occupied cells of its map [m^2].
    """
    if not status:
        return 'waiting for mapper_node'
    keyframes, steps = int(status['keyframes']), int(status['steps'])
    if status['state'] == 'mapping' and not keyframes:
        return 'waiting for images'
    activity = ACTIVITIES.get(status['state'], status['state'])
    if not keyframes:
        return activity
    figures = [f'{activity}:', f'{keyframes:>4} keyframes', f'{steps:>6} steps']
    speed, loss = float(status['steps per second']), float(status['loss'])
    if speed:
        figures[-1] += f' ({speed:.1f}/s)'
    if math.isfinite(loss):
        figures.append(f'loss {loss:.4f}')
    return '  '.join([*figures, f'{known_area:.1f} m2 known'])
