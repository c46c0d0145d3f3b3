"""Map with the images, the poses and, if there are any, the depth images of a robot's camera."""
import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = get_package_share_directory('instant_nerf_ros')

# Kilted renamed the variable in which Fast DDS looks for its settings.
PROFILES = (
    'FASTRTPS_DEFAULT_PROFILES_FILE' if os.environ.get('ROS_DISTRO') in ('humble', 'jazzy')
    else 'FASTDDS_DEFAULT_PROFILES_FILE')


def argument(name, default, description, choices=None):
    """Return the declaration of a launch argument."""
    return DeclareLaunchArgument(
        name, default_value=default, description=description, choices=choices)


def start(context):
    """Return the nodes; a flag that is not given stays as params_file has it."""
    def flags(*names):
        values = {name: LaunchConfiguration(name).perform(context) for name in names}
        return {name: value == 'true' for name, value in values.items() if value}

    namespace = LaunchConfiguration('namespace')
    remappings = [
        ('/tf', 'tf'), ('/tf_static', 'tf_static'),
        ('image', LaunchConfiguration('image_topic')),
        ('camera_info', LaunchConfiguration('camera_info_topic')),
        ('depth', LaunchConfiguration('depth_topic')),
        ('depth_camera_info', LaunchConfiguration('depth_camera_info_topic')),
        ('map', LaunchConfiguration('map_topic')),
    ]
    mapper = Node(
        package='instant_nerf_ros', executable='mapper_node', name='instant_nerf',
        namespace=namespace, remappings=remappings,
        parameters=[
            LaunchConfiguration('params_file'), flags('use_sim_time', 'use_depth', 'autostart')],
        arguments=['--ros-args', '--log-level', LaunchConfiguration('log_level')],
        respawn=LaunchConfiguration('respawn'), respawn_delay=2.0,
        output='screen', emulate_tty=True)
    rviz = Node(
        package='rviz2', executable='rviz2', namespace=namespace, remappings=remappings,
        parameters=[flags('use_sim_time')],
        arguments=['-d', os.path.join(SHARE, 'rviz', 'mapping.rviz')],
        condition=IfCondition(LaunchConfiguration('rviz')))
    return [mapper, rviz]


def generate_launch_description():
    """Return what ros2 launch instant_nerf_ros mapping.launch.py starts."""
    profiles = os.environ.get(PROFILES, os.path.join(SHARE, 'config', 'fastdds.xml'))
    return LaunchDescription([
        argument('params_file', os.path.join(SHARE, 'config', 'mapping.yaml'),
                 'parameters of the mapper'),
        argument('namespace', '', 'namespace of the nodes and of tf'),
        argument('use_sim_time', '', 'take the time from /clock', ['', 'true', 'false']),
        argument('image_topic', 'camera/color/image_raw', 'images of the camera'),
        argument('camera_info_topic', 'camera/color/camera_info', 'calibration of the camera'),
        argument('depth_topic', 'camera/depth/image_raw', 'depth images'),
        argument('depth_camera_info_topic', 'camera/depth/camera_info',
                 'calibration of a depth camera that is not registered to the image'),
        argument('map_topic', 'map', 'the map, under another name where SLAM has a map too'),
        argument('use_depth', '', 'use the depth images', ['', 'true', 'false']),
        argument('autostart', '', 'false: a lifecycle manager starts it', ['', 'true', 'false']),
        argument('rviz', 'true', 'show the map in RViz', ['true', 'false']),
        argument('respawn', 'false', 'start the mapper again if it dies', ['true', 'false']),
        argument('log_level', 'info', 'lowest severity that is logged'),
        SetEnvironmentVariable(PROFILES, profiles),
        OpaqueFunction(function=start),
    ])
