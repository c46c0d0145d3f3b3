"""What anybody can learn about the map over ROS: its progress, its grids, views of it."""
import math
import time

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import OccupancyGrid
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
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
PATIENCE = 5.0  # s, until a view is asked for again
ATTEMPTS = 6


class Observer:
    """A node that watches a mapper; work() must be called often."""

    def __init__(self, camera_info_topic):
        """Join the ROS graph; the camera whose way is followed is the one of a topic."""
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('demo')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._buffer = Buffer(Duration(seconds=10.0), self._node)
        self._listener = TransformListener(self._buffer, self._node)
        self.status = {}  # the values of the mapper's latest diagnostic, as text
        self.grid = None  # the latest nav_msgs/OccupancyGrid
        self.path = []  # [(x, y, z)] of the camera
        self._camera_frame = None
        self._cloud = None
        self._views = {}  # stamp ns: {'color': ..., 'depth': ...}
        subscribe = self._node.create_subscription
        subscribe(OccupancyGrid, 'map', self._keep_grid, LATCHED)
        subscribe(DiagnosticArray, '/diagnostics', self._keep_status, 10)
        subscribe(CameraInfo, camera_info_topic, self._keep_frame, qos_profile_sensor_data)

    def __enter__(self):
        """Return itself."""
        return self

    def __exit__(self, *_):
        """Leave the ROS graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown()

    def work(self, duration):
        """Receive for a while [s], and follow the camera."""
        deadline = time.monotonic() + duration
        while (left := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)
        self._follow_camera()

    def known_area(self):
        """Return how much of the map is free or occupied [m^2]."""
        if self.grid is None:
            return 0.0
        return float((cells_from_message(self.grid) >= 0).sum() * self.grid.info.resolution**2)

    def map(self):
        """Return cells (ny, nx) int8, origin (2,) [m] and resolution [m] of the latest map."""
        origin = self.grid.info.origin.position
        return (cells_from_message(self.grid), np.array([origin.x, origin.y]),
                self.grid.info.resolution)

    def ask_views(self, poses):
        """Yield (color (H, W, 3) uint8, depth (H, W) float32 [m]) from poses T_map_camera (4, 4).

        Raises TimeoutError if the mapper does not answer.
        """
        asking = self._node.create_publisher(PoseStamped, f'{MAPPER}/render/pose', 10)
        for name, topic in (('color', 'image_raw'), ('depth', 'depth/image_raw')):
            self._node.create_subscription(
                Image, f'{MAPPER}/render/{topic}',
                lambda message, name=name: self._keep_view(name, message), 10)
        for stamp, pose in enumerate(poses, start=1):
            yield self._ask_view(asking, stamp, pose)

    def ask_points(self, timeout=20.0):
        """Return the centres (N, 3) [m] of the occupied voxels; TimeoutError if none come."""
        self._node.create_subscription(
            PointCloud2, f'{MAPPER}/points', self._keep_cloud, LATCHED)
        deadline = time.monotonic() + timeout
        while self._cloud is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f'the mapper published no points within {timeout:.0f} s')
            self.work(0.1)
        return points_from_message(self._cloud)[0]

    def _ask_view(self, asking, stamp, T_map_camera):
        request = PoseStamped(header=header_message(stamp, MAP_FRAME))
        write_pose(T_map_camera, request.pose)
        # The first requests may come before DDS has connected the answers.
        for _ in range(ATTEMPTS):
            asking.publish(request)
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                self._executor.spin_once(timeout_sec=0.1)
                view = self._views.get(stamp, {})
                if len(view) == 2:
                    return view['color'], view['depth']
        raise TimeoutError(
            f'the mapper did not answer {MAPPER}/render/pose within {ATTEMPTS * PATIENCE:.0f} s')

    def _keep_view(self, name, message):
        if message.header.frame_id == MAP_FRAME:  # an answer, not what the camera sees now
            kind, shape = (np.uint8, (-1, 3)) if name == 'color' else (np.float32, (-1,))
            pixels = np.frombuffer(message.data, kind).reshape(message.height, *shape)
            self._views.setdefault(nanoseconds(message.header.stamp), {})[name] = pixels

    def _keep_cloud(self, message):
        self._cloud = message

    def _keep_grid(self, message):
        self.grid = message

    def _keep_status(self, message):
        for status in message.status:
            if status.name.startswith(f'{MAPPER}:'):
                self.status = {value.key: value.value for value in status.values}

    def _keep_frame(self, message):
        self._camera_frame = message.header.frame_id

    def _follow_camera(self):
        if self._camera_frame is None:
            return
        try:
            found = self._buffer.lookup_transform(MAP_FRAME, self._camera_frame, Time())
        except TransformException:
            return
        place = matrix_from_transform(found.transform)[:3, 3]
        if not self.path or math.dist(place, self.path[-1]) > 0.01:
            self.path.append(tuple(place))
