"""Configuration dataclasses as ROS parameters."""
import dataclasses
import re
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.settings import flatten
from instant_nerf_ros.ros.params.declaration import declare, misspelt, take_overrides
from instant_nerf_ros.ros.params.node_config import NodeConfig

pytestmark = pytest.mark.ros

YAML = Path(__file__).parents[1] / 'config' / 'mapping.yaml'
CONFIGS = {'node': NodeConfig(), 'engine': Config()}


@pytest.fixture
def start():
    """Return a function that makes a node with command line arguments."""
    context = Context()
    nodes = []

    def make(*arguments):
        rclpy.init(args=['--ros-args', *arguments], context=context)
        nodes.append(Node(
            'instant_nerf', context=context, automatically_declare_parameters_from_overrides=True))
        return nodes[0]

    yield make
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


@pytest.mark.parametrize('defaults', CONFIGS.values(), ids=CONFIGS.keys())
def test_without_overrides_the_parameters_are_the_defaults(start, defaults):
    node = start()
    assert declare(node, defaults, take_overrides(node)) == defaults
    for name, field, value in flatten(defaults):
        parameter = node.get_parameter(name)
        value = list(value) if isinstance(value, tuple) else value
        assert (parameter.value, type(parameter.value)) == (value, type(value))
        descriptor = node.describe_parameter(name)
        assert descriptor.read_only
        assert field.metadata['description'] in descriptor.description
        if isinstance(value, bool | str | list):
            continue
        ranges = descriptor.floating_point_range or descriptor.integer_range
        assert (ranges[0].from_value, ranges[0].to_value) == (
            field.metadata['low'], field.metadata['high'])


def test_overrides_come_back_in_the_dataclass(start):
    node = start(
        '-p', 'map_frame:=odom', '-p', 'use_depth:=false', '-p', 'map_rate:=0.25',
        '-p', 'occupancy.voxel_size:=0.1', '-p', 'seed:=7', '-p', 'map.min_height:=-1',
        '-p', 'use_sim_time:=true')
    overrides = take_overrides(node)
    config, engine = (declare(node, defaults, overrides) for defaults in CONFIGS.values())
    assert config == dataclasses.replace(
        NodeConfig(), map_frame='odom', use_depth=False, map_rate=0.25)
    assert (engine.occupancy.voxel_size, engine.seed, engine.map.min_height) == (0.1, 7, -1.0)
    assert node.get_parameter('map.min_height').value == -1.0  # an integer is accepted for a float
    assert node.get_parameter('use_sim_time').value is True
    assert not list(misspelt(node, overrides))


@pytest.mark.parametrize(('argument', 'words'), [
    ('map_rate:=fast', ("'map_rate'", 'float', "'fast'")),
    ('map_rate:=-1.0', ("'map_rate'", 'between 0.0 and 10.0')),
    ('map_rate:=.nan', ("'map_rate'", 'between')),
    ('queue_size:=3.5', ("'queue_size'", 'int', '3.5')),
    ('queue_size:=true', ("'queue_size'", 'int', 'True')),
    ('queue_size:=[1, 2]', ("'queue_size'", 'int')),
    ('use_depth:=1', ("'use_depth'", 'bool')),
    ('map_frame:=3', ("'map_frame'", 'str')),
    ('image_transport:=theora', ("'image_transport'", 'raw, compressed', "'theora'")),
])
def test_a_wrong_value_is_refused_with_its_name_and_the_admissible_values(start, argument, words):
    node = start('-p', argument)
    with pytest.raises(ValueError) as error:
        declare(node, NodeConfig(), take_overrides(node))
    for word in words:
        assert word in str(error.value)


def test_a_running_node_refuses_changes(start):
    node = start()
    declare(node, NodeConfig(), take_overrides(node))
    result = node.set_parameters([Parameter('map_rate', value=2.0)])[0]
    assert not result.successful
    assert node.get_parameter('map_rate').value == NodeConfig().map_rate


def test_misspelt_parameters_are_named_with_the_nearest_name(start):
    node = start('-p', 'map_fram:=odom', '-p', 'zzz:=1', '-p', 'qos_overrides./x.y:=1')
    overrides = take_overrides(node)
    declare(node, NodeConfig(), overrides)
    first, second = misspelt(node, overrides)
    assert "'map_fram'; did you mean 'map_frame'?" in first
    assert "'zzz'" in second and 'mean' not in second


def test_the_yaml_file_holds_the_defaults_of_the_dataclasses(start):
    node = start('--params-file', str(YAML))
    expected = {
        name: list(value) if isinstance(value, tuple) else value
        for config in CONFIGS.values() for name, _, value in flatten(config)}
    overrides = take_overrides(node)
    assert overrides == expected
    assert [type(overrides[name]) for name in expected] == [type(v) for v in expected.values()]


def described():
    """Return {name: line above it} of the parameters in the YAML file."""
    found, groups = {}, []
    lines = YAML.read_text().splitlines()
    for above, line in zip(lines, lines[1:]):
        match = re.fullmatch(r'( *)([\w*/]+):( .*)?', line)
        if not match:
            continue
        depth = len(match[1]) // 2
        groups[depth:] = [match[2]]
        if match[3]:
            found['.'.join(groups[2:])] = above.strip()  # without /**: ros__parameters:
    return found


def test_the_yaml_file_describes_every_parameter_above_its_line():
    expected = {}
    for config in CONFIGS.values():
        for name, field, _ in flatten(config):
            choices = ' | '.join(field.metadata['choices'])
            suffix = f' ({choices})' if choices else ''
            expected[name] = f"# {field.metadata['description']}{suffix}"
    assert described() == expected
