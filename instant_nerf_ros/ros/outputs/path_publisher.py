"""PathPublisher: the poses of the keyframes, and the path of the camera."""
import functools
from collections.abc import Iterable, Mapping

import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode

from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL
from instant_nerf_ros.ros.conversions import (
    header_message,
    matrix_from_pose,
    pose_message,
    write_pose,
)
from instant_nerf_ros.ros.outputs.late_subscribers import LateSubscribers
from instant_nerf_ros.ros.qos import LATCHED, publisher
from instant_nerf_ros.ros.reporting.dropped_messages import stamp

MAX_POSES = 5000  # of a path, an even number
# RViz draws arrows along x. The poses are those of a body frame (REP-103): x forward, z up.
T_CAMERA_BODY = np.linalg.inv(T_BODY_OPTICAL)


class PathPublisher:
    """Publishes ~/keyframes and ~/path."""

    def __init__(self, node: LifecycleNode, map_frame: str) -> None:
        """Create the publishers on the node."""
        self._node, self._map_frame = node, map_frame
        self._keyframes = publisher(node, PoseArray, '~/keyframes', LATCHED)
        self._path = publisher(node, Path, '~/path', LATCHED)
        self._late_subscribers = [
            LateSubscribers(functools.partial(
                node.get_subscriptions_info_by_topic, topic.topic_name))
            for topic in (self._keyframes, self._path)]
        self._reset()

    def _reset(self) -> None:
        # Every stride-th pose of all keyframes, even if their pixels are gone, and the latest.
        self._poses: list[PoseStamped] = []
        self._stride, self._count = 1, 0  # of all poses
        self._published = 0  # of them; -1 if they have to be published again

    def close(self) -> None:
        """Destroy the publishers."""
        self._node.destroy_lifecycle_publisher(self._keyframes)
        self._node.destroy_lifecycle_publisher(self._path)

    def add(self, T_map_camera: NDArray[np.float64], stamp_ns: int) -> None:
        """Append the pose (4, 4) of a keyframe to the path.

        A path that becomes too long has every second pose from then on, so that its message stays
        small however long the robot drives.
        """
        if (self._count - 1) % self._stride:
            self._poses.pop()  # it was only the latest
        self._poses.append(PoseStamped(
            header=header_message(stamp_ns, self._map_frame),
            pose=pose_message(T_map_camera @ T_CAMERA_BODY)))
        if len(self._poses) > MAX_POSES and self._count % self._stride == 0:
            self._poses = self._poses[::2]
            self._stride *= 2
        self._count += 1

    def correct_poses(self, corrections: Mapping[int, NDArray[np.float64]]) -> None:
        """Move the poses of the stamps of {stamp [ns]: T_new_old (4, 4)}."""
        for posed in self._poses:
            if (stamp_ns := stamp(posed)) in corrections:
                write_pose(corrections[stamp_ns] @ matrix_from_pose(posed.pose), posed.pose)
        self.invalidate()

    def clear(self, stamp_ns: int) -> None:
        """Remove all poses, and publish that if any were published."""
        published = self._published
        self._reset()
        if published:
            self._publish([], stamp_ns)

    def invalidate(self) -> None:
        """Publish the path the next time, even if it has not changed."""
        self._published = -1

    def publish(self, T_map_cameras: Iterable[NDArray[np.float64]], stamp_ns: int) -> None:
        """Publish the path, and the poses (K, 4, 4) of the keyframes.

        They are published if a pose was added, or for new volatile subscriptions.
        """
        if self._count != self._published or (
                self._poses and any(late.are_waiting() for late in self._late_subscribers)):
            self._publish(T_map_cameras, stamp_ns)

    def _publish(self, T_map_cameras: Iterable[NDArray[np.float64]], stamp_ns: int) -> None:
        header = header_message(stamp_ns, self._map_frame)
        self._keyframes.publish(PoseArray(
            header=header, poses=[pose_message(T @ T_CAMERA_BODY) for T in T_map_cameras]))
        self._path.publish(Path(header=header, poses=list(self._poses)))
        self._published = self._count
        for late in self._late_subscribers:
            late.note_message()
