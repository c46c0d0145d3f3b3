"""VolumePublishers: the messages of volumes, and when they are published."""
import types

import numpy as np
import pytest

pytest.importorskip('rclpy')

from rclpy.qos import DurabilityPolicy

from instant_nerf_ros.nerf.products.esdf import EsdfSlice
from instant_nerf_ros.nerf.products.octree import Octree
from instant_nerf_ros.ros.outputs import volume_publishers
from instant_nerf_ros.ros.outputs.cloud_messages import points_from_message
from instant_nerf_ros.ros.outputs.late_subscribers import REPEAT_PERIOD, REPETITIONS
from instant_nerf_ros.ros.outputs.volume_publishers import VolumePublishers

pytestmark = pytest.mark.ros

POINTS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.25]], np.float32)
COLORS = np.array([[255, 0, 51], [0, 102, 255]], np.uint8)


class Rig:
    """VolumePublishers of a fake mapper, and the messages that they publish."""

    def __init__(self):
        self.sent, self.subscribed, self.late, self.now = {}, True, [], 0.0
        self.points, self.heights = POINTS, []
        self.volumes = VolumePublishers(
            self.publisher, lambda publisher: self.late, 'map', None, lambda: 77,
            lambda: self.now)

    def publisher(self, kind, topic, qos):
        """Return a publisher that keeps its messages."""
        sent = self.sent[topic] = []
        return types.SimpleNamespace(
            publish=sent.append, get_subscription_count=lambda: int(self.subscribed))

    def publish(self, stamp_ns=5):
        """Publish the volumes of the mapper."""
        def esdf(height):
            self.heights.append(height)
            return EsdfSlice(
                self.points, np.array([0.5, -0.25], np.float32)[: len(self.points)], -self.points)

        self.volumes.publish(types.SimpleNamespace(
            points=lambda: (self.points, COLORS[: len(self.points)]),
            octree=lambda: Octree(bytes([1, 255, 3]), 0.025, 4), esdf=esdf,
            config=types.SimpleNamespace(occupancy=types.SimpleNamespace(voxel_size=0.05)),
        ), 0.3, stamp_ns)  # fmt: skip


def field(message, name):
    """Return the values of a field of a PointCloud2, read by its description."""
    [entry] = (entry for entry in message.fields if entry.name == name)
    octets = np.frombuffer(message.data, np.uint8).reshape(message.width, message.point_step)
    return octets[:, entry.offset : entry.offset + 4].copy().view('<f4')[:, 0]


def test_points_and_distances_are_in_their_fields():
    rig = Rig()
    rig.publish()
    [points], [slice_] = rig.sent['~/points'], rig.sent['~/distance_slice']
    for values, expected in zip(points_from_message(points), (POINTS, COLORS)):
        np.testing.assert_array_equal(values, expected)
    assert rig.heights == [0.3] and slice_.header.frame_id == 'map'
    assert slice_.header.stamp.nanosec == 5
    np.testing.assert_array_equal(field(slice_, 'intensity'), [0.5, -0.25])
    for column, axis in enumerate('xyz'):
        np.testing.assert_array_equal(field(slice_, axis), POINTS[:, column])
        np.testing.assert_array_equal(field(slice_, f'normal_{axis}'), -POINTS[:, column])


def test_voxels_are_a_cube_list_for_rviz():
    marker_module = pytest.importorskip('visualization_msgs.msg')
    rig = Rig()
    rig.publish()
    [marker] = rig.sent['~/voxels']
    assert marker.type == marker_module.Marker.CUBE_LIST and marker.header.frame_id == 'map'
    assert marker.action == marker_module.Marker.ADD and marker.pose.orientation.w == 1.0
    assert (marker.scale.x, marker.scale.y, marker.scale.z) == (0.05, 0.05, 0.05)
    np.testing.assert_allclose([[p.x, p.y, p.z] for p in marker.points], POINTS)
    np.testing.assert_allclose(
        [[c.r, c.g, c.b, c.a] for c in marker.colors],
        np.column_stack([COLORS / 255, [1, 1]]), atol=1e-6)
    rig.points = POINTS[:0]
    rig.publish()
    assert rig.sent['~/voxels'][1].action == marker_module.Marker.DELETE


def test_the_octree_is_in_a_binary_octomap():
    pytest.importorskip('octomap_msgs.msg')
    rig = Rig()
    rig.publish()
    [message] = rig.sent['~/octomap']
    assert message.binary and message.id == 'OcTree' and message.resolution == 0.025
    assert bytes(np.array(message.data, np.int8)) == bytes([1, 255, 3])


def test_only_changed_and_subscribed_volumes_are_computed_and_published():
    rig = Rig()
    rig.subscribed = False
    rig.publish()
    assert not any(rig.sent.values()) and not rig.heights
    rig.subscribed = True
    for _ in range(3):
        rig.publish()
    assert all(len(sent) == 1 for sent in rig.sent.values())
    rig.points = POINTS[:1]
    rig.publish()
    assert len(rig.sent['~/points']) == len(rig.sent['~/distance_slice']) == 2


def late(number, durability=DurabilityPolicy.VOLATILE):
    """Return a subscription in the ROS graph."""
    return types.SimpleNamespace(
        endpoint_gid=[number], qos_profile=types.SimpleNamespace(durability=durability))


def counts_over_time(rig, seconds):
    """Return the number of messages on each topic after publishing ten times a second."""
    for _ in range(round(10 * seconds)):
        rig.now += 0.1
        rig.publish()
    return {len(sent) for sent in rig.sent.values()}


def test_unchanged_volumes_are_repeated_at_a_low_rate_for_each_new_volatile_subscription():
    rig = Rig()
    rig.publish()
    assert counts_over_time(rig, 30.0) == {1}
    for number in (1, 2):
        rig.late.append(late(number))
        assert counts_over_time(rig, 0.5 * REPEAT_PERIOD) == {2 + (number - 1) * REPETITIONS}
        assert counts_over_time(rig, 30.0) == {1 + number * REPETITIONS}
    # It is stamped with the present: who has just started has no TF of the past.
    assert {sent[-1].header.stamp.nanosec for sent in rig.sent.values()} == {77}
    rig.late.pop(0)
    assert counts_over_time(rig, 30.0) == {1 + 2 * REPETITIONS}


def test_latched_subscriptions_need_no_repetition():
    rig = Rig()
    rig.publish()
    rig.late.append(late(1, DurabilityPolicy.TRANSIENT_LOCAL))
    assert counts_over_time(rig, 30.0) == {1}


def test_publish_unknown_empties_the_topics_that_were_published():
    rig = Rig()
    rig.volumes.publish_unknown(7)
    assert not any(rig.sent.values())
    rig.publish()
    rig.volumes.publish_unknown(7)
    assert all(len(sent) == 2 for sent in rig.sent.values())
    assert rig.sent['~/points'][1].width == rig.sent['~/distance_slice'][1].width == 0


def test_without_their_message_packages_voxels_and_octomap_have_no_topics(monkeypatch):
    monkeypatch.setattr(volume_publishers, 'find_message_type', lambda package, name: None)
    assert set(Rig().sent) == {'~/points', '~/distance_slice'}
