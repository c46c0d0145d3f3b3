"""The trajectory of a SLAM, which changes the poses of the past when a loop is closed."""
import collections
import dataclasses
import time
from collections.abc import Callable

import numpy as np
from nav_msgs.msg import Path
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

from instant_nerf_ros.ros.conversions import matrix_from_pose
from instant_nerf_ros.ros.inputs.tf_lookup import frame_name
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages, label, stamp

MIN_MOTION = 0.05, np.radians(1)  # m, rad: the map is not corrected for less
MIN_PERIOD = 10.0  # s between two corrections, because each one rebuilds the maps


@dataclasses.dataclass(frozen=True)
class StampedPoses:
    """The poses of a body in the map at N stamps."""

    stamps: NDArray[np.int64]  # (N,) nanoseconds, increasing
    T_map_body: NDArray[np.float64]  # (N, 4, 4)

    def interpolated(self, stamps: ArrayLike) -> NDArray[np.float64]:
        """Return the poses (M, 4, 4) at stamps (M,) [ns]; outside the range, the nearest one.

        Translations are interpolated linearly, rotations spherically (slerp).
        """
        stamps = np.asarray(stamps, dtype=np.int64).clip(self.stamps[0], self.stamps[-1])
        if len(self.stamps) == 1:
            return np.tile(self.T_map_body, (len(stamps), 1, 1))
        known, queried = ((each - self.stamps[0]) * 1e-9 for each in (self.stamps, stamps))
        poses = np.tile(np.eye(4), (len(stamps), 1, 1))
        rotations = Rotation.from_matrix(self.T_map_body[:, :3, :3])
        poses[:, :3, :3] = Slerp(known, rotations)(queried).as_matrix()
        for axis in range(3):
            poses[:, axis, 3] = np.interp(queried, known, self.T_map_body[:, axis, 3])
        return poses


@dataclasses.dataclass(frozen=True)
class LoopClosure:
    """A trajectory before and after the SLAM has closed a loop, at the same stamps."""

    before: StampedPoses
    after: StampedPoses
    until_ns: int  # up to this stamp, TF had the poses of `before`

    def T_new_old(self, stamps: ArrayLike) -> NDArray[np.float64]:  # noqa: N802
        """Return the corrections (M, 4, 4) of poses at stamps (M,) [ns].

        Both trajectories are interpolated between their stamps, so that the correction is exact
        for a part of the trajectory that has moved rigidly.
        """
        return self.after.interpolated(stamps) @ np.linalg.inv(self.before.interpolated(stamps))

    def largest_motion(self) -> tuple[float, float]:
        """Return the largest distance [m] and angle [rad] by which a pose has moved."""
        before, after = self.before.T_map_body, self.after.T_map_body
        rotations = Rotation.from_matrix(after[:, :3, :3] @ before[:, :3, :3].transpose(0, 2, 1))
        distances = np.linalg.norm(after[:, :3, 3] - before[:, :3, 3], axis=-1)
        return float(distances.max()), float(rotations.magnitude().max())


class Trajectory:
    """Finds loop closures in the nav_msgs/Path messages of a SLAM.

    Each message holds all poses since the start, in their current estimate.
    """

    def __init__(
        self, map_frame: str, dropped: DroppedMessages, now_ns: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Accept paths in map_frame; now_ns() is the ROS time, clock() is in seconds."""
        self._map_frame, self._dropped = map_frame, dropped
        self.now_ns, self._clock = now_ns, clock
        # The newest message, and the time of its arrival [ns].
        self._latest: collections.deque[tuple[Path, int]] = collections.deque(maxlen=1)
        self.reset()

    def reset(self) -> None:
        """Start again: the next message is assumed to agree with TF."""
        self._latest.clear()
        self._reference: StampedPoses | None = None  # at each stamp, the pose that TF had
        self._next_time = -float('inf')

    def add(self, message: Path) -> None:
        """Add a path; may be called from any thread."""
        self._latest.append((message, self.now_ns()))

    def poll(self) -> LoopClosure | None:
        """Return the loop closure that has to be applied now, None if there is none."""
        if not self._latest or self._clock() < self._next_time:
            return None
        message, arrival_ns = self._latest.pop()
        try:
            poses = self._poses(message)
        except ValueError as error:
            self._dropped.add('unusable trajectory', f"{label(message, 'path')}: {error}")
            return None
        if poses is None:
            return None
        if self._reference is None:
            self._reference = poses
            return None
        common, old, new = np.intersect1d(
            self._reference.stamps, poses.stamps, assume_unique=True, return_indices=True)
        if not len(common):  # another session of the SLAM
            self._reference = poses
            return None
        loop_closure = LoopClosure(
            StampedPoses(common, self._reference.T_map_body[old]),
            StampedPoses(common, poses.T_map_body[new]), arrival_ns)
        if not any(np.greater(loop_closure.largest_motion(), MIN_MOTION)):
            self._reference = _merged(self._reference, poses)
            return None
        self._reference, self._next_time = poses, self._clock() + MIN_PERIOD
        return loop_closure

    def _poses(self, message: Path) -> StampedPoses | None:
        """Return the poses of a message, None if it is empty; raises ValueError if unusable."""
        if frame_name(message.header.frame_id) != frame_name(self._map_frame):
            raise ValueError(
                f"it is in '{message.header.frame_id}', not in '{self._map_frame}': set map_frame "
                'to the frame of the trajectory')
        if not message.poses:
            return None
        stamps = np.array([stamp(posed) for posed in message.poses], dtype=np.int64)
        if (stamps <= 0).any():
            raise ValueError(
                'its poses have no stamps, so they cannot be assigned to images: remap to a '
                'trajectory with stamps')
        stamps, order = np.unique(stamps, return_index=True)
        if len(stamps) == 1 < len(message.poses):
            raise ValueError(
                'its poses all have one stamp, so they cannot be assigned to images: remap to a '
                'trajectory with stamps')
        return StampedPoses(
            stamps, np.array([matrix_from_pose(message.poses[k].pose) for k in order]))


def _merged(known: StampedPoses, others: StampedPoses) -> StampedPoses:
    """Return the known poses, and the others at stamps that are not known."""
    added = ~np.isin(others.stamps, known.stamps)
    stamps = np.concatenate([known.stamps, others.stamps[added]])
    order = np.argsort(stamps)
    return StampedPoses(
        stamps[order], np.concatenate([known.T_map_body, others.T_map_body[added]])[order])
