"""Launch files: the arguments that included files receive, and the names of all nodes."""
import atexit
import re
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.ros

pytest.importorskip('rclpy')
pytest.importorskip('launch_ros', reason='needs launch_ros')
from launch import LaunchContext  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from launched_nodes import ROOT, install, launched, launched_nodes  # noqa: E402

# As in nav2_bringup: up to Kilted the file starts its nodes in the current namespace, since
# Lyrical it pushes the namespace. The nodes are in a group with a condition.
NAVIGATION = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, PushRosNamespace

DEFAULTS = {{
    'namespace': '', 'use_sim_time': 'false', 'params_file': '/default.yaml', 'graph': '/graph',
    'autostart': 'true', 'use_composition': 'False', 'container_name': 'nav2_container',
    'use_respawn': 'False', 'log_level': 'info', 'map': '/map.yaml', 'rviz': 'True',
    'use_keepout_zones': 'True', 'use_speed_zones': 'True', 'bag': '/default'}}


def generate_launch_description():
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=value) for name, value in DEFAULTS.items()),
        GroupAction(condition=IfCondition('true'), actions=[
            {push}
            Node(package='nav2_planner', executable='planner_server', name='planner_server')])])
"""
BOTH = """
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource


def generate_launch_description():
    return LaunchDescription([
        IncludeLaunchDescription(PythonLaunchDescriptionSource(path))
        for path in ('{mapping}', '{navigation}')])
"""
PUSH = "PushRosNamespace(LaunchConfiguration('namespace')),"
PARAMETERS = """
global_costmap:
  global_costmap:
    ros__parameters:
      plugins: [static_layer, inflation_layer]
      filters: [keepout_filter, speed_filter]
      keepout_filter: {enabled: KEEPOUT_ZONE_ENABLED}
      speed_filter: {enabled: SPEED_ZONE_ENABLED}
collision_monitor:
  ros__parameters: {topics: [<robot_namespace>/scan]}
"""


@pytest.fixture(params=['', PUSH], ids=['Kilted', 'Lyrical'])
def nav2_bringup(request, monkeypatch, tmp_path):
    """Install a Nav2 whose navigation_launch.py declares many arguments."""
    install(monkeypatch, tmp_path, 'nav2_planner', {})
    install(monkeypatch, tmp_path, 'nav2_bringup', {
        'launch/navigation_launch.py': NAVIGATION.format(push=request.param),
        'params/nav2_params.yaml': PARAMETERS})


def arguments_of(file):
    """Return the names of the arguments of a launch file of this package."""
    source = PythonLaunchDescriptionSource(str(ROOT / 'launch' / file))
    description = source.get_launch_description(LaunchContext())
    return [argument.name for argument in description.get_launch_arguments()]


def navigation(monkeypatch, **arguments):
    """Return (name of the node, configurations) of the included navigation_launch.py."""
    nodes = dict(launched_nodes(monkeypatch, 'nav2.launch.py', rviz='false', **arguments))
    [name] = (name for name in nodes if name.endswith('/planner_server'))
    return name, nodes[name]


def test_navigation_receives_its_arguments_and_none_of_the_mapper(nav2_bringup, monkeypatch):
    _, received = navigation(monkeypatch)
    assert Path(received.pop('params_file')).name.startswith('nav2_')
    assert {name: value for name, value in received.items() if name in (
        'namespace', 'use_sim_time', 'autostart', 'use_respawn', 'log_level', 'rviz', 'map',
        'bag', 'graph', 'use_composition')} == {
            'namespace': '', 'use_sim_time': 'false', 'autostart': 'true', 'use_respawn': 'false',
            'log_level': 'info', 'rviz': 'True', 'map': '/map.yaml', 'bag': '/default',
            'graph': '/graph', 'use_composition': 'False'}
    assert [name for name, value in received.items() if not value] == ['namespace']
    of_navigation = set(re.findall(r"'(\w+)':", NAVIGATION))
    assert not set(arguments_of('nav2.launch.py')) & set(received) - of_navigation


def test_arguments_of_the_mapper_do_not_change_those_of_nav2(nav2_bringup, monkeypatch, tmp_path):
    _, received = navigation(
        monkeypatch, autostart='false', bag=str(tmp_path), respawn='true', log_level='warn',
        use_sim_time='true', graph='/mine')
    assert {name: received[name] for name in (
        'autostart', 'bag', 'use_respawn', 'log_level', 'use_sim_time', 'graph')} == {
            'autostart': 'true', 'bag': '/default', 'use_respawn': 'true', 'log_level': 'warn',
            'use_sim_time': 'true', 'graph': '/mine'}


def test_nav2_has_the_time_of_the_bag_as_the_mapper_has(nav2_bringup, monkeypatch, tmp_path):
    _, received = navigation(monkeypatch, bag=str(tmp_path))
    assert received['use_sim_time'] == 'true'


@pytest.mark.parametrize('namespace', ['', 'robot1', '/robot1', 'fleet/robot1'])
def test_all_nodes_are_in_the_namespace_once(nav2_bringup, monkeypatch, namespace):
    names = {name for name, _ in launched_nodes(
        monkeypatch, 'nav2.launch.py', rviz='false', namespace=namespace)}
    prefix = f"/{namespace.strip('/')}/" if namespace else '/'
    assert names == {f'{prefix}instant_nerf', f'{prefix}planner_server'}


def test_an_argument_without_a_value_does_not_reach_files_that_are_included_later(
        nav2_bringup, monkeypatch, tmp_path):
    both = tmp_path / 'both.launch.py'
    both.write_text(BOTH.format(
        mapping=ROOT / 'launch' / 'mapping.launch.py',
        navigation=tmp_path / 'share' / 'nav2_bringup' / 'launch' / 'navigation_launch.py'))
    nodes = dict(launched_nodes(monkeypatch, both, rviz='false'))
    received = nodes['/planner_server']
    assert received['autostart'] == 'true' and received['use_sim_time'] == 'false'
    assert [name for name, value in received.items() if not value] == ['namespace']


def test_the_robot_of_the_demo_is_in_the_namespace(monkeypatch):
    nodes = launched_nodes(monkeypatch, 'demo.launch.py', rviz='false', namespace='robot1')
    assert len(nodes) == 2 and all(name.startswith('/robot1/') for name, _ in nodes)
    assert all(received['use_sim_time'] == 'true' for _, received in nodes)


@pytest.mark.parametrize('zones', ['false', 'true', 'True'])
def test_placeholders_in_the_parameters_have_values(nav2_bringup, monkeypatch, zones):
    arguments = {} if zones == 'false' else {'use_keepout_zones': zones}
    _, received = navigation(monkeypatch, namespace='robot1', **arguments)
    parameters = yaml.safe_load(Path(received['params_file']).read_text())
    costmap = parameters['global_costmap']['global_costmap']['ros__parameters']
    assert costmap['keepout_filter']['enabled'] is (zones != 'false')
    assert costmap['speed_filter']['enabled'] is False
    assert costmap['static_layer']['map_topic'] == '/robot1/map'
    assert parameters['collision_monitor']['ros__parameters']['topics'] == ['/robot1/scan']


def test_the_file_of_parameters_is_removed_at_the_end(nav2_bringup, monkeypatch):
    at_exit = []
    monkeypatch.setattr(atexit, 'register', lambda *call: at_exit.append(call))
    _, received = navigation(monkeypatch)
    file = Path(received['params_file'])
    assert file.exists()
    for function, *arguments in at_exit:
        if str(file) in arguments:
            function(*arguments)
    assert not file.exists()


@pytest.mark.parametrize('text', [None, 'planner_server: [', '- planner_server', ''])
def test_unreadable_parameters_of_nav2_end_the_launch_before_a_node_starts(
        nav2_bringup, monkeypatch, tmp_path, caplog, text):
    file = tmp_path / 'mine.yaml'
    if text is not None:
        file.write_text(text)
    status, nodes = launched(
        monkeypatch, 'nav2.launch.py', rviz='false', nav2_params_file=str(file))
    assert status == 1 and not nodes
    assert 'nav2_params_file: ' in caplog.text and 'mine.yaml' in caplog.text


def test_a_package_of_nav2_that_is_missing_is_named_before_a_node_starts(
        nav2_bringup, monkeypatch, tmp_path, caplog):
    (tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'nav2_planner').unlink()
    status, nodes = launched(monkeypatch, 'nav2.launch.py', rviz='false')
    assert status == 1 and not nodes
    assert 'not installed: nav2_planner' in caplog.text
