"""Where the images of the map were taken: the keyframes, and the way of the camera."""
import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped
from nav_msgs.msg import Path

from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL
from instant_nerf_ros.ros.conversions import (
    header_message,
    matrix_from_pose,
    pose_message,
    write_pose,
)
from instant_nerf_ros.ros.reporting.dropped_messages import stamp
from instant_nerf_ros.ros.qos import LATCHED, publisher

# Arrows and axes of RViz point along x: here the direction of view, with z up (REP-103's body).
T_CAMERA_BODY = np.linalg.inv(T_BODY_OPTICAL)


class Way:
    """Publishers of ~/keyframes and ~/path."""

    def __init__(self, node, map_frame):
        """Create the publishers on the node."""
        self._node, self._map_frame = node, map_frame
        self._keyframes = publisher(node, PoseArray, '~/keyframes', LATCHED)
        self._path = publisher(node, Path, '~/path', LATCHED)
        self._poses = []  # PoseStamped of every image kept, though its pixels may be gone
        self._published = 0  # how many of them

    def close(self):
        """Destroy the publishers."""
        self._node.destroy_lifecycle_publisher(self._keyframes)
        self._node.destroy_lifecycle_publisher(self._path)

    def add(self, T_map_camera, stamp_ns):
        """Note where an image that was kept was taken."""
        self._poses.append(PoseStamped(
            header=header_message(stamp_ns, self._map_frame),
            pose=pose_message(T_map_camera @ T_CAMERA_BODY)))

    def correct(self, corrections):
        """Move what was kept at stamps by {stamp [ns]: T_new_old (4, 4)}."""
        for posed in self._poses:
            if (stamp_ns := stamp(posed)) in corrections:
                write_pose(corrections[stamp_ns] @ matrix_from_pose(posed.pose), posed.pose)
        self.begin_anew()

    def clear(self, stamp_ns):
        """Forget the way."""
        self._poses.clear()
        if self._published:
            self._publish([], stamp_ns)

    def begin_anew(self):
        """Publish the way the next time, though it may be published."""
        self._published = -1

    def publish(self, T_map_cameras, stamp_ns):
        """Publish the way, and the poses (K, 4, 4) of the keyframes, if there is anything new."""
        if len(self._poses) != self._published:
            self._publish(T_map_cameras, stamp_ns)

    def _publish(self, T_map_cameras, stamp_ns):
        header = header_message(stamp_ns, self._map_frame)
        self._keyframes.publish(PoseArray(
            header=header, poses=[pose_message(T @ T_CAMERA_BODY) for T in T_map_cameras]))
        self._path.publish(Path(header=header, poses=list(self._poses)))
        self._published = len(self._poses)
