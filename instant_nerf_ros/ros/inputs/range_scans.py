"""Range scans with the poses that belong to them: LaserScan and PointCloud2."""
import dataclasses
import threading
import time

import numpy as np
from sensor_msgs.msg import LaserScan

from instant_nerf_ros.ros.reporting.dropped_messages import label, stamp
from instant_nerf_ros.ros.inputs.tf_lookup import UnusableError, lookup_pose
from instant_nerf_ros.ros.inputs.range_messages import duration_of, points_from
from instant_nerf_ros.ros.inputs.pending_messages import Waiting

PARTS = 8  # of a scan that takes time; each has a pose of its own


@dataclasses.dataclass(frozen=True)
class PosedScan:
    """A scan whose pose is known, still as a message."""

    stamp_ns: int  # of its end
    T_map_sensor: np.ndarray  # (4, 4) float64, at its end
    message: object  # sensor_msgs/LaserScan or PointCloud2
    source: object  # the RangeScans it comes from, one for each topic


class RangeScans:
    """Scans of a topic that wait for TF; what cannot be used goes to drops.

    All methods may be called from any thread, and none of them blocks.
    """

    def __init__(self, buffer, config, drops, ready, clock=time.monotonic):
        """Keep a tf2_ros Buffer, a NodeConfig, where to report, Ready and a clock [s]."""
        self.config = config
        self._buffer, self._drops, self._ready = buffer, drops, ready
        self._lock = threading.Lock()
        self._waiting = Waiting(
            clock, lambda message, error: self._drop(message, error.reason, str(error)))

    def add(self, message):
        """Queue a sensor_msgs/LaserScan or PointCloud2."""
        with self._lock:
            if len(self._waiting) >= self.config.queue_size:
                self._drop(self._waiting.popleft(), 'queue full', 'it waited for TF')
            self._waiting.append(message)

    def clear(self):
        """Forget those that wait, as after a jump back in time."""
        with self._lock:
            self._waiting.clear()

    @property
    def waiting(self):
        """Tell whether a scan waits to be polled."""
        return bool(self._waiting)

    def poll(self):
        """Find the poses of what waits. To be called often."""
        with self._lock:
            self._waiting.poll(
                lambda message, *_: self._ready.append(self._posed(message)),
                self.config.tf_timeout)

    def decode(self, posed):
        """Return origins and points, (N, 3) metres in the map, of a PosedScan; None if it is bad.

        Each ray of a scan starts where the sensor was then: the robot turns meanwhile.
        """
        message = posed.message
        try:
            points = points_from(message)
            parts = []
            for rays in np.array_split(np.arange(len(points)), PARTS):
                if len(rays):
                    T_map_sensor = self._pose(message, rays.mean() / max(len(points) - 1, 1))
                    parts.append((
                        np.broadcast_to(T_map_sensor[:3, 3], (len(rays), 3)),
                        points[rays] @ T_map_sensor[:3, :3].T + T_map_sensor[:3, 3]))
        except UnusableError as error:
            return self._drop(message, error.reason, str(error))
        except ValueError as error:
            return self._drop(message, f'unreadable {_kind(message)}', str(error))
        if not np.isfinite(points).all(axis=-1).any():
            return self._drop(message, f'empty {_kind(message)}', 'it measures nothing')
        return tuple(np.concatenate(arrays) for arrays in zip(*parts))

    def _posed(self, message):
        if stamp(message) == 0:
            raise UnusableError('no stamp', 'TF takes a zero stamp for the latest time')
        try:
            duration = duration_of(message)
        except ValueError as error:
            raise UnusableError(f'unreadable {_kind(message)}', str(error)) from error
        return PosedScan(
            stamp(message) + round(duration * 1e9), self._pose(message, 1.0), message, self)

    def _pose(self, message, share):
        """Return T_map_sensor (4, 4) when a share of a message was measured."""
        stamp_ns = stamp(message) + round(share * duration_of(message) * 1e9)
        return lookup_pose(
            self._buffer, self.config.map_frame, message.header.frame_id, stamp_ns)

    def _drop(self, message, why, sentence):
        self._drops.add(why, f'{label(message, _kind(message))}: {sentence}')


def _kind(message):
    return 'scan' if isinstance(message, LaserScan) else 'cloud'
