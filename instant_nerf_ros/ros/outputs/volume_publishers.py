"""What is published of the space around: points, cubes, an octree, distances."""
import importlib

import numpy as np
from sensor_msgs.msg import PointCloud2

from instant_nerf_ros.ros.outputs.cloud_messages import (
    cubes_message,
    distances_message,
    octomap_message,
    point_cloud_message,
)


def installed(package, name):
    """Return a message type, or None where its package is not installed."""
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except ImportError:
        return None


class Volumes:
    """Publishers of ~/points, ~/voxels, ~/octomap and ~/distance_slice.

    Each is made only if somebody subscribes to it, and published only if it is new. Cubes need
    visualization_msgs, the octree octomap_msgs: without them there are no such topics.
    """

    def __init__(self, publisher, map_frame, qos):
        """Create the topics with publisher(type, topic, qos)."""
        self._map_frame = map_frame
        self._last = {}  # topic: the arrays or bytes that were published
        kinds = {
            '~/points': (PointCloud2, self._points),
            '~/voxels': (installed('visualization_msgs', 'Marker'), self._voxels),
            '~/octomap': (installed('octomap_msgs', 'Octomap'), self._octomap),
            '~/distance_slice': (PointCloud2, self._distances)}
        self._topics = {
            topic: (publisher(kind, topic, qos), make)
            for topic, (kind, make) in kinds.items() if kind}

    def publish(self, mapper, height, stamp_ns):
        """Publish what is wanted and new of a Mapper; height [m] above the floor of distances."""
        for topic, (publisher, make) in self._topics.items():
            if publisher.get_subscription_count():
                self._publish(topic, *make(mapper, height), stamp_ns)

    def begin_anew(self):
        """Publish all of them the next time, though they may be published."""
        self._last = dict.fromkeys(self._last)

    def publish_nothing_known(self, stamp_ns):
        """Publish that nothing is there, where something was published."""
        points, colors = np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8)
        nothing = {
            '~/points': ((points, colors), point_cloud_message),
            '~/voxels': ((points, colors, 0.0), cubes_message),
            '~/octomap': ((b'', 1.0), octomap_message),
            '~/distance_slice': ((points, points[:, 0], points), distances_message)}
        for topic in list(self._last):
            self._publish(topic, *nothing[topic], stamp_ns)

    def _publish(self, topic, values, message, stamp_ns):
        last = self._last.get(topic)
        if last is None or not all(map(np.array_equal, values, last)):
            self._topics[topic][0].publish(message(*values, stamp_ns, self._map_frame))
            self._last[topic] = values

    def _points(self, mapper, _):
        return mapper.points(), point_cloud_message

    def _voxels(self, mapper, _):
        return (*mapper.points(), mapper.config.occupancy.voxel_size), cubes_message

    def _octomap(self, mapper, _):
        tree = mapper.octree()
        return (tree.data, tree.resolution), octomap_message

    def _distances(self, mapper, height):
        found = mapper.distances(height)
        return (found.positions, found.distances, found.gradients), distances_message
