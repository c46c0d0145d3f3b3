"""Observer: subscribes to what a mapper publishes: diagnostics, map, points and views."""
import math
import time
from collections.abc import Iterable, Iterator

import numpy as np
import rclpy
from children import signals_deferred
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tf2_ros import Buffer, TransformException, TransformListener

from instant_nerf_ros.ros.conversions import (
    cells_from_message,
    header_message,
    matrix_from_transform,
    nanoseconds,
    write_pose,
)
from instant_nerf_ros.ros.outputs.cloud_messages import points_from_message

MAP_FRAME = 'map'
MAPPER = 'instant_nerf'
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RETRY_PERIOD = 5.0  # s, after which a view is requested again
ATTEMPTS = 6
MAX_WAIT = 0.1  # s, for a message
MIN_DISTANCE = 0.01  # m, between the recorded positions of the camera


class Observer:
    """A node that observes a mapper; spin() must be called often."""

    def __init__(self, camera_info_topic: str) -> None:
        """Create the node; camera_info_topic is that of the camera whose path is recorded."""
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('demo')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._buffer = Buffer(Duration(seconds=10.0), self._node)
        self._listener = TransformListener(self._buffer, self._node)
        self.status: dict[str, str] = {}  # the values of the latest diagnostics
        self.grid: OccupancyGrid | None = None  # the latest map
        self.path: list[tuple[float, float, float]] = []  # positions of the camera [m]
        self._camera_frame: str | None = None
        self._cloud: PointCloud2 | None = None
        self._views: dict[int, dict[str, NDArray]] = {}  # by stamp [ns]: color, depth
        subscribe = self._node.create_subscription
        subscribe(OccupancyGrid, 'map', self._keep_grid, LATCHED)
        subscribe(DiagnosticArray, '/diagnostics', self._keep_status, 10)
        subscribe(CameraInfo, camera_info_topic, self._keep_frame, qos_profile_sensor_data)

    def __enter__(self) -> 'Observer':
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Destroy the node."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown()

    def spin(self, duration: float) -> None:
        """Receive messages for a duration [s], and record the position of the camera."""
        deadline = time.monotonic() + duration
        while (left := deadline - time.monotonic()) > 0:
            self._spin_once(min(left, MAX_WAIT))
        self._record_position()

    def _spin_once(self, timeout: float) -> None:
        with signals_deferred():
            self._executor.spin_once(timeout_sec=timeout)

    def known_area(self) -> float:
        """Return the area of the map that is free or occupied [m^2]."""
        if self.grid is None:
            return 0.0
        return float((cells_from_message(self.grid) >= 0).sum() * self.grid.info.resolution**2)

    def map(self) -> tuple[NDArray[np.int8], NDArray[np.float64], float]:
        """Return cells (ny, nx) int8, origin (2,) [m] and resolution [m] of the latest map."""
        origin = self.grid.info.origin.position
        return (cells_from_message(self.grid), np.array([origin.x, origin.y]),
                self.grid.info.resolution)

    def request_views(
        self, poses: Iterable[NDArray[np.float64]],
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:  # fmt: skip
        """Yield color (H, W, 3) and depth (H, W) [m] of poses T_map_camera (4, 4).

        Raises TimeoutError if the mapper does not answer.
        """
        publisher = self._node.create_publisher(PoseStamped, f'{MAPPER}/render/pose', 10)
        for name, topic in (('color', 'image_raw'), ('depth', 'depth/image_raw')):
            self._node.create_subscription(
                Image, f'{MAPPER}/render/{topic}',
                lambda message, name=name: self._keep_view(name, message), 10)
        for stamp, pose in enumerate(poses, start=1):
            yield self._request_view(publisher, stamp, pose)

    def request_points(self, timeout: float = 20.0) -> NDArray[np.floating]:
        """Return the centers (N, 3) [m] of the occupied voxels.

        Raises TimeoutError if the mapper does not publish any.
        """
        self._node.create_subscription(
            PointCloud2, f'{MAPPER}/points', self._keep_cloud, LATCHED)
        deadline = time.monotonic() + timeout
        while self._cloud is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f'the mapper published no points within {timeout:.0f} s')
            self.spin(MAX_WAIT)
        return points_from_message(self._cloud)[0]

    def _request_view(
        self, publisher: Publisher, stamp: int, T_map_camera: NDArray[np.float64],
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:  # fmt: skip
        request = PoseStamped(header=header_message(stamp, MAP_FRAME))
        write_pose(T_map_camera, request.pose)
        # The first requests may precede the discovery of the topics by DDS.
        for _ in range(ATTEMPTS):
            publisher.publish(request)
            deadline = time.monotonic() + RETRY_PERIOD
            while time.monotonic() < deadline:
                self._spin_once(MAX_WAIT)
                view = self._views.get(stamp, {})
                if len(view) == 2:
                    return view['color'], view['depth']
        timeout = ATTEMPTS * RETRY_PERIOD
        raise TimeoutError(
            f'the mapper did not answer {MAPPER}/render/pose within {timeout:.0f} s')

    def _keep_view(self, name: str, message: Image) -> None:
        if message.header.frame_id == MAP_FRAME:  # requested, not the current view of the camera
            kind, shape = (np.uint8, (-1, 3)) if name == 'color' else (np.float32, (-1,))
            pixels = np.frombuffer(message.data, kind).reshape(message.height, *shape)
            self._views.setdefault(nanoseconds(message.header.stamp), {})[name] = pixels

    def _keep_cloud(self, message: PointCloud2) -> None:
        self._cloud = message

    def _keep_grid(self, message: OccupancyGrid) -> None:
        self.grid = message

    def _keep_status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(f'{MAPPER}:'):
                self.status = {value.key: value.value for value in status.values}

    def _keep_frame(self, message: CameraInfo) -> None:
        self._camera_frame = message.header.frame_id

    def _record_position(self) -> None:
        if self._camera_frame is None:
            return
        try:
            transform = self._buffer.lookup_transform(MAP_FRAME, self._camera_frame, Time())
        except TransformException:
            return
        position = matrix_from_transform(transform.transform)[:3, 3]
        if not self.path or math.dist(position, self.path[-1]) > MIN_DISTANCE:
            self.path.append(tuple(position))
