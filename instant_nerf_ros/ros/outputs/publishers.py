"""What the node publishes about the map."""
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instant_nerf_ros.ros.conversions import camera_info_message, image_message, jpeg_message
from instant_nerf_ros.ros.qos import LATCHED, RELIABLE, publisher
from instant_nerf_ros.ros.outputs.map_publisher import MapPublisher
from instant_nerf_ros.ros.outputs.volume_publishers import Volumes


class Products:
    """Publishers of the map, of what fills space, and of the rendered views."""

    def __init__(self, node, map_frame, floor_height):
        """Create the publishers on the node; floor_height() is a FloorHeight."""
        self._node, self._map_frame, self._floor_height = node, map_frame, floor_height
        self._publishers = []

        def own(message_type, topic, qos):
            self._publishers.append(publisher(node, message_type, topic, qos))
            return self._publishers[-1]

        self._maps = MapPublisher(own, map_frame, node.get_logger())
        self._volumes = Volumes(own, map_frame, LATCHED)
        self.publish_volumes = self._volumes.publish
        self._image = own(Image, '~/render/image_raw', RELIABLE)
        self._jpeg = own(CompressedImage, '~/render/image_raw/compressed', RELIABLE)
        self._depth = own(Image, '~/render/depth/image_raw', RELIABLE)
        self._camera_info = own(CameraInfo, '~/render/camera_info', RELIABLE)

    def close(self):
        """Destroy the publishers."""
        while self._publishers:
            self._node.destroy_lifecycle_publisher(self._publishers.pop())

    def publish_map(self, mapper, stamp_ns):
        """Publish the map of a Mapper, after telling it where the floor is."""
        mapper.floor = self._floor_height()
        self._maps.publish(mapper.map(), stamp_ns)

    def floor(self):
        """Return the height of the floor [m] in words, as the map has it."""
        return self._maps.floor()

    def begin_anew(self):
        """Publish all the next time, though it may be published; see MapPublisher."""
        self._maps.begin_anew()
        self._volumes.begin_anew()

    def publish_nothing_known(self, stamp_ns):
        """Publish that all is unknown, where a map was published: nobody drives by an old one."""
        self._maps.publish_nothing_known(stamp_ns)
        self._volumes.publish_nothing_known(stamp_ns)

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
