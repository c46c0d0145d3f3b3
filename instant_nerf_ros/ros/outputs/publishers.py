"""Publishers: the map, the volumes and the rendered views."""
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.conversions import camera_info_message, image_message, jpeg_message
from instant_nerf_ros.ros.outputs.floor_height import FloorHeight
from instant_nerf_ros.ros.outputs.map_publisher import MapPublisher
from instant_nerf_ros.ros.outputs.progressive_renderer import RenderedView
from instant_nerf_ros.ros.outputs.volume_publishers import VolumePublishers
from instant_nerf_ros.ros.qos import LATCHED, RELIABLE, publisher

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper


class Publishers:
    """Owns the publishers of what is computed from the Mapper."""

    def __init__(self, node: LifecycleNode, map_frame: str, floor_height: FloorHeight) -> None:
        """Create the publishers on the node."""
        self._node, self._floor_height = node, floor_height
        self._publishers: list[LifecyclePublisher] = []
        self._map = MapPublisher(
            self._create, self._subscriptions, map_frame, node.get_logger())
        self._volumes = VolumePublishers(
            self._create, self._subscriptions, map_frame, LATCHED,
            lambda: node.get_clock().now().nanoseconds)
        self._image = self._create(Image, '~/render/image_raw', RELIABLE)
        self._jpeg = self._create(CompressedImage, '~/render/image_raw/compressed', RELIABLE)
        self._depth = self._create(Image, '~/render/depth/image_raw', RELIABLE)
        self._camera_info = self._create(CameraInfo, '~/render/camera_info', RELIABLE)

    def close(self) -> None:
        """Destroy the publishers."""
        while self._publishers:
            self._node.destroy_lifecycle_publisher(self._publishers.pop())

    def publish_map(self, mapper: 'Mapper', stamp_ns: int) -> None:
        """Publish the map, with the height of the floor from TF if base_frame is set."""
        mapper.set_floor(self._floor_height())
        self._map.publish(mapper.map(), stamp_ns)

    def publish_volumes(self, mapper: 'Mapper', height: float, stamp_ns: int) -> None:
        """Publish the volumes; height [m] above the floor is that of ~/distance_slice."""
        self._volumes.publish(mapper, height, stamp_ns)

    def floor_text(self) -> str:
        """Return the height of the floor in the published map [m] as text."""
        return self._map.floor_text()

    def invalidate(self) -> None:
        """Publish everything the next time, even if it has not changed."""
        self._map.invalidate()
        self._volumes.invalidate()

    def publish_unknown(self, stamp_ns: int) -> None:
        """Replace what was published by unknown space, so that no planner uses an old map."""
        self._map.publish_unknown(stamp_ns)
        self._volumes.publish_unknown(stamp_ns)

    def has_view_subscribers(self) -> bool:
        """Return whether any topic of the rendered views has a subscriber."""
        return any(
            publisher.get_subscription_count()
            for publisher in (self._image, self._jpeg, self._depth, self._camera_info))

    def publish_view(
        self, view: RenderedView, camera: Camera, stamp_ns: int, frame_id: str, quality: int,
    ) -> None:  # fmt: skip
        """Publish color, depth and camera_info under one stamp; quality is that of the JPEG."""
        self._image.publish(image_message(view.color, 'rgb8', stamp_ns, frame_id))
        self._depth.publish(image_message(view.depth, '32FC1', stamp_ns, frame_id))
        self._camera_info.publish(camera_info_message(camera, stamp_ns, frame_id))
        if self._jpeg.get_subscription_count():
            self._jpeg.publish(jpeg_message(view.color, quality, stamp_ns, frame_id))

    def _create(self, message_type: type, topic: str, qos: QoSProfile) -> LifecyclePublisher:
        self._publishers.append(publisher(self._node, message_type, topic, qos))
        return self._publishers[-1]

    def _subscriptions(self, publisher: Publisher) -> Sequence[TopicEndpointInfo]:
        return self._node.get_subscriptions_info_by_topic(publisher.topic_name)
