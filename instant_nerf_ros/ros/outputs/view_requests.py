"""ViewRequests: poses from which a view was requested."""
import collections
import dataclasses
import threading
import time
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from tf2_ros import Buffer

from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL
from instant_nerf_ros.ros.conversions import matrix_from_pose
from instant_nerf_ros.ros.inputs.pending_messages import PendingMessages
from instant_nerf_ros.ros.inputs.tf_lookup import UnusableError, frame_name, lookup_pose
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages, label, stamp

MAX_REQUESTS = 1000  # that wait


@dataclasses.dataclass(frozen=True)
class ViewRequest:
    """A view to render; it is published with the stamp and frame of the request."""

    stamp_ns: int
    frame_id: str
    T_map_camera: NDArray[np.float64]  # (4, 4), optical frame
    preview: bool = False  # of a camera that moves: coarse at once, and refined when it rests


class ViewRequests:
    """Requests in the order of arrival; a request is dropped if TF does not know its frame.

    All methods may be called from any thread, and none of them blocks.
    """

    def __init__(
        self, buffer: Buffer, config: NodeConfig, dropped: DroppedMessages,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Keep a TF buffer, the settings, the counter of drops, and a clock in seconds."""
        self._config = config
        self._buffer, self._dropped = buffer, dropped
        self._lock = threading.Lock()
        self._pending = PendingMessages(clock, self._drop)  # of (message, T_pose_camera, preview)
        self._ready: collections.deque[ViewRequest] = collections.deque()

    def set_config(self, config: NodeConfig) -> None:
        """Use other settings from now on."""
        self._config = config

    def add(self, message: PoseStamped) -> None:
        """Queue the pose of a camera (optical frame)."""
        self._add(message, np.eye(4))

    def add_preview(self, message: PoseStamped) -> None:
        """Queue the pose of a camera that moves (optical frame)."""
        self._add(message, np.eye(4), preview=True)

    def add_goal(self, message: PoseStamped) -> None:
        """Queue the pose of a robot (x forward); its camera is render_goal_height above it."""
        T_goal_camera = T_BODY_OPTICAL.copy()
        T_goal_camera[2, 3] = self._config.render_goal_height
        self._add(message, T_goal_camera)

    def _add(
        self, message: PoseStamped, T_pose_camera: NDArray[np.float64], preview: bool = False,
    ) -> None:  # fmt: skip
        with self._lock:
            if len(self._pending) + len(self._ready) < MAX_REQUESTS:
                self._pending.append((message, T_pose_camera, preview))
                return
        self._dropped.add(
            'too many render poses', f"{label(message, 'pose')}: {MAX_REQUESTS} wait already")

    def clear(self) -> None:
        """Remove all requests."""
        with self._lock:
            self._pending.clear()
            self._ready.clear()

    @property
    def waiting(self) -> bool:
        """Return whether a request waits for its pose."""
        return bool(self._pending)

    def poll(self) -> None:
        """Look up the poses in the map frame; to be called often while a request is pending."""
        with self._lock:
            self._pending.poll(
                lambda request, *_: self._ready.append(self._resolve(*request)),
                self._config.tf_timeout)

    def take(self) -> ViewRequest | None:
        """Return and remove the oldest request whose pose is known, None without any."""
        with self._lock:
            return self._ready.popleft() if self._ready else None

    def _resolve(
        self, message: PoseStamped, T_pose_camera: NDArray[np.float64], preview: bool,
    ) -> ViewRequest:  # fmt: skip
        stamp_ns, frame_id = stamp(message), frame_name(message.header.frame_id)
        try:
            T_frame_camera = matrix_from_pose(message.pose) @ T_pose_camera
        except ValueError as error:
            raise UnusableError('invalid render pose', str(error)) from error
        if frame_id == frame_name(self._config.map_frame):  # which TF need not know
            return ViewRequest(stamp_ns, frame_id, T_frame_camera, preview)
        T_map_frame = lookup_pose(self._buffer, self._config.map_frame, frame_id, stamp_ns)
        return ViewRequest(stamp_ns, frame_id, T_map_frame @ T_frame_camera, preview)

    def _drop(
        self, request: tuple[PoseStamped, NDArray[np.float64], bool], error: UnusableError,
    ) -> None:  # fmt: skip
        self._dropped.add('invalid render pose', f"{label(request[0], 'pose')}: {error}")
