"""Map, and navigate with Nav2 on the growing map; localization must run separately."""
import os
import tempfile
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from instant_nerf_ros.ros.nav2 import nav2_parameters

SHARE = get_package_share_directory('instant_nerf_ros')


def read(path: str) -> dict[str, Any]:
    """Return the parameters in a YAML file."""
    with open(os.path.expanduser(path)) as file:
        return yaml.safe_load(file)


def check_nav2(_: LaunchContext) -> None:
    """Raise RuntimeError if Nav2 is not installed, before anything is started."""
    try:
        get_package_share_directory('nav2_bringup')
    except PackageNotFoundError as error:
        raise RuntimeError(
            'Nav2 is not installed: apt install ros-$ROS_DISTRO-nav2-bringup') from error


def start_nav2(context: LaunchContext) -> list[GroupAction]:
    """Return the navigation of nav2_bringup, with the map in its costmaps."""
    bringup = get_package_share_directory('nav2_bringup')
    value = {name: LaunchConfiguration(name).perform(context) for name in (
        'nav2_params_file', 'namespace', 'use_sim_time', 'respawn', 'log_level', 'map_topic')}
    base = value['nav2_params_file'] or os.path.join(bringup, 'params', 'nav2_params.yaml')
    parameters = nav2_parameters(
        read(base), read(os.path.join(SHARE, 'config', 'nav2.yaml')), value['namespace'],
        value['map_topic'])
    with tempfile.NamedTemporaryFile('w', prefix='nav2_', suffix='.yaml', delete=False) as file:
        yaml.safe_dump(parameters, file)
    navigation = PythonLaunchDescriptionSource(
        os.path.join(bringup, 'launch', 'navigation_launch.py'))
    return [GroupAction([IncludeLaunchDescription(navigation, launch_arguments={
        'namespace': value['namespace'], 'params_file': file.name,
        'use_sim_time': value['use_sim_time'] or 'false', 'use_respawn': value['respawn'],
        'log_level': value['log_level']}.items())])]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description of nav2.launch.py."""
    mapping = PythonLaunchDescriptionSource(os.path.join(SHARE, 'launch', 'mapping.launch.py'))
    return LaunchDescription([
        DeclareLaunchArgument(
            'nav2_params_file', default_value='',
            description="your parameters of Nav2; '' for those of nav2_bringup"),
        OpaqueFunction(function=check_nav2),
        # Its arguments are also arguments of this file.
        IncludeLaunchDescription(mapping),
        OpaqueFunction(function=start_nav2),
    ])
