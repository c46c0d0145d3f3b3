"""Posed images and scans of all sensors, on their way to the training thread."""
import collections
import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from instant_nerf_ros.ros.inputs.body_poses import PosedBody
from instant_nerf_ros.ros.inputs.posed_images import PosedImage
from instant_nerf_ros.ros.inputs.range_scans import PosedScan
from instant_nerf_ros.ros.inputs.viewpoints import exceeds, pose_distance
from instant_nerf_ros.ros.reporting.dropped_messages import REDUNDANT, DroppedMessages, label

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.config import KeyframeConfig


class InputQueue:
    """A bounded, thread-safe queue.

    If it is full, the input whose pose is nearest to the one before it of the same sensor is
    dropped: first those that would not be kept anyway, then evenly along the path. So no part of
    the path and no sensor is lost when training is slow.
    """

    def __init__(
        self, size: int, thresholds: 'Callable[[], KeyframeConfig]', dropped: DroppedMessages,
        activity: Callable[[], str] = str,
    ) -> None:  # fmt: skip
        """Queue at most `size` inputs of each sensor; thresholds() returns the current ones.

        activity() returns what keeps the engine from taking inputs, '' if nothing does.
        """
        self._size, self._thresholds, self._dropped = size, thresholds, dropped
        self._activity = activity
        self._changed = threading.Condition()
        self._inputs: collections.deque[PosedImage | PosedScan | PosedBody] = collections.deque()

    def __len__(self) -> int:
        """Return the number of inputs that wait."""
        return len(self._inputs)

    def append(self, posed: PosedImage | PosedScan | PosedBody) -> None:
        """Add an input at the end."""
        with self._changed:
            self._inputs.append(posed)
            of_sensor = [other for other in self._inputs if other.source is posed.source]
            if len(of_sensor) > self._size:
                self._drop_nearest(of_sensor)
            self._changed.notify_all()

    def clear(self) -> None:
        """Remove all inputs."""
        with self._changed:
            self._inputs.clear()

    def wait(self, timeout: float) -> None:
        """Wait until the queue is not empty, at most timeout [s]."""
        with self._changed:
            self._changed.wait_for(lambda: self._inputs, timeout)

    def pop(self) -> PosedImage | PosedScan | PosedBody | None:
        """Remove and return the oldest input; None if the queue is empty."""
        with self._changed:
            return self._inputs.popleft() if self._inputs else None

    def _drop_nearest(self, of_sensor: list[PosedImage | PosedScan | PosedBody]) -> None:
        distances = [
            pose_distance(before.T_map_sensor, after.T_map_sensor)
            for before, after in itertools.pairwise(of_sensor)]
        # One radian weighs as much as one metre.
        nearest = min(
            range(len(distances)), key=lambda k: distances[k][0] + np.radians(distances[k][1]))
        removed = of_sensor[nearest + 1]
        self._inputs = collections.deque(
            other for other in self._inputs if other is not removed)
        if not exceeds(distances[nearest], self._thresholds()):
            self._dropped.count(REDUNDANT)
        elif activity := self._activity():
            self._dropped.add(activity, (
                f"{label(removed.message, 'message')}: the queue is full until this has ended"))
        else:
            self._dropped.add('engine busy', (
                f"{label(removed.message, 'message')}: messages arrive faster than the engine "
                "uses them: lower their rate, or increase 'keyframes.min_translation'"))
