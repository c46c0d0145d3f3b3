"""Applies the loop closures of a SLAM to the images and scans that are in the map."""
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.ros.inputs.trajectory import LoopClosure, Trajectory
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper

TF_DELAY_NS = 1_000_000_000  # ns after the trajectory, within which TF jumps with it


class CameraPath(Protocol):
    """The poses of the images that were added, as they are published."""

    def add(self, T_map_camera: NDArray[np.float64], stamp_ns: int) -> None:
        """Add the pose (4, 4) of an image."""

    def correct_poses(self, corrections: dict[int, NDArray[np.float64]]) -> None:
        """Move poses by {stamp [ns]: T_new_old (4, 4)}."""


class LoopClosures:
    """The stamps of keyframes and scans, and their corrections; belongs to the training thread."""

    def __init__(
        self, trajectory: Trajectory, path: CameraPath, dropped: DroppedMessages,
        log: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Follow a trajectory; log(sentence) is called for each loop closure."""
        self._trajectory, self._path = trajectory, path
        self._dropped, self._log = dropped, log
        self.reset()

    def reset(self) -> None:
        """Start again, with an empty map or one whose keyframes stay where they are."""
        self._trajectory.reset()
        # The id of each keyframe, image or scan, and its stamp [ns]; small, as they only grow.
        self._ids, self._stamps = array('q'), array('q')
        self._latest: LoopClosure | None = None
        self.settled_ns = self._trajectory.now_ns()  # up to then, jumps of TF are in the map

    def note(self, sensor_id: int, stamp_ns: int) -> None:
        """Note the stamp of a keyframe, a held-out image or a scan of the Mapper, by its id."""
        self._ids.append(sensor_id)
        self._stamps.append(stamp_ns)

    def apply(self, mapper: 'Mapper') -> dict[int, NDArray[np.float64]]:
        """Correct the poses of a Mapper if the SLAM has closed a loop.

        Returns the corrections {id: T_new_old (4, 4)}.
        """
        loop_closure = self._trajectory.poll()
        if loop_closure is None:
            return {}
        T_new_old = loop_closure.T_new_old(self._stamps)
        corrections = dict(zip(self._ids, T_new_old))
        try:
            if corrections:
                mapper.correct_poses(corrections)
        except ValueError as error:
            self._trajectory.reset()  # the map has not moved: the next path is compared with this
            self._dropped.add('unusable trajectory', str(error))
            return {}
        self._latest = loop_closure
        self.settled_ns = loop_closure.until_ns + TF_DELAY_NS
        self._path.correct_poses(dict(zip(self._stamps, T_new_old)))
        distance, angle = loop_closure.largest_motion()
        self._log(
            f'SLAM has closed a loop: {len(corrections)} measurements move with its trajectory, '
            f'which has moved by up to {distance:.2f} m and {np.degrees(angle):.1f} degrees')
        return corrections

    def T_new_old(self, stamp_ns: int) -> NDArray[np.float64]:  # noqa: N802
        """Return the correction (4, 4) of a pose that TF had at a stamp [ns].

        It is the identity if the pose is newer than the latest loop closure.
        """
        if self._latest is None or stamp_ns > self._latest.until_ns:
            return np.eye(4)
        return self._latest.T_new_old([stamp_ns])[0]
