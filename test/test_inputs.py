"""Several cameras, poses from topics, and QoS, in a node over DDS."""
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import OccupancyGrid, Odometry, Path
from ros_helpers import (
    CAMERA,
    R_MAP_OPTICAL,
    WALL_DISTANCE,
    Robot,
    drive_until,
    mapper,
    statuses_of,
    value_of,
    wait_until,
)
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan
from tf2_ros import StaticTransformBroadcaster

from instant_nerf_ros.ros.conversions import (
    camera_info_message,
    cells_from_message,
    header_message,
    image_message,
    pose_message,
    transform_message,
)
from instant_nerf_ros.ros.inputs.encodings import decode_color, decode_depth
from instant_nerf_ros.ros.outputs.cloud_messages import point_cloud_message
from instant_nerf_ros.ros.qos import LATCHED, RELIABLE

pytestmark = pytest.mark.ros


@pytest.fixture(scope='module')
def robot():
    """Return a robot for all tests."""
    robot = Robot()
    yield robot
    robot.close()


def test_two_cameras_build_one_map_and_a_silent_third_is_reported(robot):
    paths = robot.collect(Path, 'both/path', LATCHED)
    statuses = statuses_of(robot, 'both')
    node = robot.node
    images = node.create_publisher(Image, 'rear/image', 10)
    infos = node.create_publisher(CameraInfo, 'rear/camera_info', 10)
    backwards = np.diag([-1.0, 1.0, -1.0, 1.0])
    static = StaticTransformBroadcaster(node)
    static.sendTransform(transform_message(backwards, 0, 'camera', 'rear'))

    def rear():
        now = node.get_clock().now().nanoseconds
        infos.publish(camera_info_message(CAMERA, now, 'rear'))
        images.publish(image_message(np.zeros((48, 64, 3), np.uint8), 'rgb8', now, 'rear'))

    def directions():
        # Of the two quaternions of a rotation, libraries differ in which they give.
        poses = paths[-1].poses if paths else ()
        return {round(abs(pose.pose.orientation.z)) for pose in poses}

    with mapper("cameras:=['', rear, left]", 'rear.use_depth:=false', 'keyframes_rate:=5.0',
                name='both') as process:
        drive_until(robot, lambda: directions() == {0, 1}, process.text, each=rear)
        wait_until(lambda: any('/left/image (0 publishers): remap' in status.message
                               for status in statuses), 15.0, lambda: statuses[-1])
        assert "no parameter 'rear.use_depth'" not in process.text()


@pytest.mark.parametrize(('source', 'topic', 'kind'), [
    ('odometry', 'odom', Odometry), ('pose', 'pose', PoseStamped)])
def test_poses_come_from_a_topic_instead_of_tf(robot, source, topic, kind):
    name = f'by_{source}'
    paths = robot.collect(Path, f'{name}/path', LATCHED)
    publisher = robot.node.create_publisher(kind, topic, 10)

    def publish():
        T = robot.pose()
        T[0, 3] += 10.0  # TF, which disagrees, is not used
        header = header_message(robot.node.get_clock().now().nanoseconds, 'map')
        if kind is PoseStamped:
            message = PoseStamped(header=header, pose=pose_message(T))
        else:
            message = Odometry(header=header, child_frame_id='camera')
            message.pose.pose = pose_message(T)
        publisher.publish(message)

    with mapper(f'pose_source:={source}', 'pose_frame:=camera', 'keyframes_rate:=5.0',
                name=name) as process:
        drive_until(robot, lambda: paths and paths[-1].poses, process.text, each=publish)
        assert paths[-1].poses[0].pose.position.x == pytest.approx(10.0, abs=1e-6)


def test_incompatible_qos_raises_an_error_that_names_both_policies(robot):
    statuses = statuses_of(robot, 'strict')
    override = 'qos_overrides./image.subscription.reliability:=reliable'
    with mapper(override, name='strict') as process:
        wait_until(lambda: any(
            s.level == DiagnosticStatus.ERROR
            and "'robot' offers reliability best_effort" in s.message
            and 'but reliable is requested' in s.message for s in statuses), 15.0, process.text)
        # The override applies to that topic only.
        drive_until(robot, lambda: any(
            pair.key == 'rate: /camera_info [Hz]' and float(pair.value) > 0
            for pair in statuses[-1].values), process.text)
        assert not any("on /camera_info, 'robot' offers" in each.message for each in statuses)


def test_a_topic_of_another_type_is_reported_with_the_parameter_to_set(robot):
    robot.node.create_publisher(CompressedImage, 'zipped/image', 10)
    statuses = statuses_of(robot, 'typed')
    with mapper('cameras:=[zipped]', name='typed') as process:
        sentence = (
            "on /zipped/image, 'robot' publishes sensor_msgs/msg/CompressedImage, but "
            "sensor_msgs/msg/Image is expected here: set image_transport to 'compressed'")
        process.wait_for(sentence)
        wait_until(lambda: any(
            s.level == DiagnosticStatus.ERROR and sentence in s.message for s in statuses), 15.0)


def test_lost_images_are_detected_by_the_rate_of_camera_info(robot):
    statuses = statuses_of(robot, 'lossy')
    with mapper(name='lossy') as process:
        process.wait_for('the engine runs on backend')
        robot.wait_for_listener()
        end, count = time.monotonic() + 15.0, 0
        while not any('of images' in s.message or 'larger messages are lost' in s.message
                      for s in statuses):
            assert time.monotonic() < end, process.text()
            now = robot.node.get_clock().now().nanoseconds
            robot.send_info(camera_info_message(CAMERA, now, 'camera'))
            count += 1
            if count % 8 == 0:
                robot.send_image(now)
            time.sleep(0.04)


def wall_scan(stamp_ns):
    """Return a scan of the wall by a lidar at the camera: a fan in a horizontal plane."""
    angles = np.linspace(-0.7, 0.7, 141)
    return LaserScan(
        header=header_message(stamp_ns, 'lidar'), angle_min=-0.7, angle_increment=0.01,
        range_min=0.1, range_max=10.0, ranges=(WALL_DISTANCE / np.cos(angles)).tolist())


def wall_cloud(stamp_ns):
    """Return a cloud of the wall by a lidar with many planes."""
    y, z = (grid.ravel() for grid in np.meshgrid(*2 * [np.linspace(-1.2, 1.2, 50)]))
    points = np.stack([np.full_like(y, WALL_DISTANCE), y, z], axis=-1)
    return point_cloud_message(points, np.zeros_like(points), stamp_ns, 'lidar')


@pytest.mark.parametrize(('parameter', 'topic', 'message'), [
    ('scans', 'scan', wall_scan), ('clouds', 'cloud', wall_cloud)])
def test_a_lidar_measures_the_wall_for_a_camera_without_depth(robot, parameter, topic, message):
    name = f'with_{topic}'
    statuses = statuses_of(robot, name)
    depths = robot.collect(Image, f'{name}/render/depth/image_raw', RELIABLE)
    grids = robot.collect(OccupancyGrid, f'{name}/map', LATCHED)
    publisher = robot.node.create_publisher(type(message(0)), topic, 10)
    T_camera_lidar = np.eye(4)
    T_camera_lidar[:3, :3] = R_MAP_OPTICAL.T
    static = StaticTransformBroadcaster(robot.node)
    static.sendTransform(transform_message(T_camera_lidar, 0, 'camera', 'lidar'))

    def scan():
        publisher.publish(message(robot.node.get_clock().now().nanoseconds))

    def sees_the_wall():
        if not depths:
            return False
        middle = decode_depth(depths[-1])[10:14]  # rows in the plane of the scan
        return abs(np.nanmedian(middle) - WALL_DISTANCE) < 0.05

    with mapper(f'{parameter}:=[{topic}]', 'use_depth:=false', name=name) as process:
        drive_until(robot, sees_the_wall, process.text, each=scan)
        # A camera without depth cannot measure a wall without texture.
        drive_until(robot, lambda: (cells_from_message(grids[-1]) == 100).any(), each=scan)
        wait_until(
            lambda: statuses and int(value_of(statuses[-1], 'scans')) > 0, 10.0, process.text)
        assert int(value_of(statuses[-1], 'images with depth')) == 0


def test_a_camera_may_be_reliable(robot):
    name, namespace = 'firm', 'elsewhere'
    paths = robot.collect(Path, f'{name}/path', LATCHED)
    node = robot.node
    images = node.create_publisher(Image, f'{namespace}/image', RELIABLE)
    infos = node.create_publisher(CameraInfo, f'{namespace}/camera_info', RELIABLE)

    def send():
        now = node.get_clock().now().nanoseconds
        robot.send_tf(now)
        infos.publish(camera_info_message(CAMERA, now, 'camera'))
        images.publish(image_message(np.zeros((48, 64, 3), np.uint8), 'rgb8', now, 'camera'))

    with mapper(f'cameras:=[{namespace}]', 'keyframes_rate:=5.0', name=name) as process:
        drive_until(robot, lambda: paths and paths[-1].poses, process.text, each=send)


def test_jpegs_are_rendered_from_render_frame_with_the_virtual_camera(robot):
    jpegs = robot.collect(CompressedImage, 'seen/render/image_raw/compressed', RELIABLE)
    infos = robot.collect(CameraInfo, 'seen/render/camera_info', RELIABLE)
    static = StaticTransformBroadcaster(robot.node)
    static.sendTransform(transform_message(np.eye(4), 0, 'camera', 'eye'))
    with mapper('render_frame:=eye', 'render_width:=40', 'render_height:=20',
                'render_fov:=90.0', name='seen') as process:
        drive_until(robot, lambda: jpegs and infos, process.text)
        assert decode_color(jpegs[-1]).shape == (20, 40, 3)
        assert jpegs[-1].header.frame_id == infos[-1].header.frame_id == 'eye'
        assert jpegs[-1].format == 'rgb8; jpeg compressed bgr8'
        assert infos[-1].k[0] == pytest.approx(20.0)


def test_a_camera_info_that_is_sent_once_is_received_by_a_late_node(robot):
    node = robot.node
    infos = node.create_publisher(CameraInfo, 'once/camera_info', LATCHED)
    images = node.create_publisher(Image, 'once/image', 10)
    static = StaticTransformBroadcaster(node)
    static.sendTransform(transform_message(np.eye(4), 0, 'camera', 'once'))
    infos.publish(camera_info_message(CAMERA, node.get_clock().now().nanoseconds, 'once'))
    paths = robot.collect(Path, 'latched/path', LATCHED)

    def send():
        now = node.get_clock().now().nanoseconds
        images.publish(image_message(np.zeros((48, 64, 3), np.uint8), 'rgb8', now, 'once'))

    with mapper('cameras:=[once]', 'once.use_depth:=false', 'keyframes_rate:=5.0',
                name='latched') as process:
        drive_until(robot, lambda: paths and paths[-1].poses, process.text, each=send)
        assert '/once/camera_info' not in process.text()
