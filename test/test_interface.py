"""The documentation, RViz and Nav2 have the topics and services of the node."""
import contextlib
import re
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from ros_helpers import SMALL_ENGINE

from instant_nerf_ros.ros.mapper_node import MapperNode
from instant_nerf_ros.ros.nav2 import layer

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[1]
TOPICS = (ROOT / 'docs' / 'reference' / 'topics.md').read_text()
NODE = 'instant_nerf'
# Settings that, together, subscribe everything that can be subscribed.
CONFIGURATIONS = (
    (), ('pose_source:=odometry', 'image_transport:=compressed'),
    ('pose_source:=pose', 'depth_transport:=compressedDepth', 'scans:=[scan]', 'clouds:=[cloud]',
     'trajectory:=trajectory'))
OPTIONAL = {f'/{NODE}/voxels', f'/{NODE}/octomap'}
OF_RCLPY = {'/rosout', '/parameter_events', f'/{NODE}/transition_event'}


@contextlib.contextmanager
def active(*parameters):
    """Run a MapperNode in this process, with its executor."""
    arguments = [word for text in (*SMALL_ENGINE, *parameters) for word in ('-p', text)]
    rclpy.init(args=['--ros-args', *arguments])
    node, executor = MapperNode(), SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    try:
        node.trigger_configure()
        node.trigger_activate()
        thread.start()
        yield node
    finally:
        node.stop_training()
        executor.shutdown()
        thread.join()
        node.destroy_node()
        rclpy.shutdown()


def type_name(message_type):
    """Return the name of a message type, such as nav_msgs/OccupancyGrid."""
    return f"{message_type.__module__.split('.')[0]}/{message_type.__name__}"


class Interface:
    """Publishers, subscriptions {topic: (type, QoSProfile)} and services {name: type}."""

    def __init__(self):
        """Collect them from nodes in all CONFIGURATIONS."""
        self.publishers, self.subscriptions, self.services = {}, {}, {}
        for parameters in CONFIGURATIONS:
            with active(*parameters) as node:
                for found, endpoints in (
                        (self.publishers, node.publishers),
                        (self.subscriptions, node.subscriptions)):
                    for end in endpoints:
                        if end.topic_name not in OF_RCLPY:  # the first of several is the usual one
                            found.setdefault(
                                end.topic_name, (type_name(end.msg_type), end.qos_profile))
                self.services.update({
                    absolute(one.srv_name): type_name(one.srv_type) for one in node.services})


@pytest.fixture(scope='module')
def interface():
    """Return the Interface of the node."""
    return Interface()


def rows(title):
    """Return the cells of the tables of topics.md whose first column has this title."""
    tables = re.findall(rf'^\| {title} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)', TOPICS, re.M)
    return [[cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
            for table in tables for line in table.splitlines()]


def absolute(name):
    """Return a name as the node resolves it."""
    return name if name.startswith('/') else f'/{name}'.replace('/~', f'/{NODE}')


def documented(title):
    """Return {topic: (type, QoS as text)} of a table."""
    found = {}
    for names, types, qos, *_ in rows(title):
        names = re.findall(r'`([^`]+)`', names)
        of_transports = re.findall(r'(?:(\w+)/)?(\w+) on `([^`]+)`', types)
        types = re.findall(r'\w+_msgs/\w+', types)
        assert len(types) in (1, len(names)), names
        for name, kind in zip(names, types * (len(names) // len(types))):
            found[absolute(name)] = kind, qos
        for package, kind, name in of_transports:
            found[absolute(name)] = f"{package or types[0].split('/')[0]}/{kind}", qos
    return found


def qos_text(qos):
    """Return a QoSProfile as topics.md has it."""
    parts = [qos.reliability.name.lower().replace('_', ' ')]
    if qos.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        parts.append('transient local')
    return ', '.join([*parts, str(qos.depth)])


@pytest.mark.parametrize(('title', 'kind'), [
    ('published', 'publishers'), ('subscribed', 'subscriptions')])
def test_the_tables_of_topics_are_what_the_node_has(interface, title, kind):
    existing, rows_by_topic = getattr(interface, kind), documented(title)
    # Some topics are there only where the package of their message is.
    missing = {topic for topic, (message_type, _) in rows_by_topic.items()
               if find_spec(message_type.split('/')[0]) is None}  # fmt: skip
    assert missing <= OPTIONAL and set(rows_by_topic) - missing == set(existing)
    for topic in set(rows_by_topic) - missing:
        message_type, qos = rows_by_topic[topic]
        assert message_type == existing[topic][0], topic
        if qos != "tf2's":
            assert qos == qos_text(existing[topic][1]), topic


def test_the_tables_of_services_are_what_the_node_has(interface):
    of_every_node = 'lifecycle_msgs/', 'rcl_interfaces/', 'type_description_interfaces/'
    own = {
        name: kind for name, kind in interface.services.items()
        if not kind.startswith(of_every_node)}
    assert {absolute(name.strip('`')): kind for name, kind, *_ in rows('service')} == own


def qos_of(display):
    """Return the QoSProfile that an RViz display requests."""
    return QoSProfile(
        depth=display['Depth'],
        reliability=ReliabilityPolicy[display['Reliability Policy'].upper().replace(' ', '_')],
        durability=DurabilityPolicy[display['Durability Policy'].upper().replace(' ', '_')])


def test_rviz_displays_topics_of_the_node_with_compatible_qos(interface):
    of_displays = {  # class: type of its messages
        'Map': 'nav_msgs/OccupancyGrid', 'PointCloud2': 'sensor_msgs/PointCloud2',
        'Path': 'nav_msgs/Path', 'PoseArray': 'geometry_msgs/PoseArray',
        'Image': 'sensor_msgs/Image', 'Camera': 'sensor_msgs/Image',
        'Marker': 'visualization_msgs/Marker'}
    shown = set()
    manager = yaml.safe_load((ROOT / 'rviz/mapping.rviz').read_text())['Visualization Manager']
    for display in manager['Displays']:
        if 'Topic' not in display:
            continue
        topic = absolute(display['Topic']['Value'])
        kind = of_displays[display['Class'].split('/')[1]]
        if topic == '/image':  # that of the robot, which the mapper subscribes
            assert kind == interface.subscriptions[topic][0]
            assert display['Topic']['Reliability Policy'] == 'Best Effort'
            continue
        published, qos = interface.publishers[topic]
        assert published == kind, topic
        requested = qos_of(display['Topic'])
        assert qos_check_compatible(qos, requested)[0] != QoSCompatibility.ERROR, topic
        assert requested.durability == qos.durability, f'{topic}: latched messages must arrive'
        shown.add(topic)
        if 'Update Topic' in display:
            updates = absolute(display['Update Topic']['Value'])
            assert updates == f'{topic}_updates' and updates in interface.publishers
    assert shown >= {
        '/map', *(f'/{NODE}/{name}' for name in (
            'points', 'keyframes', 'path', 'render/image_raw'))}


def test_nav2_subscribes_topics_of_the_node_with_compatible_qos(interface):
    ours = yaml.safe_load((ROOT / 'config/nav2.yaml').read_text())
    static = layer(ours, 'global_costmap', 'static_layer')
    points = layer(ours, 'local_costmap', 'voxel_layer')['nerf']
    latched = QoSProfile(
        depth=1, reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL)
    volatile = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    sensor = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
    for topic, message_type, requested in (
            (static['map_topic'], 'nav_msgs/OccupancyGrid', latched),
            (f"{static['map_topic']}_updates", 'map_msgs/OccupancyGridUpdate', volatile),
            (points['topic'], f"sensor_msgs/{points['data_type']}", sensor)):
        published, qos = interface.publishers[topic]
        assert published == message_type
        assert qos_check_compatible(qos, requested)[0] != QoSCompatibility.ERROR
