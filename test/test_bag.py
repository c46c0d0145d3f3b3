"""All topics of the node, recorded into a rosbag2 and read without ROS."""
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')
pytest.importorskip('rosbags', reason='needs rosbags')

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray
from map_msgs.msg import OccupancyGridUpdate
from nav_msgs.msg import OccupancyGrid
from nav_msgs.msg import Path as PathMessage
from ros_helpers import WALL_DISTANCE, Robot, drive_until, mapper
from rosbags.rosbag2 import Reader, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from visualization_msgs.msg import Marker

from instant_nerf_ros.ros.qos import LATCHED, RELIABLE

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[1]
NODE = '/instant_nerf'
TOPICS = {
    '/map': (OccupancyGrid, LATCHED),
    '/map_updates': (OccupancyGridUpdate, RELIABLE),
    f'{NODE}/map_probability': (OccupancyGrid, LATCHED),
    f'{NODE}/points': (PointCloud2, LATCHED),
    f'{NODE}/voxels': (Marker, LATCHED),
    f'{NODE}/distance_slice': (PointCloud2, LATCHED),
    f'{NODE}/keyframes': (PoseArray, LATCHED),
    f'{NODE}/path': (PathMessage, LATCHED),
    f'{NODE}/render/image_raw': (Image, RELIABLE),
    f'{NODE}/render/image_raw/compressed': (CompressedImage, RELIABLE),
    f'{NODE}/render/depth/image_raw': (Image, RELIABLE),
    f'{NODE}/render/camera_info': (CameraInfo, RELIABLE),
    '/diagnostics': (DiagnosticArray, RELIABLE),
}
FEW = {topic: 1 if topic == '/map' else 3 for topic in TOPICS}  # then patches


class PassingRobot(Robot):
    """A robot that drives along the wall, so that the map keeps changing."""

    def pose(self):
        """Return T_map_camera (4, 4)."""
        T_map_camera = super().pose()
        T_map_camera[1, 3] += 0.01 * min(self._count, 150)
        return T_map_camera


def record(robot, folder, types):
    """Drive until there are some messages of every topic, and write them into a bag."""
    messages = []  # (topic, time of arrival, serialised)

    def subscribe(topic, message_type, qos):
        def keep(serialised):
            messages.append((topic, robot.node.get_clock().now().nanoseconds, serialised))
        robot.node.create_subscription(message_type, topic, keep, qos, raw=True)

    for topic, of in TOPICS.items():
        subscribe(topic, *of)

    def missing():
        received = [topic for topic, *_ in messages]
        return [topic for topic in TOPICS if received.count(topic) < FEW[topic]]

    with mapper('keyframes_rate:=5.0') as process:
        process.wait_for('the engine runs on backend', 60.0)
        robot.wait_for_listener()
        drive_until(
            robot, lambda: not missing(), lambda: f'{missing()} {process.text()}', 60.0)
    with Writer(folder, version=9) as bag:
        connections = {}
        for topic, (message_type, _) in TOPICS.items():
            package = message_type.__module__.split('.')[0]
            connections[topic] = bag.add_connection(
                topic, f'{package}/msg/{message_type.__name__}', typestore=types)
        for topic, stamp, serialised in list(messages):
            bag.write(connections[topic], stamp, serialised)


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    """Return {topic: messages} as read by rosbags; each must be valid CDR of the same size."""
    types = get_typestore(Stores.ROS2_HUMBLE)
    definition = (ROOT / 'underlay/map_msgs/msg/OccupancyGridUpdate.msg').read_text()
    types.register(get_types_from_msg(definition, 'map_msgs/msg/OccupancyGridUpdate'))
    folder = tmp_path_factory.mktemp('recorded') / 'bag'
    robot = PassingRobot()
    try:
        record(robot, folder, types)
    finally:
        robot.close()
    found = {topic: [] for topic in TOPICS}
    with Reader(folder) as bag:
        for connection, _, serialised in bag.messages():
            message = types.deserialize_cdr(serialised, connection.msgtype)
            again = types.serialize_cdr(message, connection.msgtype)
            assert abs(len(again) - len(serialised)) < 4, f'{connection.topic}: not only padding'
            found[connection.topic].append(message)
    return found


def nanoseconds(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def is_unit(orientation):
    q = orientation
    return abs(np.linalg.norm([q.x, q.y, q.z, q.w]) - 1.0) < 1e-6


@pytest.mark.parametrize('topic', TOPICS)
def test_stamps_are_positive_and_do_not_decrease(recorded, topic):
    stamps = [nanoseconds(message) for message in recorded[topic]]
    assert stamps == sorted(stamps) and stamps[0] > 0
    assert len(stamps) >= FEW[topic]


@pytest.mark.parametrize(('topic', 'values'), [
    ('/map', {-1, 0, 100}), (f'{NODE}/map_probability', set(range(-1, 101)))])
def test_grids_satisfy_nav2(recorded, topic, values):
    for message in recorded[topic]:
        info = message.info
        assert message.header.frame_id == 'map'
        assert len(message.data) == info.width * info.height > 0
        assert set(np.unique(message.data)) <= values
        assert is_unit(info.origin.orientation) and info.origin.orientation.w == 1.0
        assert info.resolution == np.float32(0.1)
        for coordinate in (info.origin.position.x, info.origin.position.y):
            cells = coordinate / float(np.float32(0.1))
            assert abs(cells - round(cells)) < 1e-5


def test_patches_lie_in_the_map_and_complete_the_wall(recorded):
    whole = recorded['/map'][-1]
    cells = whole.data.reshape(whole.info.height, whole.info.width).copy()
    for patch in recorded['/map_updates']:
        assert patch.header.frame_id == 'map'
        assert len(patch.data) == patch.width * patch.height > 0
        assert set(np.unique(patch.data)) <= {-1, 0, 100}
        assert patch.x >= 0 and patch.x + patch.width <= whole.info.width
        assert patch.y >= 0 and patch.y + patch.height <= whole.info.height
        if nanoseconds(patch) >= nanoseconds(whole):
            cells[patch.y:patch.y + patch.height, patch.x:patch.x + patch.width] = (
                patch.data.reshape(patch.height, patch.width))
    columns = np.nonzero(cells == 100)[1]
    x = whole.info.origin.position.x + (columns + 0.5) * whole.info.resolution
    assert len(x) and abs(np.median(x) - WALL_DISTANCE) < 0.2


def fields_of(message):
    """Check a PointCloud2 and return it as a structured array."""
    assert message.header.frame_id == 'map'
    assert {field.datatype for field in message.fields} == {7}  # FLOAT32
    assert message.row_step == message.width * message.point_step
    assert len(message.data) == message.row_step * message.height > 0
    return np.frombuffer(message.data, np.dtype({
        'names': [field.name for field in message.fields],
        'formats': ['<f4'] * len(message.fields),
        'offsets': [field.offset for field in message.fields], 'itemsize': message.point_step}))


def test_points_are_floats_with_packed_colors(recorded):
    points = fields_of(recorded[f'{NODE}/points'][-1])
    assert points.dtype.names == ('x', 'y', 'z', 'rgb')
    assert np.isfinite([points['x'], points['y'], points['z']]).all()
    assert abs(np.median(points['x']) - WALL_DISTANCE) < 0.2


def test_distances_decrease_towards_the_wall(recorded):
    slice_ = fields_of(recorded[f'{NODE}/distance_slice'][-1])
    assert slice_.dtype.names[:4] == ('x', 'y', 'z', 'intensity')
    before = slice_[(np.abs(slice_['y']) < 0.1) & (slice_['intensity'] > 0)]
    assert np.ptp(slice_['z']) < 1e-3  # a slice
    assert len(before) and before['x'].max() < WALL_DISTANCE


def test_voxels_are_at_the_points(recorded):
    cubes = recorded[f'{NODE}/voxels'][-1]
    assert (cubes.type, cubes.action) == (6, 0)  # CUBE_LIST, ADD
    assert len(cubes.points) == len(cubes.colors) > 0
    assert is_unit(cubes.pose.orientation) and cubes.header.frame_id == 'map'
    assert cubes.scale.x == cubes.scale.y == cubes.scale.z == pytest.approx(0.1)
    assert abs(np.median([point.x for point in cubes.points]) - WALL_DISTANCE) < 0.2
    assert all(color.a == 1.0 and 0.0 <= color.r <= 1.0 for color in cubes.colors)


def test_a_view_is_an_image_a_jpeg_a_depth_and_its_camera(recorded):
    images, jpegs, depths, infos = (
        {nanoseconds(message): message for message in recorded[f'{NODE}/render/{name}']}
        for name in ('image_raw', 'image_raw/compressed', 'depth/image_raw', 'camera_info'))
    stamp = max(images.keys() & jpegs.keys() & depths.keys() & infos.keys())
    image, jpeg, depth, info = images[stamp], jpegs[stamp], depths[stamp], infos[stamp]
    assert {m.header.frame_id for m in (image, jpeg, depth, info)} == {'camera'}
    size = info.height, info.width
    for message, encoding, octets in ((image, 'rgb8', 3), (depth, '32FC1', 4)):
        assert message.encoding == encoding
        assert (message.height, message.width) == size
        assert message.step == message.width * octets
        assert len(message.data) == message.step * message.height > 0
    assert jpeg.format == 'rgb8; jpeg compressed bgr8'
    decoded = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    pixels = image.data.reshape(*size, 3)
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(float) - pixels).mean() < 10.0
    metres = np.frombuffer(depth.data, '<f4')
    assert (metres[~np.isnan(metres)] > 0.0).all()
    K, P = info.k.reshape(3, 3), info.p.reshape(3, 4)
    assert K[0, 0] > 0.0 and K[2, 2] == 1.0
    assert (P[:, :3] == K).all() and (P[:, 3] == 0.0).all()
    assert (info.r.reshape(3, 3) == np.eye(3)).all()


def test_path_and_keyframes_are_poses_in_the_map(recorded):
    path, keyframes = recorded[f'{NODE}/path'][-1], recorded[f'{NODE}/keyframes'][-1]
    assert path.header.frame_id == keyframes.header.frame_id == 'map'
    stamps = [nanoseconds(pose) for pose in path.poses]
    assert stamps == sorted(set(stamps)) and len(stamps) > 1
    assert {pose.header.frame_id for pose in path.poses} == {'map'}
    for pose in [pose.pose for pose in path.poses] + keyframes.poses:
        assert is_unit(pose.orientation)
        assert abs(pose.position.z - 0.5) < 1e-6 and abs(pose.position.y) <= 2.0
    assert 0 < len(keyframes.poses) <= len(path.poses)


def test_diagnostics_have_a_level_and_a_message(recorded):
    for message in recorded['/diagnostics']:
        (status,) = message.status
        assert status.level in (0, 1, 2)
        assert status.name == 'instant_nerf: mapping' and status.message
        assert all(pair.key for pair in status.values)
