"""What the node publishes about the map."""
import numpy as np
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from instant_nerf_ros.ros.conversions import (
    camera_info_message,
    image_message,
    point_cloud_message,
)
from instant_nerf_ros.ros.map_publisher import LATCHED, RELIABLE, MapPublisher


class Products:
    """Publishers of the map, the points and the rendered views."""

    def __init__(self, node, map_frame):
        """Create the publishers on the node; publish_map is that of MapPublisher."""
        def publisher(message_type, topic, qos):
            return node.create_publisher(
                message_type, topic, qos,
                qos_overriding_options=QoSOverridingOptions.with_default_policies())

        self._map_frame = map_frame
        self._maps = MapPublisher(publisher, map_frame, node.get_logger())
        self.publish_map = self._maps.publish
        self._points = publisher(PointCloud2, '~/points', LATCHED)
        self._image = publisher(Image, '~/render/image_raw', RELIABLE)
        self._depth = publisher(Image, '~/render/depth/image_raw', RELIABLE)
        self._camera_info = publisher(CameraInfo, '~/render/camera_info', RELIABLE)
        self._last_positions = None

    def points_wanted(self):
        """Return whether anybody subscribes to the points."""
        return self._points.get_subscription_count() > 0

    def publish_points(self, positions, colors, stamp_ns):
        """Publish (N, 3) positions in the map frame if they are not those published last."""
        if not np.array_equal(positions, self._last_positions):
            self._points.publish(
                point_cloud_message(positions, colors, stamp_ns, self._map_frame))
            self._last_positions = positions

    def views_wanted(self):
        """Return whether anybody subscribes to the views."""
        return any(
            publisher.get_subscription_count()
            for publisher in (self._image, self._depth, self._camera_info))

    def publish_view(self, view, camera, stamp_ns, frame_id):
        """Publish colour, depth and camera of a View, under one stamp."""
        self._image.publish(image_message(view.color, 'rgb8', stamp_ns, frame_id))
        self._depth.publish(image_message(view.depth, '32FC1', stamp_ns, frame_id))
        self._camera_info.publish(camera_info_message(camera, stamp_ns, frame_id))
