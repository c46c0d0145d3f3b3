"""MapPublisher: the map that a subscriber composes of whole maps and patches."""
import types

import numpy as np
import pytest

pytest.importorskip('rclpy')

from rclpy.qos import DurabilityPolicy

from instant_nerf_ros.nerf.products.grids import MapGrid
from instant_nerf_ros.ros.conversions import cells_from_message
from instant_nerf_ros.ros.outputs.late_subscribers import REPETITIONS
from instant_nerf_ros.ros.outputs.map_publisher import MAX_PATCH_TIME, MapPublisher

pytestmark = pytest.mark.ros


class Rig:
    """A MapPublisher whose topics are lists, and the names of the nodes that subscribe to them."""

    def __init__(self):
        self.now, self.logged, self.sent = 0.0, [], {}
        self.subscribers = {'map': ['a'], 'map_updates': ['a'], '~/map_probability': ['a']}
        self.durability = DurabilityPolicy.TRANSIENT_LOCAL

        def publisher(kind, topic, qos):
            self.sent[topic] = []
            return types.SimpleNamespace(
                publish=self.sent[topic].append, topic=topic,
                get_subscription_count=lambda: len(self.subscribers[topic]))

        logger = types.SimpleNamespace(info=self.logged.append, warning=self.logged.append)
        self.publisher = MapPublisher(
            publisher, self.subscriptions, 'map', logger, lambda: self.now)
        self.cells = np.full((20, 30), -1, np.int8)
        self.origin, self.floor = np.zeros(2), (0.0, True)

    def subscriptions(self, publisher):
        """Return the subscriptions of a topic as the ROS graph has them."""
        return [
            types.SimpleNamespace(
                node_namespace='/', node_name=name, endpoint_gid=name.encode(),
                qos_profile=types.SimpleNamespace(durability=self.durability))
            for name in self.subscribers[publisher.topic]]

    def publish(self):
        """Publish the cells; return the numbers of whole maps and patches so far."""
        self.publisher.publish(MapGrid(
            self.cells.copy(), self.origin, 0.05, self.cells.copy(), *self.floor), 5)
        return len(self.sent['map']), len(self.sent['map_updates'])

    def received(self):
        """Return the cells that a subscriber of map and map_updates has received."""
        cells = cells_from_message(self.sent['map'][-1]).copy()
        for patch in self.sent['map_updates']:
            part = np.frombuffer(patch.data, np.int8).reshape(patch.height, patch.width)
            cells[patch.y:patch.y + patch.height, patch.x:patch.x + patch.width] = part
        return cells


def test_small_changes_are_patches_and_add_up_to_the_map():
    rig, random = Rig(), np.random.default_rng(0)
    assert rig.publish() == (1, 0)
    for count in range(1, 20):
        y, x = random.integers(0, 16, 2)
        rig.cells[y:y + 3, x:x + 2] += 1 + count
        assert rig.publish() == (1, count)
        np.testing.assert_array_equal(rig.received(), rig.cells)
    patch = rig.sent['map_updates'][-1]
    assert patch.header.frame_id == 'map' and (patch.width, patch.height) == (2, 3)


def test_an_unchanged_map_is_not_published():
    rig = Rig()
    rig.publish()
    rig.now = 100.0
    assert rig.publish() == (1, 0) and len(rig.sent['~/map_probability']) == 1


def test_a_large_change_and_a_grown_map_are_published_whole():
    rig = Rig()
    rig.publish()
    rig.cells[:, :15] = 0
    assert rig.publish() == (2, 0)
    rig.cells = np.full((40, 30), -1, np.int8)
    assert rig.publish() == (3, 0)
    rig.origin = np.array([-1.0, 0.0])
    assert rig.publish() == (4, 0)


# Nodes that subscribe to map and to map_updates; 'echo' is a lone subscriber of map_updates.
@pytest.mark.parametrize('maps, updates', [
    ('a', ''), ('', ''), ('ab', 'a'), ('a', ['echo']), ('ab', ['a', 'echo']), ('', ['echo'])])
def test_subscribers_without_patches_receive_the_whole_map(maps, updates):
    rig = Rig()
    rig.subscribers.update({'map': maps, 'map_updates': updates})
    rig.publish()
    rig.cells[3, 4] = 100
    assert rig.publish() == (2, 0)


def test_a_lone_subscriber_of_patches_does_not_keep_them_from_others():
    rig = Rig()
    rig.subscribers['map_updates'] = ['echo', 'a']
    rig.publish()
    rig.cells[3, 4] = 100
    assert rig.publish() == (1, 1)


def test_a_subscriber_that_replaces_another_one_receives_the_whole_map():
    rig = Rig()
    rig.publish()
    rig.cells[3, 4] = 100
    assert rig.publish() == (1, 1)
    rig.subscribers.update({'map': ['b'], 'map_updates': ['b']})
    assert rig.publish() == (2, 1)


def test_an_unchanged_map_is_repeated_for_a_new_volatile_subscription():
    rig = Rig()
    rig.publish()
    rig.durability = DurabilityPolicy.VOLATILE
    for _ in range(200):
        rig.now += 0.1
        rig.publish()
    assert len(rig.sent['map']) == 1 + REPETITIONS and not rig.sent['map_updates']
    assert len(rig.sent['~/map_probability']) == 1 + REPETITIONS


def test_late_subscribers_receive_the_current_map_after_a_bounded_time():
    rig = Rig()
    rig.publish()
    rig.cells[3, 4] = 100
    assert rig.publish() == (1, 1)
    rig.now = MAX_PATCH_TIME + 1
    assert rig.publish() == (2, 1)  # for late subscribers: nothing has changed
    rig.cells[3, 4] = 0
    rig.subscribers.update({'map': 'ab', 'map_updates': 'ab'})
    assert rig.publish() == (3, 1)
    np.testing.assert_array_equal(cells_from_message(rig.sent['map'][-1]), rig.cells)


def test_probabilities_are_published_for_subscribers_only():
    rig = Rig()
    rig.subscribers['~/map_probability'] = []
    rig.publish()
    assert rig.sent['~/map_probability'] == []


def test_the_floor_is_logged_when_it_changes_and_when_there_is_none():
    rig = Rig()
    for floor in ((0.0, False), (0.0, False), (0.15, True), (0.15, True)):
        rig.floor = floor
        rig.publish()
    assert len(rig.logged) == 2 and 'no floor' in rig.logged[0] and 'z = 0.15' in rig.logged[1]


def test_the_unknown_map_is_latched_as_a_whole():
    rig = Rig()
    rig.publisher.publish_unknown(3)
    assert not any(rig.sent.values())  # no map was published before
    rig.cells[:5] = 0
    rig.publish()
    rig.cells[2, 3] = 100
    assert rig.publish() == (1, 1)
    rig.publisher.publish_unknown(9)
    for topic in ('map', '~/map_probability'):
        message = rig.sent[topic][-1]
        assert (cells_from_message(message) == -1).all() and message.header.stamp.nanosec == 9
        assert cells_from_message(message).shape == rig.cells.shape
    assert len(rig.sent['map_updates']) == 1
    rig.sent['map_updates'].clear()
    rig.publish()  # a patch on the unknown map
    np.testing.assert_array_equal(rig.received(), rig.cells)
    np.testing.assert_array_equal(
        cells_from_message(rig.sent['~/map_probability'][-1]), rig.cells)


def test_after_invalidate_everything_is_published_again():
    rig = Rig()
    assert rig.publish() == rig.publish() == (1, 0)
    rig.publisher.invalidate()
    assert rig.publish() == (2, 0) and len(rig.sent['~/map_probability']) == 2
    assert rig.publish() == (2, 0) and len(rig.sent['~/map_probability']) == 2
