"""VolumePublishers: point cloud, voxels, octree and distance slice."""
import functools
import importlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import PointCloud2

from instant_nerf_ros.ros.outputs.cloud_messages import (
    cubes_message,
    distances_message,
    octomap_message,
    point_cloud_message,
)
from instant_nerf_ros.ros.outputs.late_subscribers import LateSubscribers

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper

# The contents of a message, and the function that makes it of (*contents, stamp, frame).
Volume = tuple[tuple[Any, ...], Callable[..., Any]]


def find_message_type(package: str, name: str) -> type | None:
    """Return a message type, None if its package is not installed."""
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except ImportError:
        return None


class VolumePublishers:
    """Publishes ~/points, ~/voxels, ~/octomap and ~/distance_slice.

    Each is computed only while it has a subscriber, and published only if it has changed, or for
    new volatile subscriptions. Without visualization_msgs there is no ~/voxels, without
    octomap_msgs no ~/octomap.
    """

    def __init__(
        self, create_publisher: Callable[[type, str, QoSProfile], Publisher],
        subscriptions: Callable[[Publisher], Sequence[TopicEndpointInfo]], map_frame: str,
        qos: QoSProfile, now_ns: Callable[[], int], clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Create the topics with create_publisher(type, topic, qos).

        subscriptions() returns those of the topic of a publisher, now_ns() is the ROS time, and
        clock() is in seconds.
        """
        self._map_frame, self._now_ns = map_frame, now_ns
        self._published: dict[str, tuple[Any, ...] | None] = {}  # contents by topic
        topics = {
            '~/points': (PointCloud2, self._points),
            '~/voxels': (find_message_type('visualization_msgs', 'Marker'), self._voxels),
            '~/octomap': (find_message_type('octomap_msgs', 'Octomap'), self._octomap),
            '~/distance_slice': (PointCloud2, self._distance_slice)}
        self._topics = {
            topic: (create_publisher(message_type, topic, qos), compute)
            for topic, (message_type, compute) in topics.items() if message_type}
        self._late_subscribers = {
            topic: LateSubscribers(functools.partial(subscriptions, publisher), clock)
            for topic, (publisher, _) in self._topics.items()}

    def publish(self, mapper: 'Mapper', height: float, stamp_ns: int) -> None:
        """Publish what has subscribers and has changed; height [m] above the floor: the slice."""
        for topic, (publisher, compute) in self._topics.items():
            if publisher.get_subscription_count():
                self._publish(topic, *compute(mapper, height), stamp_ns)

    def invalidate(self) -> None:
        """Publish all of them the next time, even if they have not changed."""
        self._published = dict.fromkeys(self._published)

    def publish_unknown(self, stamp_ns: int) -> None:
        """Publish an empty message on each topic that had one."""
        points, colors = np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8)
        empty: dict[str, Volume] = {
            '~/points': ((points, colors), point_cloud_message),
            '~/voxels': ((points, colors, 0.0), cubes_message),
            '~/octomap': ((b'', 1.0), octomap_message),
            '~/distance_slice': ((points, points[:, 0], points), distances_message)}
        for topic in list(self._published):
            self._publish(topic, *empty[topic], stamp_ns)

    def _publish(
        self, topic: str, contents: tuple[Any, ...], message: Callable[..., Any], stamp_ns: int,
    ) -> None:  # fmt: skip
        published = self._published.get(topic)
        if published is not None and all(map(np.array_equal, contents, published)):
            if not self._late_subscribers[topic].are_waiting():
                return
            # A subscriber that has just started has no TF of the time of the latest image.
            stamp_ns = self._now_ns()
        self._topics[topic][0].publish(message(*contents, stamp_ns, self._map_frame))
        self._published[topic] = contents
        self._late_subscribers[topic].note_message()

    def _points(self, mapper: 'Mapper', _: float) -> Volume:
        return mapper.points(), point_cloud_message

    def _voxels(self, mapper: 'Mapper', _: float) -> Volume:
        return (*mapper.points(), mapper.config.occupancy.voxel_size), cubes_message

    def _octomap(self, mapper: 'Mapper', _: float) -> Volume:
        tree = mapper.octree()
        return (tree.data, tree.resolution), octomap_message

    def _distance_slice(self, mapper: 'Mapper', height: float) -> Volume:
        esdf = mapper.esdf(height)
        return (esdf.positions, esdf.distances, esdf.gradients), distances_message
