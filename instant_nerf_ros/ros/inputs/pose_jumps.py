"""Jumps of the localisation: the robot has another place in the map, but has not moved there."""
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tf2_ros import Buffer

from instant_nerf_ros.ros.inputs.tf_lookup import UnusableError, newest_pose
from instant_nerf_ros.ros.inputs.viewpoints import pose_distance
from instant_nerf_ros.ros.params.node_config import NodeConfig

if TYPE_CHECKING:
    from instant_nerf_ros.ros.inputs.posed_images import PosedImages
    from instant_nerf_ros.ros.inputs.range_scans import RangeScans

MIN_JUMP = 0.10, 3.0  # m, degrees
DRIFT = 0.1  # largest error of odometry, per way and per turn, which a localisation corrects
MAX_SPEED = 5.0  # m/s, of a robot; what is faster is a jump of odometry itself
MAX_GAP_NS = 5_000_000_000  # ns between two poses, beyond which they are not compared

Pose = NDArray[np.float64]  # (4, 4)


class PoseJumps:
    """Compares how a sensor moves in the map with how it moves in odom_frame; for one thread.

    Where TF has no such frame between map and sensor, nothing is claimed.
    """

    def __init__(
        self, buffer: Buffer, config: NodeConfig, sensors: 'Sequence[PosedImages | RangeScans]',
        now_ns: Callable[[], int], settled_ns: Callable[[], int],
    ) -> None:  # fmt: skip
        """Keep the TF buffer.

        The first of the sensors whose pose was needed so far is followed. now_ns() is the ROS
        time, and settled_ns() that up to which jumps do not concern the map any more.
        """
        self._buffer, self._config, self._sensors = buffer, config, sensors
        self._now_ns, self._settled_ns = now_ns, settled_ns
        self.clear()

    def clear(self) -> None:
        """Begin anew, as after a jump back in time."""
        # Stamp of the newest poses [ns], T_map_sensor, T_odom_sensor, and when they were read.
        self._newest: tuple[int, Pose, Pose, int] | None = None
        self._jump_ns = 0  # ROS time of the latest jump
        self._largest = 0.0, 0.0  # m, degrees, of the jumps that concern the map

    def check(self) -> str | None:
        """Look for a jump, and return a sentence while the map is of before one.

        To be called once a second.
        """
        before, self._newest = self._newest, self._poses()
        if before and self._newest and (jump := _jump(before, self._newest)):
            earlier = self._largest if self._is_stale() else (0.0, 0.0)
            self._largest = max(earlier[0], jump[0]), max(earlier[1], jump[1])
            self._jump_ns = before[3]  # it was after that
        if not self._is_stale():
            return None
        distance, angle = self._largest
        return (
            f'the map is stale: {self._config.map_frame} -> {self._config.odom_frame} has jumped '
            f'by {distance:.2f} m, {angle:.1f} degrees: publish the corrected poses '
            "as 'trajectory', or call ~/reset")

    def _is_stale(self) -> bool:
        return bool(self._jump_ns) and self._jump_ns > self._settled_ns()

    def _poses(self) -> tuple[int, Pose, Pose, int] | None:
        map_frame, odom_frame = self._config.map_frame, self._config.odom_frame
        frames = [sensor.frame_id for sensor in self._sensors if sensor.frame_id]
        if not frames or odom_frame in ('', map_frame, frames[0]):
            return None
        try:
            T_map_odom, _ = newest_pose(self._buffer, map_frame, odom_frame)
            T_odom_sensor, stamp_ns = newest_pose(self._buffer, odom_frame, frames[0])
        except UnusableError:
            return None
        return stamp_ns, T_map_odom @ T_odom_sensor, T_odom_sensor, self._now_ns()


def _jump(
    before: tuple[int, Pose, Pose, int], after: tuple[int, Pose, Pose, int],
) -> tuple[float, float] | None:  # fmt: skip
    """Return distance [m] and angle [degree] of a jump in the map; None if there is none.

    They are by how much the motion of the sensor in the map exceeds that by odometry.
    """
    duration_ns = after[0] - before[0]
    if not 0 <= duration_ns <= MAX_GAP_NS:
        return None
    way, turn = pose_distance(before[2], after[2])
    if way > MIN_JUMP[0] + MAX_SPEED * duration_ns * 1e-9:
        return None
    in_map, in_odom = (np.linalg.inv(before[i]) @ after[i] for i in (1, 2))
    distance, angle = pose_distance(in_odom, in_map)
    if distance > MIN_JUMP[0] + DRIFT * way or angle > MIN_JUMP[1] + DRIFT * turn:
        return distance, angle
    return None
