"""NodeSource: a node that maps, as the viewer sees it: over its topics and services only."""
from __future__ import annotations

import collections
import contextlib
import dataclasses
import math
import threading
import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Pose, PoseStamped
from nav_msgs.msg import OccupancyGrid, Path
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from rclpy.time import Time
from sensor_msgs.msg import PointCloud2
from tf2_ros import Buffer, TransformException, TransformListener

from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL, Camera
from instant_nerf_ros.ros.conversions import (
    cells_from_message,
    matrix_from_pose,
    matrix_from_transform,
    nanoseconds,
)
from instant_nerf_ros.ros.outputs.cloud_messages import points_from_message
from instant_nerf_ros.viewer.node_images import NodeImages
from instant_nerf_ros.viewer.node_views import NodeViews
from instant_nerf_ros.viewer.picture_source import Keyframe, keyframe
from instant_nerf_ros.viewer.stage import Stage

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ANYTHING = Camera(4, 3, 3.0, 3.0, 1.5, 1.0)  # before the calibration has come
ROBOT_FRAMES = 'base_link', 'base_footprint'
COMPARE_TIMEOUT = 5.0  # s
Parts = tuple[int, Pose, Camera]  # of a keyframe: its place in the path, pose and camera


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """The latest diagnostics of the mapper."""

    level: int = 0
    message: str = ''
    values: dict[str, str] = dataclasses.field(default_factory=dict)
    arrived: float = -math.inf  # time.monotonic()


class NodeSource:
    """Subscribes to what is shown, and to what costs something only while somebody looks.

    Keyframes are known by their stamp and their number among those of the same stamp, as several
    cameras may take images at the same time. Messages with impossible poses are ignored.
    """

    changes = True

    def __init__(self, node: Node, mapper: str) -> None:
        """Keep a node, and the name of the mapper's node."""
        self._node, self._mapper = node, mapper
        # As in the diagnostics, which other robots publish to as well.
        self._name = node.resolve_topic_name(mapper)
        self.images = NodeImages(node, self._name)
        self.views = NodeViews(node, mapper, lambda: self.map_frame)
        self.begin, self.next_picture = self.views.begin, self.views.next_picture
        self.best_fov = self.views.best_fov
        self.map_frame = 'map'  # until a message names another
        self.diagnostics = Diagnostics()
        self._stage: Stage | None = None
        self._lock = threading.Lock()
        # By stamp and number: what they were made of, as that takes a while, and they themselves.
        self._keyframes: dict[tuple[int, int], tuple[Parts, Keyframe]] = {}
        self._watching: list[Subscription] = []
        self._buffer: Buffer | None = None
        self._listener: TransformListener | None = None
        node.create_subscription(DiagnosticArray, '/diagnostics', self._keep_diagnostics, 10)
        node.create_subscription(Path, f'{mapper}/path', self._keep_path, LATCHED)

    def put_on(self, stage: Stage) -> None:
        """Show what comes on a stage from now on."""
        self._stage = stage

    def watch(self, watched: bool) -> None:
        """Subscribe to voxels, map, plan and TF, or unsubscribe; called by the executor."""
        if watched and not self._watching:
            topics = ((PointCloud2, f'{self._mapper}/points', self._show_points, LATCHED),
                      (OccupancyGrid, 'map', self._show_map, LATCHED),
                      (Path, 'plan', self._show_plan, QoSProfile(depth=1)),
                      (PoseStamped, 'goal_pose', self._show_goal, QoSProfile(depth=1)))
            self._watching = [self._node.create_subscription(*topic) for topic in topics]
            self._buffer = Buffer()
            self._listener = TransformListener(self._buffer, self._node)
        elif self._watching and not watched:
            while self._watching:
                self._node.destroy_subscription(self._watching.pop())
            if self._listener:
                self._listener.unregister()
            self._buffer = self._listener = None

    def show_robot(self) -> None:
        """Show the robot where TF says that it is; else it stays where it was."""
        if self._buffer is None or self._stage is None:
            return
        for frame in ROBOT_FRAMES:
            try:
                transform = self._buffer.lookup_transform(self.map_frame, frame, Time())
            except TransformException:
                continue
            self._stage.show_robot(matrix_from_transform(transform.transform))
            return

    def compare(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the image of a keyframe, and its view."""
        with self._lock:
            (stamp, _), (_, shown) = list(self._keyframes.items())[index]
        real = self.images.image(stamp)
        if real is None:
            raise LookupError(
                'there is no image to compare: it came before this viewer was started, or another '
                'camera has an image of the same stamp')
        if time.monotonic() - self.diagnostics.arrived > COMPARE_TIMEOUT:
            raise LookupError('the mapper does not answer: is it running?')
        end = time.monotonic() + COMPARE_TIMEOUT
        while not self.views.ready and time.monotonic() < end:  # the first browser has just come
            time.sleep(0.05)
        request = self.views.request(shown.T_world_camera, 'pose')
        view = self.views.answer(request, COMPARE_TIMEOUT)
        if view is None:
            raise LookupError('the mapper has rendered no view: is it active?')
        view = self.views.answer(request, 1.0) or view  # the sharp one, if the first was coarse
        color, _, camera = view
        if abs(camera.height / camera.width * real.shape[1] / real.shape[0] - 1) > 0.02:
            raise LookupError('views have another shape than images: set `render_height` to 0')
        return real, color

    def _keep_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if f"/{status.name.partition(': ')[0]}" == self._name:
                level = status.level if isinstance(status.level, int) else status.level[0]
                self.diagnostics = Diagnostics(
                    level, status.message, {each.key: each.value for each in status.values},
                    time.monotonic())

    def _keep_path(self, message: Path) -> None:
        if message.header.frame_id:
            self.map_frame = message.header.frame_id
        camera = self.images.camera() or ANYTHING
        keyframes: dict[tuple[int, int], tuple[Parts, Keyframe]] = {}
        counts: collections.Counter[int] = collections.Counter()  # by stamp
        for number, posed in enumerate(message.poses):
            stamp = nanoseconds(posed.header.stamp)
            key = stamp, counts[stamp]
            counts[stamp] += 1
            parts = number, posed.pose, camera
            known, shown = self._keyframes.get(key, (None, None))
            image = None
            if shown is None or shown.thumbnail is None:
                image = self.images.image(stamp)
            if shown is None or image is not None or known != parts:
                T_map_camera = matrix_from_pose(posed.pose) @ T_BODY_OPTICAL
                made = keyframe(f'keyframe {number}', image, camera, T_map_camera)
                if shown is not None and image is None:
                    made = dataclasses.replace(made, thumbnail=shown.thumbnail)
                shown = made
            keyframes[key] = parts, shown
        with self._lock:
            self._keyframes = keyframes
        if not keyframes:
            self.images.clear()
        if self._stage:
            path = [each for _, each in keyframes.values()]
            self._stage.show_keyframes(path)
            self._stage.show_path(np.reshape(
                [each.T_world_camera[:3, 3] for each in path], (-1, 3)))

    def _show_points(self, message: PointCloud2) -> None:
        if self._stage:
            centers, colors = points_from_message(message)
            self._stage.show_voxels(centers, colors, voxel_size(centers))

    def _show_map(self, message: OccupancyGrid) -> None:
        if self._stage:
            origin = message.info.origin.position
            self._stage.show_map(
                cells_from_message(message), (origin.x, origin.y), message.info.resolution,
                origin.z)

    def _show_plan(self, message: Path) -> None:
        if self._stage:
            positions = [posed.pose.position for posed in message.poses]
            self._stage.show_plan(np.reshape([(p.x, p.y, p.z) for p in positions], (-1, 3)))

    def _show_goal(self, message: PoseStamped) -> None:
        if self._stage:
            with contextlib.suppress(ValueError):
                self._stage.show_goal(matrix_from_pose(message.pose))


def voxel_size(centers: NDArray[np.floating]) -> float:
    """Return the smallest distance [m] between centers (N, 3) of voxels along an axis."""
    steps = np.concatenate([np.diff(np.unique(np.round(axis, 3))) for axis in centers.T])
    return float(np.min(steps, initial=math.inf, where=steps > 2e-3)) if steps.size else 0.1
