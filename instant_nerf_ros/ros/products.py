"""What the node publishes about the map."""
import dataclasses

import numpy as np
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from instant_nerf_ros.ros.camera_inputs import OVERRIDES
from instant_nerf_ros.ros.conversions import (
    camera_info_message,
    image_message,
    jpeg_message,
    occupancy_grid_message,
    point_cloud_message,
)

# REP-2003: a map is reliable and reaches those who come late.
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Reliable reaches both kinds of subscribers.
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


def publisher(node, message_type, topic, qos):
    """Return a lifecycle publisher whose QoS is open to parameters."""
    own = QoSProfile(  # as overrides change it
        depth=qos.depth, reliability=qos.reliability, durability=qos.durability)
    return node.create_lifecycle_publisher(
        message_type, topic, own, qos_overriding_options=OVERRIDES)


class Products:
    """Publishers of the map, the points and the rendered views."""

    def __init__(self, node, map_frame):
        """Create the publishers on the node."""
        self._node, self._map_frame = node, map_frame
        self._map = publisher(node, OccupancyGrid, 'map', LATCHED)
        self._points = publisher(node, PointCloud2, '~/points', LATCHED)
        self._image = publisher(node, Image, '~/render/image_raw', RELIABLE)
        self._jpeg = publisher(
            node, CompressedImage, '~/render/image_raw/compressed', RELIABLE)
        self._depth = publisher(node, Image, '~/render/depth/image_raw', RELIABLE)
        self._camera_info = publisher(node, CameraInfo, '~/render/camera_info', RELIABLE)
        self._last_grid = None
        self._last_positions = None

    def close(self):
        """Destroy the publishers."""
        for one in (self._map, self._points, self._image, self._jpeg, self._depth,
                    self._camera_info):
            self._node.destroy_lifecycle_publisher(one)

    def publish_map(self, grid, stamp_ns):
        """Publish a MapGrid if it is not the one that was published last."""
        last = self._last_grid
        if last is not None and np.array_equal(grid.cells, last.cells) and np.array_equal(
                grid.origin, last.origin):
            return
        self._map.publish(occupancy_grid_message(grid, stamp_ns, self._map_frame))
        self._last_grid = grid

    def points_wanted(self):
        """Return whether anybody subscribes to the points."""
        return self._points.get_subscription_count() > 0

    def publish_points(self, positions, colors, stamp_ns):
        """Publish (N, 3) positions in the map frame if they are not those published last."""
        if not np.array_equal(positions, self._last_positions):
            self._points.publish(
                point_cloud_message(positions, colors, stamp_ns, self._map_frame))
            self._last_positions = positions

    def publish_nothing_known(self, stamp_ns):
        """Publish that all is unknown, where a map was published: nobody drives by an old one."""
        if self._last_grid is not None:
            cells = np.full_like(self._last_grid.cells, -1)
            self.publish_map(dataclasses.replace(self._last_grid, cells=cells), stamp_ns)
        if self._last_positions is not None:
            self.publish_points(
                np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), stamp_ns)

    def views_wanted(self):
        """Return whether anybody subscribes to the views."""
        return any(
            publisher.get_subscription_count()
            for publisher in (self._image, self._jpeg, self._depth, self._camera_info))

    def publish_view(self, view, camera, stamp_ns, frame_id, quality):
        """Publish colour, depth and camera of a View, under one stamp; quality is of the JPEG."""
        self._image.publish(image_message(view.color, 'rgb8', stamp_ns, frame_id))
        self._depth.publish(image_message(view.depth, '32FC1', stamp_ns, frame_id))
        self._camera_info.publish(camera_info_message(camera, stamp_ns, frame_id))
        if self._jpeg.get_subscription_count():
            self._jpeg.publish(jpeg_message(view.color, quality, stamp_ns, frame_id))
