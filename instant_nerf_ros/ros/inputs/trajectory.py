"""The trajectory that SLAM tells, and what it says of old poses when a loop is closed."""
import collections
import dataclasses
import time

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from instant_nerf_ros.ros.conversions import matrix_from_pose
from instant_nerf_ros.ros.reporting.dropped_messages import label, stamp

LEAST = 0.05, np.radians(1)  # m, rad: as long as nothing moves by more, all stays where it is
CALM = 10.0  # s between corrections, after which maps are made anew


@dataclasses.dataclass(frozen=True)
class Poses:
    """Where something was in the map, at N stamps."""

    stamps: np.ndarray  # (N,) int64, nanoseconds, increasing
    T_map_body: np.ndarray  # (N, 4, 4)

    def at(self, stamps):
        """Return poses (M, 4, 4) at stamps (M,) [ns], interpolated; beyond, the nearest ones."""
        stamps = np.asarray(stamps, dtype=np.int64).clip(self.stamps[0], self.stamps[-1])
        if len(self.stamps) == 1:
            return np.tile(self.T_map_body, (len(stamps), 1, 1))
        known, asked = ((each - self.stamps[0]) * 1e-9 for each in (self.stamps, stamps))
        poses = np.tile(np.eye(4), (len(stamps), 1, 1))
        rotations = Rotation.from_matrix(self.T_map_body[:, :3, :3])
        poses[:, :3, :3] = Slerp(known, rotations)(asked).as_matrix()
        for axis in range(3):
            poses[:, axis, 3] = np.interp(asked, known, self.T_map_body[:, axis, 3])
        return poses


@dataclasses.dataclass(frozen=True)
class Correction:
    """What was taken to be before, and what is known now, of the same stamps."""

    before: Poses
    after: Poses
    until_ns: int  # poses from TF are those of before up to this stamp

    def at(self, stamps):
        """Return T_new_old (M, 4, 4), which move what was seen at stamps (M,) to where it is.

        Between the stamps both trajectories are interpolated, so a stretch that has moved as a
        whole is moved exactly.
        """
        return self.after.at(stamps) @ np.linalg.inv(self.before.at(stamps))

    def largest(self):
        """Return how far [m] and by which angle [rad] a pose has moved at most."""
        before, after = self.before.T_map_body, self.after.T_map_body
        turned = Rotation.from_matrix(after[:, :3, :3] @ before[:, :3, :3].transpose(0, 2, 1))
        return (np.linalg.norm(after[:, :3, 3] - before[:, :3, 3], axis=-1).max(),
                turned.magnitude().max())


class Trajectory:
    """Takes nav_msgs/Path messages of a SLAM, each with all poses as they are known by then."""

    def __init__(self, map_frame, drops, now_ns, clock=time.monotonic):
        """Keep the frame that it must be in, a Drops, the clock of stamps, and one in seconds."""
        self._map_frame, self._drops, self._now_ns, self._clock = map_frame, drops, now_ns, clock
        self._latest = collections.deque(maxlen=1)  # a message, and when it came [ns]
        self.forget()

    def forget(self):
        """Begin anew: what comes next is what TF says, too."""
        self._latest.clear()
        self._used = None  # Poses that fit those of TF: of each stamp, the first that were told
        self._calm_until = -float('inf')

    def add(self, message):
        """Take a nav_msgs/Path; from any thread."""
        self._latest.append((message, self._now_ns()))

    def take(self):
        """Return the Correction that is due, or None."""
        if not self._latest or self._clock() < self._calm_until:
            return None
        message, came_ns = self._latest.pop()
        try:
            poses = self._poses(message)
        except ValueError as error:
            self._drops.add('unusable trajectory', f"{label(message, 'path')}: {error}")
            return None
        if poses is None:
            return None
        if self._used is None:
            self._used = poses
            return None
        common, old, new = np.intersect1d(
            self._used.stamps, poses.stamps, assume_unique=True, return_indices=True)
        if not len(common):  # another session of SLAM
            self._used = poses
            return None
        correction = Correction(
            Poses(common, self._used.T_map_body[old]), Poses(common, poses.T_map_body[new]),
            came_ns)
        if not any(moved > least for moved, least in zip(correction.largest(), LEAST)):
            self._used = _joined(self._used, poses)
            return None
        self._used, self._calm_until = poses, self._clock() + CALM
        return correction

    def _poses(self, message):
        """Return the Poses of a message, None if it has none; ValueError if it is no use."""
        if message.header.frame_id != self._map_frame:
            raise ValueError(
                f"it is in '{message.header.frame_id}', and has to be in map_frame, "
                f"'{self._map_frame}'")
        if not message.poses:
            return None
        stamps = np.array([stamp(posed) for posed in message.poses], dtype=np.int64)
        if (stamps <= 0).any():
            raise ValueError('its poses have no stamps: nobody can tell which belongs to an image')
        stamps, order = np.unique(stamps, return_index=True)
        if len(stamps) == 1 < len(message.poses):
            raise ValueError('its poses all have one stamp: nobody can tell which belongs to an '
                             'image')
        return Poses(stamps, np.array([matrix_from_pose(message.poses[k].pose) for k in order]))


def _joined(known, others):
    """Return Poses and those of others at other stamps."""
    added = ~np.isin(others.stamps, known.stamps)
    stamps = np.concatenate([known.stamps, others.stamps[added]])
    order = np.argsort(stamps)
    return Poses(
        stamps[order], np.concatenate([known.T_map_body, others.T_map_body[added]])[order])
