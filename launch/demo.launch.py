"""Map a flat through which a simulated robot drives."""
import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = get_package_share_directory('instant_nerf_ros')


def generate_launch_description() -> LaunchDescription:
    """Return the launch description of demo.launch.py."""
    mapping = PythonLaunchDescriptionSource(os.path.join(SHARE, 'launch', 'mapping.launch.py'))
    return LaunchDescription([
        DeclareLaunchArgument(
            'rviz', default_value='true', description='show the map in RViz',
            choices=['true', 'false']),
        # First, as it sets the environment of the processes after it.
        IncludeLaunchDescription(mapping, launch_arguments={
            'use_sim_time': 'true', 'rviz': LaunchConfiguration('rviz')}.items()),
        Node(package='instant_nerf_ros', executable='sim_robot', output='screen',
             namespace=LaunchConfiguration('namespace'),
             remappings=[('/tf', 'tf'), ('/tf_static', 'tf_static')],
             parameters=[{'wait_for_subscriber': 60.0}]),
    ])
