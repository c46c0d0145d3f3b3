"""Two robots on one network, each with a mapper in its namespace."""
import contextlib

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from nav_msgs.msg import OccupancyGrid
from node_process import NodeProcess
from ros_helpers import Robot, in_namespace, mapper, statuses_of, wait_until

from instant_nerf_ros.ros.conversions import cells_from_message
from instant_nerf_ros.ros.qos import LATCHED

pytestmark = pytest.mark.ros

WALLS = {'left': 1.05, 'right': 1.85}  # distance of the wall of each robot [m]

# One clock, one log and one diagnostics for all robots.
SHARED = {'/clock', '/rosout', '/parameter_events', '/diagnostics'}


def names_of(observer, node, namespace):
    """Return the names of all topics and services of a node that are not SHARED."""
    return {
        name for endpoints in (
            observer.get_publisher_names_and_types_by_node,
            observer.get_subscriber_names_and_types_by_node,
            observer.get_service_names_and_types_by_node)
        for name, _ in endpoints(node, f'/{namespace}')} - SHARED


def front(message):
    """Return the least x of the occupied cells of a map [m], nan without any."""
    columns = np.nonzero((cells_from_message(message) == 100).any(axis=0))[0]
    if not len(columns):
        return np.nan
    return message.info.origin.position.x + (columns[0] + 0.5) * message.info.resolution


def test_two_robots_map_at_the_same_time_without_interference():
    with contextlib.ExitStack() as running:
        robots, mappers, maps, statuses = {}, {}, {}, {}
        for name, wall in WALLS.items():
            robots[name] = Robot(name, wall)
            running.callback(robots[name].close)
            maps[name] = robots[name].collect(OccupancyGrid, 'map', LATCHED)
            statuses[name] = statuses_of(robots[name], f'{name}/instant_nerf')
            mappers[name] = running.enter_context(mapper(namespace=name))
        for name, process in mappers.items():
            process.wait_for('the engine runs on backend', 60.0)
            robots[name].wait_for_listener()

        def mapped(name):
            for robot in robots.values():
                robot.drive(1)
            return maps[name] and abs(front(maps[name][-1]) - WALLS[name]) < 0.1

        for name in WALLS:
            wait_until(lambda name=name: mapped(name), 40.0, mappers[name].text)
        topics = [name for name, _ in robots['left'].node.get_topic_names_and_types()]
        assert not {'/map', '/tf', '/instant_nerf/points'} & set(topics)
        for name in WALLS:
            names = names_of(robots[name].node, 'instant_nerf', name)
            assert names and all(entry.startswith(f'/{name}/') for entry in names)
            wait_until(lambda name=name: statuses[name], 5.0)
            rates = [pair.key for pair in statuses[name][-1].values if pair.key[:5] == 'rate:']
            assert rates and all(f' /{name}/' in rate for rate in rates)


def test_all_topics_of_the_simulated_robot_are_in_its_namespace():
    robot = Robot()
    try:
        with NodeProcess('ros.playback.sim_robot', in_namespace('simulated')) as process:
            wait_until(
                lambda: robot.node.count_publishers('/simulated/tf_static'), 30.0, process.text)
            names = names_of(robot.node, 'sim_robot', 'simulated')
            assert {'/simulated/camera/color/image_raw', '/simulated/tf'} <= names
            assert all(name.startswith('/simulated/') for name in names)
    finally:
        robot.close()
