"""Poses from which somebody wants to see the map."""
import collections
import dataclasses
import threading
import time

import numpy as np

from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL
from instant_nerf_ros.ros.conversions import matrix_from_pose
from instant_nerf_ros.ros.reporting.dropped_messages import label, stamp
from instant_nerf_ros.ros.inputs.tf_lookup import UnusableError, lookup_pose
from instant_nerf_ros.ros.inputs.pending_messages import Waiting

MOST = 1000  # that may wait


@dataclasses.dataclass(frozen=True)
class ViewRequest:
    """A view to render; the answer bears its stamp and frame, so that the two can be matched."""

    stamp_ns: int
    frame_id: str
    T_map_camera: np.ndarray  # (4, 4) float64


class ViewRequests:
    """Requests in the order of arrival: none is lost, unless TF does not know its frame."""

    def __init__(self, buffer, config, drops, clock=time.monotonic):
        """Keep a tf2_ros Buffer, a NodeConfig, a Drops and a clock in seconds."""
        self.config = config
        self._buffer, self._drops = buffer, drops
        self._lock = threading.Lock()
        self._waiting = Waiting(clock, self._drop)  # of (message, T_pose_camera)
        self._ready = collections.deque()

    def add(self, message):
        """Queue a geometry_msgs/PoseStamped of a camera (optical frame)."""
        self._add(message, np.eye(4))

    def add_goal(self, message):
        """Queue a PoseStamped of a robot (x ahead), whose camera is render_goal_height above."""
        T_goal_camera = T_BODY_OPTICAL.copy()
        T_goal_camera[2, 3] = self.config.render_goal_height
        self._add(message, T_goal_camera)

    def _add(self, message, T_pose_camera):
        with self._lock:
            if len(self._waiting) + len(self._ready) < MOST:
                self._waiting.append((message, T_pose_camera))
                return
        self._drops.add('too many render poses', f"{label(message, 'pose')}: {MOST} wait already")

    def clear(self):
        """Forget all of them."""
        with self._lock:
            self._waiting.clear()
            self._ready.clear()

    @property
    def waiting(self):
        """Tell whether a request waits to be polled."""
        return bool(self._waiting)

    def poll(self):
        """Find the poses in the map frame. To be called often."""
        with self._lock:
            self._waiting.poll(
                lambda request, *_: self._ready.append(self._resolve(*request)),
                self.config.tf_timeout)

    def take(self):
        """Return the oldest ViewRequest, None where there is none."""
        with self._lock:
            return self._ready.popleft() if self._ready else None

    def _resolve(self, message, T_pose_camera):
        stamp_ns, frame_id = stamp(message), message.header.frame_id
        try:
            T_frame_camera = matrix_from_pose(message.pose) @ T_pose_camera
        except ValueError as error:
            raise UnusableError('invalid render pose', str(error)) from error
        if frame_id == self.config.map_frame:  # needs no TF, not even a publisher of it
            return ViewRequest(stamp_ns, frame_id, T_frame_camera)
        T_map_frame = lookup_pose(self._buffer, self.config.map_frame, frame_id, stamp_ns)
        return ViewRequest(stamp_ns, frame_id, T_map_frame @ T_frame_camera)

    def _drop(self, request, error):
        self._drops.add('invalid render pose', f"{label(request[0], 'pose')}: {error}")
