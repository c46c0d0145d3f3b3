"""Map with the images, the poses and, if available, the depth images of a camera."""
import os
import secrets
from collections.abc import Sequence

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    OpaqueFunction,
    SetEnvironmentVariable,
    UnsetLaunchConfiguration,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = get_package_share_directory('instant_nerf_ros')

# The environment variable with the profiles of Fast DDS was renamed in Kilted.
PROFILES = (
    'FASTRTPS_DEFAULT_PROFILES_FILE' if os.environ.get('ROS_DISTRO') in ('humble', 'jazzy')
    else 'FASTDDS_DEFAULT_PROFILES_FILE')

TOPICS = {  # topic of the mapper: (default remapping, description)
    'image': ('camera/color/image_raw', 'images of the camera'),
    'camera_info': ('camera/color/camera_info', 'calibration of the camera'),
    'depth': ('camera/depth/image_raw', 'depth images'),
    'depth_camera_info': (
        'camera/depth/camera_info', 'calibration of a depth camera that is not registered'),
    'scan': ('scan', 'distances of a LaserScan, with scans: [scan] in params_file'),
    'cloud': ('cloud', 'distances of a PointCloud2, with clouds: [cloud] in params_file'),
    'trajectory': ('trajectory', 'a Path of SLAM, with trajectory: trajectory in params_file'),
    'odom': ('odom', 'poses, with pose_source: odometry in params_file'),
    'pose': ('pose', 'poses, with pose_source: pose in params_file'),
    'map': ('map', 'the map, under another name where SLAM has a map too'),
}

OPTIONAL = (  # '' stands for no value
    'use_sim_time', 'use_depth', 'autostart', 'bag', 'session_folder', 'resume',
    'base_session_folder')


def argument(
    name: str, default: str, description: str, choices: Sequence[str] | None = None,
) -> DeclareLaunchArgument:  # fmt: skip
    """Return the declaration of a launch argument."""
    return DeclareLaunchArgument(
        name, default_value=default, description=description, choices=choices)


def existing(name: str, context: LaunchContext) -> str:
    """Return the path in an argument. Raises RuntimeError if it does not exist."""
    path = os.path.expanduser(LaunchConfiguration(name).perform(context))
    if not os.path.exists(path):
        raise RuntimeError(f"there is no '{path}', which {name} names")
    return path


def start(context: LaunchContext) -> list[Action]:
    """Return the nodes; a flag without a value leaves the parameter of params_file unchanged."""
    def flags(*names: str) -> dict[str, bool]:
        values = {name: LaunchConfiguration(name).perform(context) for name in names}
        return {name: value == 'true' for name, value in values.items() if value}

    play = bool(LaunchConfiguration('bag').perform(context))
    folders = {name: os.path.abspath(os.path.expanduser(value))
               for name in ('session_folder', 'base_session_folder')
               if (value := LaunchConfiguration(name).perform(context))}
    time = flags('use_sim_time') or ({'use_sim_time': True} if play else {})
    namespace = LaunchConfiguration('namespace')
    tf = [('/tf', 'tf'), ('/tf_static', 'tf_static')]
    topics = tf + [(topic, LaunchConfiguration(f'{topic}_topic')) for topic in TOPICS]
    topics.append(('map_updates', [LaunchConfiguration('map_topic'), '_updates']))
    nodes: list[Action] = [Node(
        package='instant_nerf_ros', executable='mapper_node', name='instant_nerf',
        namespace=namespace, remappings=topics,
        parameters=[existing('params_file', context), {
            **time, **flags('use_depth', 'autostart', 'resume'), **folders}],
        arguments=['--ros-args', '--log-level', LaunchConfiguration('log_level')],
        respawn=LaunchConfiguration('respawn'), respawn_delay=2.0,
        output='screen', emulate_tty=True)]
    if flags('rviz')['rviz']:
        try:
            get_package_share_directory('rviz2')
        except PackageNotFoundError as error:
            raise RuntimeError('rviz2 is not installed; rviz:=false maps without it') from error
        nodes.append(Node(
            package='rviz2', executable='rviz2', namespace=namespace, remappings=topics,
            parameters=[time], arguments=['-d', existing('rviz_config', context)]))
    if flags('viewer')['viewer']:
        # One token for all its starts, so that open pages find it again.
        token = {'INSTANT_NERF_VIEWER_TOKEN': secrets.token_urlsafe(16)}
        nodes.append(Node(
            package='instant_nerf_ros', executable='viewer', name='instant_nerf_viewer',
            namespace=namespace, remappings=topics, additional_env=token,
            parameters=[time, {
                'viewer_host': ParameterValue(LaunchConfiguration('viewer_host'), value_type=str),
                'viewer_port': ParameterValue(LaunchConfiguration('viewer_port'), value_type=int),
                'controls': flags('viewer_controls')['viewer_controls']}],
            respawn=True, respawn_delay=2.0, output='screen', emulate_tty=True))
    if play:
        nodes.append(Node(
            package='instant_nerf_ros', executable='replay', namespace=namespace, remappings=tf,
            parameters=[{'path': existing('bag', context)}], output='screen', emulate_tty=True))
    # Else they would also be arguments of launch files that are included after this one.
    empty = [name for name in OPTIONAL if not LaunchConfiguration(name).perform(context)]
    return nodes + [UnsetLaunchConfiguration(name) for name in empty]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description of mapping.launch.py."""
    profiles = os.environ.get(PROFILES, os.path.join(SHARE, 'config', 'fastdds.xml'))
    switch, optional = ['true', 'false'], ['', 'true', 'false']
    return LaunchDescription([
        argument('params_file', os.path.join(SHARE, 'config', 'mapping.yaml'),
                 'parameters of the mapper'),
        argument('namespace', '', 'namespace of the nodes and of tf'),
        argument('use_sim_time', '', 'take the time from /clock; if not given, as bag wants it',
                 optional),
        *(argument(f'{topic}_topic', *of) for topic, of in TOPICS.items()),
        argument('use_depth', '', 'use the depth images; if not given, as params_file says',
                 optional),
        argument('autostart', '', 'false: a lifecycle manager starts it; if not given, as '
                 'params_file says', optional),
        argument('session_folder', '', 'folder in which everything is kept while it is mapped'),
        argument('resume', '', 'continue the session in session_folder; if not given, as '
                 'params_file says', optional),
        argument('base_session_folder', '', 'an earlier session under this one, which never '
                 'changes it'),
        argument('bag', '', 'a rosbag2, or a folder of posed images, to play'),
        argument('rviz', 'true', 'show the map in RViz', switch),
        argument('rviz_config', os.path.join(SHARE, 'rviz', 'mapping.rviz'), 'what RViz shows'),
        argument('viewer', 'false', 'show the map on a page for browsers', switch),
        argument('viewer_host', '127.0.0.1', 'address of that page; any but 127.0.0.1 opens it to '
                 'a network, with a token in the address'),
        argument('viewer_port', '8080', 'its port, or the next free one'),
        argument('viewer_controls', 'false', 'the page may pause, save, reset, and send goals',
                 switch),
        argument('respawn', 'false', 'start the mapper again if it dies', switch),
        argument('log_level', 'info', 'lowest severity that is logged'),
        SetEnvironmentVariable(PROFILES, profiles),
        # So that lines of several processes do not mix.
        SetEnvironmentVariable('RCUTILS_LOGGING_BUFFERED_STREAM', '1'),
        OpaqueFunction(function=start),
    ])
