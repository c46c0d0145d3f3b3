"""NodeViews: views that a node renders on request, brought into the frame of a browser."""
from __future__ import annotations

import functools
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.conversions import header_message, nanoseconds, write_pose
from instant_nerf_ros.ros.inputs.calibration import camera_from_message
from instant_nerf_ros.viewer.picture_source import Frustum, Picture

DISCOVERY = 0.5  # s after subscribing, in which an answer might be lost
KEPT = 8  # requests whose answers are waited for
MIN_HEIGHT, MAX_HEIGHT = 240, 1280  # pixels of a picture
View = tuple[NDArray[np.uint8], NDArray[np.float32], Camera]


class NodeViews:
    """Requests views on ~/render/preview and ~/render/pose; subscribed only while wanted."""

    def __init__(self, node: Node, mapper: str, map_frame: Callable[[], str]) -> None:
        """Keep a node, the name of the mapper's node, and map_frame()."""
        self._node, self._mapper, self._map_frame = node, mapper, map_frame
        self._publishers = {
            kind: node.create_publisher(PoseStamped, f'{mapper}/render/{kind}', 10)
            for kind in ('preview', 'pose')}
        self._subscriptions: list[Subscription] = []
        self._subscribed_at = math.inf  # time.monotonic()
        self._lock = threading.Lock()
        self._stamp_ns = time.time_ns()
        self._answers: dict[int, queue.Queue[View]] = {}  # by stamp
        self._parts: dict[int, dict[str, Any]] = {}
        self._frustum: Frustum | None = None
        self._current = 0  # stamp of the preview
        self._count = 0  # of its pictures
        self._lens: Camera | None = None

    def subscribe(self, wanted: bool) -> None:
        """Subscribe to the answers, or unsubscribe; to be called by the executor."""
        topics = {'image_raw': Image, 'depth/image_raw': Image, 'camera_info': CameraInfo}
        if wanted and not self._subscriptions:
            self._subscriptions = [
                self._node.create_subscription(
                    kind, f'{self._mapper}/render/{topic}',
                    functools.partial(self._keep, topic), QoSProfile(depth=10))
                for topic, kind in topics.items()]
            self._subscribed_at = time.monotonic()
        while self._subscriptions and not wanted:
            self._subscribed_at = math.inf
            self._node.destroy_subscription(self._subscriptions.pop())

    @property
    def ready(self) -> bool:
        """Return whether answers to a request will arrive."""
        return time.monotonic() >= self._subscribed_at + DISCOVERY

    def request(self, T_map_camera: NDArray[np.float64], kind: str) -> int:
        """Request a view of a kind, 'preview' or 'pose'; return the stamp of its answers."""
        with self._lock:
            self._stamp_ns += 1
            stamp = self._stamp_ns
            self._answers[stamp] = queue.Queue()
            while len(self._answers) > KEPT:
                self._answers.pop(next(iter(self._answers)))
        message = PoseStamped(header=header_message(stamp, self._map_frame()))
        write_pose(T_map_camera, message.pose)
        self._publishers[kind].publish(message)
        return stamp

    def answer(self, stamp: int, timeout: float) -> View | None:
        """Return the next answer to a request, None after a timeout [s]."""
        waiting = self._answers.get(stamp)
        if waiting is None:
            return None
        try:
            return waiting.get(timeout=timeout)
        except queue.Empty:
            return None

    def begin(self, frustum: Frustum) -> None:
        """Request a preview from a frustum, as soon as the answer can arrive."""
        self._frustum, self._count = frustum, 0
        self._current = self.request(frustum.T_world_camera, 'preview') if self.ready else 0

    def next_picture(self, timeout: float) -> Picture | None:
        """Return the next picture of the preview; the second one is the sharp one."""
        view = self.answer(self._current, timeout)
        if view is None or self._frustum is None:
            return None
        self._count += 1
        color, depth, camera = view
        self._lens = camera
        columns, rows = pixel_maps(camera, self._frustum.fov, self._frustum.aspect)
        color_seen = cv2.remap(color, columns, rows, cv2.INTER_LINEAR, borderValue=(40, 40, 40))
        depth_seen = cv2.remap(depth, columns, rows, cv2.INTER_NEAREST, borderValue=math.nan)
        return Picture(
            np.asarray(color_seen, np.uint8), np.asarray(depth_seen, np.float32),
            sharp=self._count > 1)

    def best_fov(self, aspect: float) -> float | None:
        """Return the vertical field of view [rad] of a browser that the views fill."""
        if (lens := self._lens) is None:
            return None
        half = min(lens.height / 2 / lens.fy, lens.width / 2 / lens.fx / aspect)
        return 2 * math.atan(half)

    def _keep(self, topic: str, message: Any) -> None:
        """Collect the parts of an answer; camera_info is the last one that is published."""
        stamp = nanoseconds(message.header.stamp)
        if stamp not in self._answers:  # a view of the robot, or for somebody else
            return
        parts = self._parts.setdefault(stamp, {})
        parts[topic] = message
        if len(parts) < 3:
            return
        del self._parts[stamp]
        self._parts = {key: value for key, value in self._parts.items() if key in self._answers}
        color, depth = parts['image_raw'], parts['depth/image_raw']
        shape = color.height, color.width
        view = (np.frombuffer(color.data, np.uint8).reshape(*shape, 3),
                np.frombuffer(depth.data, np.float32).reshape(shape),
                camera_from_message(parts['camera_info'], rectified=False))
        if (waiting := self._answers.get(stamp)) is not None:
            waiting.put(view)


@functools.lru_cache(maxsize=16)
def pixel_maps(
    camera: Camera, fov: float, aspect: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Return the column and row (H, W) in an image of a camera, for each pixel of a frustum.

    The frustum has the resolution of the camera in its middle, or MIN_HEIGHT: coarse images become
    smooth, not blocks.
    """
    height = round(2 * camera.fy * math.tan(fov / 2))
    height = min(max(height, MIN_HEIGHT), MAX_HEIGHT)
    target = Frustum(np.eye(4), fov, aspect).camera(height)
    rays = target.directions().astype(np.float64)
    pixels = np.nan_to_num(camera.project(rays), nan=-1e4).astype(np.float32)
    columns, rows = pixels.reshape(target.height, target.width, 2).transpose(2, 0, 1)
    return np.ascontiguousarray(columns), np.ascontiguousarray(rows)
