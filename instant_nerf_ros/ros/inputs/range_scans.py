"""Range scans with the poses that belong to them: LaserScan and PointCloud2."""
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import LaserScan
from tf2_ros import Buffer

from instant_nerf_ros.ros.inputs.pending_messages import PendingMessages
from instant_nerf_ros.ros.inputs.range_messages import (
    RangeMessage,
    duration_of,
    free_rays_of,
    points_from,
)
from instant_nerf_ros.ros.inputs.tf_lookup import (
    NO_STAMP,
    UnusableError,
    frame_name,
    lookup_pose,
)
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages, label, stamp

if TYPE_CHECKING:
    from instant_nerf_ros.ros.inputs.input_queue import InputQueue

SEGMENTS = 8  # of a scan with a duration; each has a pose of its own


@dataclasses.dataclass(frozen=True)
class PosedScan:
    """A scan message with the pose of its sensor."""

    stamp_ns: int  # of the end of the scan
    T_map_sensor: NDArray[np.float64]  # (4, 4), at the end of the scan
    message: RangeMessage
    source: 'RangeScans'  # of its topic


class RangeScans:
    """Finds the poses of the scans of a topic; reports the scans that cannot be used.

    All methods may be called from any thread, and none of them blocks.
    """

    def __init__(
        self, buffer: Buffer, config: NodeConfig, dropped: DroppedMessages, queue: 'InputQueue',
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Append the posed scans to a queue; clock() is in seconds."""
        self.config = config
        self._buffer, self._dropped, self._queue = buffer, dropped, queue
        self._lock = threading.Lock()
        self.frame_id = ''  # of its sensor
        self._pending: PendingMessages[RangeMessage] = PendingMessages(
            clock, lambda message, error: self._drop(message, error.reason, str(error)))

    def set_config(self, config: NodeConfig) -> None:
        """Use the settings of another NodeConfig that may change while running."""
        self.config = config

    def add(self, message: RangeMessage) -> None:
        """Add a scan."""
        with self._lock:
            if len(self._pending) >= self.config.queue_size:
                self._drop(self._pending.popleft(), 'queue full', (
                    f'{self.config.queue_size} scans are waiting ({self._pending.blocked_by}): '
                    "provide what is missing, or increase 'queue_size'"))
            self._pending.append(message)

    def clear(self) -> None:
        """Remove the waiting scans, as after a jump back in time."""
        with self._lock:
            self._pending.clear()

    @property
    def waiting(self) -> bool:
        """Return whether a scan waits for its pose."""
        return bool(self._pending)

    def poll(self) -> None:
        """Look up the poses of the waiting scans; to be called often."""
        with self._lock:
            self._pending.poll(
                lambda message, *_: self._queue.append(self._posed(message)),
                self.config.tf_timeout)

    def decode(
        self, posed: PosedScan,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:  # fmt: skip
        """Return origins and points, (N, 3) [m] in the map frame; None if the scan is unusable.

        Each ray starts where the sensor was when it was measured: the robot turns during a scan.
        """
        message = posed.message
        try:
            points = points_from(message, self.config.max_range)
            empty = not np.isfinite(points).all(axis=-1).any() and self._free_rays(posed) is None
            origins, points = self._in_map(message, points)
        except UnusableError as error:
            self._drop(message, error.reason, str(error))
            return None
        except ValueError as error:
            self._drop(message, f'unreadable {_kind(message)}', str(error))
            return None
        if empty:
            self._drop(message, f'empty {_kind(message)}', (
                'it holds no measurement: check the sensor, and the limits of its range'))
            return None
        return origins, points

    def decode_free(self, posed: PosedScan) -> NDArray[np.float64] | None:
        """Return the ends (N, 3) [m] in the map frame of rays that met nothing; NaN for others.

        Their origins are those of `decode`, which must have accepted the scan. Returns None if
        there are none, or if NodeConfig.inf_is_valid is false.
        """
        ends = self._free_rays(posed)
        return None if ends is None else self._in_map(posed.message, ends)[1]

    def _free_rays(self, posed: PosedScan) -> NDArray[np.float64] | None:
        if not self.config.inf_is_valid:
            return None
        ends = free_rays_of(posed.message)
        return ends if np.isfinite(ends).any() else None

    def _in_map(
        self, message: RangeMessage, points: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
        """Return the origins and ends (N, 3) in the map frame of rays to points (N, 3)."""
        segments = [(points[:0], points[:0])]
        for rays in np.array_split(np.arange(len(points)), SEGMENTS):
            if len(rays):
                T_map_sensor = self._pose(message, rays.mean() / max(len(points) - 1, 1))
                segments.append((
                    np.broadcast_to(T_map_sensor[:3, 3], (len(rays), 3)),
                    points[rays] @ T_map_sensor[:3, :3].T + T_map_sensor[:3, 3]))
        origins, ends = (np.concatenate(arrays) for arrays in zip(*segments))
        return origins, ends

    def _posed(self, message: RangeMessage) -> PosedScan:
        if stamp(message) == 0:
            raise UnusableError('no stamp', NO_STAMP)
        if frame_name(message.header.frame_id) == frame_name(self.config.map_frame):
            raise UnusableError('not in the frame of a sensor', (
                f"it is in '{self.config.map_frame}', so that nobody knows where its rays begin: "
                'remap to the topic of the driver'))
        try:
            duration = duration_of(message)
        except ValueError as error:
            raise UnusableError(f'unreadable {_kind(message)}', str(error)) from error
        posed = PosedScan(
            stamp(message) + round(duration * 1e9), self._pose(message, 1.0), message, self)
        self.frame_id = message.header.frame_id
        return posed

    def _pose(self, message: RangeMessage, fraction: float) -> NDArray[np.float64]:
        """Return T_map_sensor (4, 4) after a fraction of the duration of a message."""
        stamp_ns = stamp(message) + round(fraction * duration_of(message) * 1e9)
        return lookup_pose(
            self._buffer, self.config.map_frame, message.header.frame_id, stamp_ns)

    def _drop(self, message: RangeMessage, why: str, sentence: str) -> None:
        self._dropped.add(why, f'{label(message, _kind(message))}: {sentence}')


def _kind(message: RangeMessage) -> str:
    return 'scan' if isinstance(message, LaserScan) else 'cloud'
