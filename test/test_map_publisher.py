"""The map as a subscriber puts it together, from whole maps and patches."""
import types

import numpy as np
import pytest

pytest.importorskip('rclpy')

from instant_nerf_ros.nerf.products.grids import MapGrid
from instant_nerf_ros.ros.conversions import cells_from_message
from instant_nerf_ros.ros.outputs.map_publisher import LONGEST_PATCHING, MapPublisher

pytestmark = pytest.mark.ros


class Rig:
    """A MapPublisher whose topics are lists, with as many subscribers as a test says."""

    def __init__(self, **subscribers):
        self.now, self.said, self.sent = 0.0, [], {}
        self.subscribers = {'map': 1, 'map_updates': 1, '~/map_probability': 1}

        def publisher(kind, topic, qos):
            self.sent[topic] = []
            return types.SimpleNamespace(
                publish=self.sent[topic].append,
                get_subscription_count=lambda: self.subscribers[topic])

        logger = types.SimpleNamespace(info=self.said.append, warning=self.said.append)
        self.publisher = MapPublisher(publisher, 'map', logger, lambda: self.now)
        self.cells = np.full((20, 30), -1, np.int8)
        self.origin, self.floor = np.zeros(2), (0.0, True)

    def publish(self):
        """Publish the cells; return how many whole maps and patches there are now."""
        self.publisher.publish(MapGrid(
            self.cells.copy(), self.origin, 0.05, self.cells.copy(), *self.floor), 5)
        return len(self.sent['map']), len(self.sent['map_updates'])

    def seen(self):
        """Return the cells that a subscriber of map and map_updates has."""
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
        np.testing.assert_array_equal(rig.seen(), rig.cells)
    patch = rig.sent['map_updates'][-1]
    assert patch.header.frame_id == 'map' and (patch.width, patch.height) == (2, 3)


def test_what_has_not_changed_is_not_published():
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


@pytest.mark.parametrize('maps, updates', [(1, 0), (0, 0), (2, 1)])
def test_who_gets_no_patches_gets_the_whole_map(maps, updates):
    rig = Rig()
    rig.subscribers.update({'map': maps, 'map_updates': updates})
    rig.publish()
    rig.cells[3, 4] = 100
    assert rig.publish() == (2, 0)


def test_latecomers_get_all_at_once_and_at_the_latest_after_a_while():
    rig = Rig()
    rig.publish()
    rig.cells[3, 4] = 100
    assert rig.publish() == (1, 1)
    rig.now = LONGEST_PATCHING + 1
    assert rig.publish() == (2, 1)  # nothing is new but for those to come
    rig.cells[3, 4] = 0
    rig.subscribers.update({'map': 2, 'map_updates': 2})
    assert rig.publish() == (3, 1)
    np.testing.assert_array_equal(cells_from_message(rig.sent['map'][-1]), rig.cells)


def test_probabilities_are_for_those_who_ask():
    rig = Rig()
    rig.subscribers['~/map_probability'] = 0
    rig.publish()
    assert rig.sent['~/map_probability'] == []


def test_the_floor_is_logged_when_it_changes_and_when_there_is_none():
    rig = Rig()
    for floor in ((0.0, False), (0.0, False), (0.15, True), (0.15, True)):
        rig.floor = floor
        rig.publish()
    assert len(rig.said) == 2 and 'no floor' in rig.said[0] and 'z = 0.15' in rig.said[1]


def test_that_nothing_is_known_is_said_as_a_whole_to_planners_who_come_late_too():
    rig = Rig()
    rig.publisher.publish_nothing_known(3)
    assert not any(rig.sent.values())  # no map was published that could mislead
    rig.cells[:5] = 0
    rig.publish()
    rig.cells[2, 3] = 100
    assert rig.publish() == (1, 1)
    rig.publisher.publish_nothing_known(9)
    for topic in ('map', '~/map_probability'):
        message = rig.sent[topic][-1]
        assert (cells_from_message(message) == -1).all() and message.header.stamp.nanosec == 9
        assert cells_from_message(message).shape == rig.cells.shape
    assert len(rig.sent['map_updates']) == 1
    rig.sent['map_updates'].clear()
    rig.publish()  # what is learnt anew adds to that
    np.testing.assert_array_equal(rig.seen(), rig.cells)
    np.testing.assert_array_equal(
        cells_from_message(rig.sent['~/map_probability'][-1]), rig.cells)


def test_begun_anew_it_publishes_what_may_have_been_lost():
    rig = Rig()
    assert rig.publish() == rig.publish() == (1, 0)
    rig.publisher.begin_anew()
    assert rig.publish() == (2, 0) and len(rig.sent['~/map_probability']) == 2
    assert rig.publish() == (2, 0) and len(rig.sent['~/map_probability']) == 2
