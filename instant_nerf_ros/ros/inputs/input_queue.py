"""Posed images and scans of all sensors, until the engine takes them."""
import collections
import itertools
import threading

import numpy as np

from instant_nerf_ros.ros.reporting.dropped_messages import label
from instant_nerf_ros.ros.inputs.viewpoints import beyond, motion

REDUNDANT = 'redundant'  # the reason of a drop


class Ready:
    """A bounded queue, safe to use from every thread.

    When it is full, the one makes room that is nearest to the one before it of the same sensor:
    first those that would not be kept anyway, then evenly all along the way. So no part of the
    way and no sensor goes missing.
    """

    def __init__(self, size, thresholds, drops):
        """Keep how many of a sensor may wait, thresholds() -> KeyframeConfig, and a Drops."""
        self._size, self._thresholds, self._drops = size, thresholds, drops
        self._changed = threading.Condition()
        self._waiting = collections.deque()

    def append(self, posed):
        """Queue a PosedImage or PosedScan."""
        with self._changed:
            self._waiting.append(posed)
            mine = [other for other in self._waiting if other.source is posed.source]
            if len(mine) > self._size:
                self._make_room(mine)
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

    def _make_room(self, mine):
        poses = [posed.T_map_sensor for posed in mine]
        motions = [motion(*pair) for pair in itertools.pairwise(poses)]
        # One radian weighs as much as one metre.
        least = min(range(len(motions)), key=lambda k: motions[k][0] + np.radians(motions[k][1]))
        dropped = mine[least + 1]
        self._waiting = collections.deque(
            other for other in self._waiting if other is not dropped)
        if beyond(motions[least], self._thresholds()):
            self._drops.add('engine busy', (
                f"{label(dropped.message, 'message')}: they come faster than the engine takes "
                'them'))
        else:
            self._drops.count(REDUNDANT)
