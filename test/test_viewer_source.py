"""What the viewer takes from a node's topics: images of keyframes, poses, diagnostics."""
import itertools
import types

import numpy as np
import pytest

pytest.importorskip('viser', reason="needs viser: pip install 'viser>=1.1'")
pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from nav_msgs.msg import Path  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402

from instant_nerf_ros.nerf.camera import Camera  # noqa: E402
from instant_nerf_ros.ros.conversions import camera_info_message, header_message  # noqa: E402
from instant_nerf_ros.viewer import node_source  # noqa: E402
from instant_nerf_ros.viewer.node_images import NodeImages, stamp_and_encoding  # noqa: E402
from instant_nerf_ros.viewer.node_source import NodeSource  # noqa: E402

pytestmark = pytest.mark.ros
COLOR, DEPTH = '/depth_camera/color/image_raw', '/depth_camera/stereo/image_raw'
LENSES = Camera(8, 6, 7.0, 7.0, 3.5, 2.5), Camera(8, 6, 5.0, 5.0, 3.5, 2.5)


class Graph:
    """A node that keeps what is subscribed to, and delivers messages."""

    def __init__(self, topics):
        """Keep {topic: type} of the mapper."""
        self.subscribed = {}
        self._topics = [
            (topic, [f'sensor_msgs/msg/{kind.__name__}']) for topic, kind in topics.items()]

    def get_subscriber_names_and_types_by_node(self, name, namespace):
        """Return the topics of the mapper."""
        assert (name, namespace) == ('instant_nerf', '/robot')
        return self._topics

    def create_subscription(self, kind, topic, callback, qos, raw=False):
        """Keep a subscription."""
        self.subscribed[topic] = callback
        return topic

    def destroy_subscription(self, topic):
        """Forget a subscription."""
        del self.subscribed[topic]

    def create_publisher(self, *_):
        """Return nothing: nobody publishes."""

    def resolve_topic_name(self, name):
        """Return a name in the namespace of the robot."""
        return f'/robot/{name}'

    def deliver(self, topic, message, raw=True):
        """Call the subscription of a topic."""
        self.subscribed[topic](serialize_message(message) if raw else message)


def image(encoding, stamp_ns=1, value=0):
    """Return an image of 8 x 6 pixels of one value."""
    size = {'rgb8': 3, 'mono8': 1, '16UC1': 2, '32FC1': 4}[encoding]
    return Image(
        header=header_message(stamp_ns, 'camera'), height=6, width=8, step=8 * size,
        encoding=encoding, data=bytes([value]) * (48 * size))


@pytest.mark.parametrize(('frame', 'encoding'), [*itertools.product(
    ('', 'a', 'ab', 'abc', 'abcd', 'camera_color_optical_frame'), ('rgb8', '16UC1', 'mono8'))])
def test_stamp_and_encoding_are_read_without_the_pixels(frame, encoding):
    stamp_ns = 1_700_000_000_123_456_789
    message = image(encoding, stamp_ns)
    message.header.frame_id = frame
    assert stamp_and_encoding(serialize_message(message), Image) == (stamp_ns, encoding)
    packed = CompressedImage(header=message.header, format=f'{encoding}; jpeg compressed bgr8')
    assert stamp_and_encoding(serialize_message(packed), CompressedImage) == (
        stamp_ns, f'{encoding}; jpeg compressed bgr8')


def test_color_topics_are_known_by_their_encoding_whatever_their_name():
    infos = [f"{topic.rpartition('/')[0]}/camera_info" for topic in (DEPTH, COLOR)]
    node = Graph({**dict.fromkeys((COLOR, DEPTH), Image), **dict.fromkeys(infos, CameraInfo)})
    images = NodeImages(node, '/robot/instant_nerf')
    images.follow()
    for topic, lens in zip(infos, LENSES):
        node.deliver(topic, camera_info_message(lens, 1, 'camera'), raw=False)
    assert images.camera() is None  # which of the two takes color images?
    node.deliver(DEPTH, image('16UC1'))
    node.deliver(COLOR, image('rgb8', value=200))
    images.follow()
    assert DEPTH not in node.subscribed and COLOR in node.subscribed
    assert images.camera().fx == LENSES[1].fx
    np.testing.assert_allclose(images.image(1), 200, atol=2)


def test_images_of_two_cameras_with_one_stamp_are_not_mixed_up():
    node = Graph({'/left/image': Image, '/right/image': Image})
    images = NodeImages(node, '/robot/instant_nerf')
    images.follow()
    for topic, value in (('/left/image', 50), ('/right/image', 200)):
        node.deliver(topic, image('rgb8', 1, value))
    node.deliver('/left/image', image('rgb8', 2, 50))
    assert images.image(1) is None
    np.testing.assert_allclose(images.image(2), 50, atol=2)


@pytest.fixture
def shown():
    """Return what a stage was given."""
    return {}


@pytest.fixture
def source(shown):
    """Return a source whose stage keeps what it is given."""
    source = NodeSource(Graph({}), 'instant_nerf')
    names = 'show_keyframes', 'show_path', 'show_plan', 'show_goal'
    source.put_on(types.SimpleNamespace(**{
        name: lambda value, name=name: shown.update({name: value}) for name in names}))
    return source


def test_keyframes_of_one_stamp_are_all_shown(source, shown):
    poses = [PoseStamped(header=header_message(stamp, 'map')) for stamp in (1, 1, 2)]
    for x, posed in enumerate(poses):
        posed.pose.position.x = float(x)
    source._node.subscribed['instant_nerf/path'](
        Path(header=header_message(2, 'map'), poses=poses))
    assert [each.T_world_camera[0, 3] for each in shown['show_keyframes']] == [0.0, 1.0, 2.0]


def test_goals_without_an_orientation_change_nothing_and_plans_need_none(
        source, shown, monkeypatch):
    monkeypatch.setattr(node_source, 'TransformListener', lambda buffer, node: None)
    source.watch(True)
    goal = PoseStamped(header=header_message(1, 'map'))
    goal.pose.orientation.w = 0.0
    goal.pose.position.x = 2.0
    source._node.subscribed['goal_pose'](goal)
    source._node.subscribed['plan'](Path(header=goal.header, poses=[goal]))
    assert 'show_goal' not in shown
    np.testing.assert_array_equal(shown['show_plan'], [[2.0, 0.0, 0.0]])


def test_diagnostics_of_another_robot_are_not_shown(source):
    for name in ('other/instant_nerf', 'robot/instant_nerf', 'instant_nerf'):
        source._node.subscribed['/diagnostics'](DiagnosticArray(status=[
            DiagnosticStatus(name=f'{name}: mapping', message=name)]))
    assert source.diagnostics.message == 'robot/instant_nerf'
