"""Poses of the robot's base while it drives, from TF: nothing stands where it has been."""
import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from tf2_ros import Buffer

from instant_nerf_ros.ros.inputs.tf_lookup import UnusableError, lookup_pose, newest_pose
from instant_nerf_ros.ros.params.live_parameters import LiveParameters
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages

if TYPE_CHECKING:
    from instant_nerf_ros.ros.inputs.input_queue import InputQueue

SPACING = 0.25  # of the radius, between poses
MAX_POSES = 50  # at a time; with more, they are further apart
MAX_SPEED = 5.0  # m/s, of a robot; what is faster is a jump of TF
MAX_CAMERA_DISTANCE = 2.0  # metres, between base and camera
MAX_SLOPE, MAX_BUMP = 0.5, 0.03  # rise per distance, and metres more, of a robot that drives


@dataclasses.dataclass(frozen=True)
class PosedBody:
    """A pose of the base, in the queue with images and scans."""

    stamp_ns: int
    T_map_sensor: NDArray[np.float64]  # (4, 4), T_map_base
    message: PoseStamped  # frame and stamp, for the log
    source: 'BodyPoses'


class BodyPoses:
    """Follows base_frame if it and body.radius are set, and queues its poses."""

    def __init__(
        self, buffer: Buffer, parameters: LiveParameters, camera_frames: Callable[[], list[str]],
        dropped: DroppedMessages, queue: 'InputQueue',
    ) -> None:  # fmt: skip
        """Keep the TF buffer; camera_frames() are the frames of the images so far."""
        self._buffer, self._parameters, self._camera_frames = buffer, parameters, camera_frames
        self._dropped, self._queue = dropped, queue
        self.clear()

    def clear(self) -> None:
        """Begin anew, as after a jump back in time."""
        self._newest: tuple[int, NDArray[np.float64]] | None = None  # stamp [ns] and pose
        self._lifted_from: float | None = None  # m, its height before it was lifted

    def poll(self) -> None:
        """Queue the poses since the last call, if the robot has moved."""
        config = self._parameters.node
        radius = self._parameters.engine.body.radius
        if not config.base_frame or not radius or not self._camera_frames():
            return
        try:
            T_map_base, stamp_ns = newest_pose(self._buffer, config.map_frame, config.base_frame)
            if self._newest is None:
                self._add(stamp_ns, T_map_base)
                return
            last_ns, last = self._newest
            distance = float(np.linalg.norm(T_map_base[:3, 3] - last[:3, 3]))
            if stamp_ns <= last_ns or distance < SPACING * radius:
                return
            if distance > MAX_SPEED * (stamp_ns - last_ns) * 1e-9:
                self._warn(f'it has jumped by {distance:.2f} m: its way there is not used')
                self._add(stamp_ns, T_map_base)
                return
            steps = min(math.ceil(distance / (SPACING * radius)), MAX_POSES)
            for at in np.linspace(last_ns, stamp_ns, steps + 1)[1:].astype(np.int64).tolist():
                self._add(at, lookup_pose(self._buffer, config.map_frame, config.base_frame, at))
        except UnusableError:
            return  # the floor height, which needs the same pose, says so

    def _add(self, stamp_ns: int, T_map_base: NDArray[np.float64]) -> None:
        before, self._newest = self._newest, (stamp_ns, T_map_base)
        if self._is_lifted(T_map_base, before and before[1]):
            self._warn('it has left the floor: while the robot is carried, nothing is cleared')
        elif self._is_far(stamp_ns):
            self._warn(f'it is more than {MAX_CAMERA_DISTANCE:.0f} m away from the camera: set '
                       "'base_frame' to that of the robot which carries it")
        else:
            message = PoseStamped()
            message.header.frame_id = self._parameters.node.base_frame
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
            self._queue.append(PosedBody(stamp_ns, T_map_base, message, self))

    def _is_lifted(
        self, T_map_base: NDArray[np.float64], before: NDArray[np.float64] | None,
    ) -> bool:  # fmt: skip
        """Return whether the robot has risen or sunk more steeply than it can drive."""
        if before is not None and self._lifted_from is None:
            x, y, rise = T_map_base[:3, 3] - before[:3, 3]
            if abs(rise) > MAX_SLOPE * math.hypot(x, y) + MAX_BUMP:
                self._lifted_from = float(before[2, 3])
        if self._lifted_from is not None and (
                abs(T_map_base[2, 3] - self._lifted_from) < MAX_BUMP):
            self._lifted_from = None
        return self._lifted_from is not None

    def _is_far(self, stamp_ns: int) -> bool:
        """Return whether all cameras are far from the base."""
        base = self._parameters.node.base_frame
        distances = [
            np.linalg.norm(lookup_pose(self._buffer, base, frame, stamp_ns)[:3, 3])
            for frame in self._camera_frames()]
        return bool(min(distances) > MAX_CAMERA_DISTANCE)

    def _warn(self, sentence: str) -> None:
        self._dropped.warn(
            'body of the robot', f"'{self._parameters.node.base_frame}': {sentence}")
