"""The settings of the mapper node; those of the mapping library are in nerf/config.py."""
import dataclasses
from pathlib import Path

from instant_nerf_ros.nerf.settings import setting


@dataclasses.dataclass(frozen=True)
class NodeConfig:
    """Frames, topics, waiting times and rates of the node."""

    autostart: bool = setting(
        True, 'configure and activate at the start; false: a lifecycle manager does it',
        change='start')
    map_frame: str = setting('map', 'fixed frame of the map, z up')
    base_frame: str = setting(
        '', "frame of the robot that stands on the floor; '' to estimate where the floor is",
        change='live')
    odom_frame: str = setting(
        'odom', "frame of odometry, to notice that the robot's pose jumps in the map; '' for none")
    cameras: tuple[str, ...] = setting(
        ('',), "camera names: the topics of 'front' are front/image, ...; '' has no prefix",
        change='start')
    scans: tuple[str, ...] = setting(
        ('',), "LaserScan topics of range sensors, e.g. scan; '' for none")
    clouds: tuple[str, ...] = setting(
        ('',), "PointCloud2 topics of range sensors, e.g. cloud; '' for none")
    trajectory: str = setting(
        '', "nav_msgs/Path topic with all poses of a SLAM, re-estimated, e.g. trajectory; "
        "'' for none")
    image_transport: str = setting(
        'raw', "'compressed' subscribes to image/compressed", choices=('raw', 'compressed'))
    use_depth: bool = setting(True, 'use depth images, if there are any')
    depth_trust: str = setting(
        'measured', "depth images; 'estimated': a network made them of the images, in any unit",
        choices=('measured', 'estimated'))
    depth_transport: str = setting(
        'raw', "'compressedDepth' subscribes to depth/compressedDepth",
        choices=('raw', 'compressedDepth'))
    depth_unit: float = setting(0.001, 'one count of a 16-bit depth image [m]', 1e-6, 1.0)
    max_depth: float = setting(
        0.0, 'depth from which a depth image holds no measurement, 0 for no limit [m]',
        0.0, 1000.0)
    max_range: float = setting(
        0.0, 'distance from which scans and clouds hold no measurement, 0 for no limit [m]',
        0.0, 1000.0, change='live')
    inf_is_valid: bool = setting(
        False, 'a range of +inf in a LaserScan is free space up to range_max (REP 117)',
        change='live')
    image_bits: int = setting(
        16, 'bits in use of an image of 16 bits, e.g. 12 of a camera with 12 bits', 8, 16)
    rectification: str = setting(
        'auto', "color images; 'auto': rectified if the topic contains rect, or only P is filled",
        choices=('auto', 'rectified', 'unrectified'))
    sync_tolerance: float = setting(
        0.02, 'largest difference between the stamps of an image and its depth [s]', 0.0, 1.0)
    pose_source: str = setting(
        'tf', "'odometry' and 'pose' subscribe to odom and pose instead of /tf",
        choices=('tf', 'odometry', 'pose'))
    pose_frame: str = setting(
        'base_link', "the frame whose pose is on the topic 'pose'; odom contains its own")
    tf_timeout: float = setting(
        1.0, 'maximum wait of an image for its pose, camera_info and depth [s]', 0.0, 60.0,
        change='live')
    tf_buffer: float = setting(30.0, 'length of the TF history [s]', 1.0, 600.0)
    reset_on_time_jump: bool = setting(
        False, 'reset the map when time jumps back, as when a bag is played again',
        change='live')
    queue_size: int = setting(
        50, 'images of a camera that may wait for TF, and as many for the engine', 1, 1000)
    training_share: float = setting(
        1.0, 'maximum share of the time of the GPU, or of the cores, for training', 0.01, 1.0,
        change='live')
    map_folder: str = setting(
        '~/.ros/instant_nerf_map', 'folder of ~/save_map and ~/load_map, for nothing else',
        change='live')
    session_folder: str = setting(
        '', "folder in which everything is kept while it is mapped, to be resumed; '' for none")
    resume: bool = setting(
        False, 'continue the session of session_folder; false: it is moved to a folder beside it')
    base_session_folder: str = setting(
        '', "an earlier session under this one, which never changes it; '' for none")
    session_images: str = setting(
        'jpeg', "images of the session; 'lossless' takes four times the space",
        choices=('jpeg', 'lossless'))
    map_rate: float = setting(
        1.0, 'highest rate of map, 0 for none [Hz]', 0.0, 10.0, change='live')
    points_rate: float = setting(
        0.5, 'highest rate of ~/points, ~/voxels, ~/octomap and ~/distance_slice, 0 for none [Hz]',
        0.0, 10.0, change='live')
    distance_height: float = setting(
        0.3, 'height of ~/distance_slice above the floor [m]', -50.0, 50.0, change='live')
    keyframes_rate: float = setting(
        1.0, 'highest rate of ~/keyframes and ~/path, 0 for none [Hz]', 0.0, 10.0, change='live')
    render_rate: float = setting(
        0.5, 'highest rate of ~/render from the camera, 0 for none [Hz]', 0.0, 30.0,
        change='live')
    render_frame: str = setting(
        '', "frame to render from, z forward and y down; '' for that of the newest image",
        change='live')
    render_width: int = setting(
        320, "width of rendered views, 0 for the camera's [pixel]", 0, 4096, change='live')
    render_height: int = setting(
        0, 'height of rendered views, 0 to follow the width [pixel]', 0, 4096, change='live')
    render_fov: float = setting(
        0.0, "horizontal field of view of rendered views, 0 for the camera's [degree]",
        0.0, 170.0, change='live')
    render_goal_height: float = setting(
        1.0, 'height of the camera above a pose on ~/render/goal [m]', -50.0, 50.0,
        change='live')
    render_deadline: float = setting(
        0.1, 'maximum pause of training for a view; a larger view is first published coarse [s]',
        0.005, 10.0, change='live')
    render_quality: int = setting(
        80, 'quality of the JPEG on ~/render/image_raw/compressed', 1, 100, change='live')

    def __post_init__(self) -> None:
        """Remove the leading slash of ROS 1 from frames, as tf2 does with those of messages.

        Raises ValueError if a folder is not absolute: a node may be started anywhere.
        """
        for name in ('map_frame', 'base_frame', 'odom_frame', 'pose_frame', 'render_frame'):
            object.__setattr__(self, name, getattr(self, name).removeprefix('/'))
        for name in ('session_folder', 'base_session_folder'):
            folder = getattr(self, name)
            if folder and not Path(folder).expanduser().is_absolute():
                raise ValueError(f"'{name}' must be an absolute path, is '{folder}'")


# Settings that may differ between cameras: front.use_depth is that of the camera 'front'.
PER_CAMERA = (
    'image_transport', 'use_depth', 'depth_trust', 'depth_transport', 'depth_unit', 'max_depth',
    'image_bits', 'rectification', 'sync_tolerance')
