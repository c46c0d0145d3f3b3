"""Map, and navigate with Nav2 on the growing map; localization must run separately."""
import atexit
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import yaml
from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_share_directory,
    get_packages_with_prefixes,
)
from launch import Action, LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    UnsetLaunchConfiguration,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch_ros.actions import Node, PushRosNamespace

from instant_nerf_ros.ros.nav2 import ZONES, fill_placeholders, nav2_parameters

SHARE = get_package_share_directory('instant_nerf_ros')


def read(path: str) -> dict[str, Any]:
    """Return the parameters in a YAML file."""
    with open(os.path.expanduser(path)) as file:
        return yaml.safe_load(file)


def base_parameters(context: LaunchContext) -> dict[str, Any]:
    """Return the parameters of Nav2 without ours. Raises RuntimeError if there are none."""
    try:
        bringup = get_package_share_directory('nav2_bringup')
    except PackageNotFoundError as error:
        raise RuntimeError(
            'Nav2 is not installed: apt install ros-$ROS_DISTRO-nav2-bringup') from error
    path = (LaunchConfiguration('nav2_params_file').perform(context)
            or os.path.join(bringup, 'params', 'nav2_params.yaml'))
    try:
        parameters = read(path)
    except (OSError, yaml.YAMLError) as error:
        raise RuntimeError(f'nav2_params_file: {error}') from error
    if not isinstance(parameters, dict):
        raise RuntimeError(f"nav2_params_file: '{path}' contains no parameters of nodes")
    return parameters


def navigation() -> PythonLaunchDescriptionSource:
    """Return navigation_launch.py of nav2_bringup."""
    return PythonLaunchDescriptionSource(os.path.join(
        get_package_share_directory('nav2_bringup'), 'launch', 'navigation_launch.py'))


def entities_in(entity: LaunchDescriptionEntity) -> Iterator[LaunchDescriptionEntity]:
    """Yield an entity and all that it contains, also under conditions."""
    yield entity
    for contained in entity.describe_sub_entities():
        yield from entities_in(contained)
    for _, conditional in entity.describe_conditional_sub_entities():
        for contained in conditional:
            yield from entities_in(contained)


def check_nav2(context: LaunchContext) -> None:
    """Raise RuntimeError if Nav2 cannot be started.

    An error after a node was started would end launch, but not the node.
    """
    base_parameters(context)
    packages = {
        perform_substitutions(context, normalize_to_list_of_substitutions(entity.node_package))
        for entity in entities_in(navigation().get_launch_description(context))
        if isinstance(entity, Node) and entity.node_package}
    missing = ', '.join(sorted(packages - set(get_packages_with_prefixes())))
    if missing:
        raise RuntimeError(f'these packages of Nav2 are not installed: {missing}')


def temporary_file(parameters: dict[str, Any]) -> str:
    """Return the path of a YAML file that is removed when this process ends."""
    with tempfile.NamedTemporaryFile('w', prefix='nav2_', suffix='.yaml', delete=False) as file:
        yaml.safe_dump(parameters, file)
    atexit.register(os.remove, file.name)
    return file.name


def start_nav2(context: LaunchContext, mapping: PythonLaunchDescriptionSource) -> list[Action]:
    """Return the navigation of nav2_bringup, with the map in its costmaps."""
    value = {name: LaunchConfiguration(name, default='').perform(context) for name in (
        'namespace', 'use_sim_time', 'bag', 'respawn', 'log_level', 'map_topic',
        *ZONES.values())}
    namespace = value['namespace'].strip('/')
    zones = {name: value[name].lower() == 'true' for name in ZONES.values()}
    parameters = nav2_parameters(
        fill_placeholders(base_parameters(context), zones, namespace),
        read(os.path.join(SHARE, 'config', 'nav2.yaml')), namespace, value['map_topic'])
    source = navigation()
    entities = entities_in(source.get_launch_description(context))
    # Else the arguments of this file would be those of the same names of navigation_launch.py.
    arguments = mapping.get_launch_description(context).get_launch_arguments()
    actions: list[Action] = [
        UnsetLaunchConfiguration(name)
        for name in ('nav2_params_file', *(argument.name for argument in arguments))]
    # Up to Kilted, only bringup_launch.py of nav2_bringup pushes the namespace.
    if namespace and not any(isinstance(entity, PushRosNamespace) for entity in entities):
        actions.append(PushRosNamespace(namespace))
    actions.append(IncludeLaunchDescription(source, launch_arguments={
        'namespace': namespace, 'params_file': temporary_file(parameters), 'autostart': 'true',
        'use_sim_time': value['use_sim_time'] or ('true' if value['bag'] else 'false'),
        'use_respawn': value['respawn'], 'log_level': value['log_level']}.items()))
    return [GroupAction(actions)]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description of nav2.launch.py."""
    mapping = PythonLaunchDescriptionSource(os.path.join(SHARE, 'launch', 'mapping.launch.py'))
    return LaunchDescription([
        DeclareLaunchArgument(
            'nav2_params_file', default_value='',
            description="your parameters of Nav2; '' for those of nav2_bringup"),
        *(DeclareLaunchArgument(
            name, default_value='false', choices=['true', 'false', 'True', 'False'],
            description='value of the placeholders of that name in nav2_params_file; the server '
                        'of the filter mask must run separately') for name in ZONES.values()),
        OpaqueFunction(function=check_nav2),
        # Its arguments are also arguments of this file.
        IncludeLaunchDescription(mapping),
        OpaqueFunction(function=start_nav2, args=[mapping]),
    ])
