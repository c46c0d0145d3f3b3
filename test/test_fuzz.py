"""Ten thousand malformed messages of every type that the node subscribes to."""
import array
import dataclasses
import types

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

import tf2_ros
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import (
    CameraInfo,
    CompressedImage,
    Image,
    LaserScan,
    PointCloud2,
    PointField,
)
from tf2_msgs.msg import TFMessage

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.ranges import Ranges, check_points, point_rays
from instant_nerf_ros.nerf.config import KeyframeConfig
from instant_nerf_ros.ros.conversions import camera_info_message, image_message, transform_message
from instant_nerf_ros.ros.inputs.input_queue import InputQueue
from instant_nerf_ros.ros.inputs.pose_sources import PoseTopic
from instant_nerf_ros.ros.inputs.posed_images import PosedImages
from instant_nerf_ros.ros.inputs.range_scans import RangeScans
from instant_nerf_ros.ros.outputs.view_requests import MAX_REQUESTS, ViewRequests
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.diagnostics import memory
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages
from instant_nerf_ros.ros.reporting.topic_statistics import TopicStatistics

pytestmark = pytest.mark.ros

COUNT = 10_000
CAMERA = Camera(8, 6, 5.0, 5.0, 3.5, 2.5)
SIZES = 0, 1, 6, 8, 65535, 2**31, 2**32 - 1
NUMBERS = 0.0, 1.0, -1.0, 1e308, -1e308, np.nan, np.inf, -np.inf, 5.0
ENCODINGS = (
    '', 'rgb8', 'bgr8', 'mono16', 'bayer_rggb8', 'yuv422', '32FC1', '16UC1', 'nonsense', '\u00e9')
FORMATS = (
    '', 'jpeg', 'png', 'rgb8; jpeg compressed bgr8', '16UC1; compressedDepth png',
    '16UC1; compressedDepth rvl', '32FC1; compressedDepth png', '32FC1; compressedDepth rvl', 'x')


class Fuzz:
    """A random generator of malformed messages."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def of(self, choices):
        """Return one of some choices."""
        return choices[self.random.integers(len(choices))]

    def octets(self, most=300):
        """Return random bytes."""
        count = int(self.random.integers(0, most))
        return array.array('B', self.random.integers(0, 256, count, np.uint8).tobytes())

    def stamped(self, message):
        """Return a message with a random header."""
        message.header.frame_id = self.of(('', 'camera', 'map', 'depth', '/', 'x' * 300))
        message.header.stamp.sec = self.of((0, 1, 2, -1, -2**31, 2**31 - 1))
        message.header.stamp.nanosec = self.of((0, 500_000_000, 2**32 - 1))
        return message

    def image(self):
        """Return an Image."""
        return self.stamped(Image(
            width=self.of(SIZES), height=self.of(SIZES), step=self.of((*SIZES, 24)),
            encoding=self.of(ENCODINGS), is_bigendian=int(self.random.integers(2)),
            data=self.octets()))

    def compressed(self):
        """Return a CompressedImage."""
        return self.stamped(CompressedImage(format=self.of(FORMATS), data=self.octets()))

    def camera_info(self):
        """Return a CameraInfo."""
        message = self.stamped(CameraInfo(
            width=self.of(SIZES), height=self.of(SIZES),
            distortion_model=self.of(('', 'plumb_bob', 'equidistant', 'x')),
            d=[self.of(NUMBERS) for _ in range(self.random.integers(0, 15))],
            k=[self.of(NUMBERS) for _ in range(9)], p=[self.of(NUMBERS) for _ in range(12)],
            binning_x=self.of(SIZES), binning_y=self.of(SIZES)))
        message.roi.width, message.roi.x_offset = self.of(SIZES), self.of(SIZES)
        return message

    def fill(self, pose):
        """Make a pose random; half of them are not finite or have no rotation."""
        for part, names in ((pose.position, 'xyz'), (pose.orientation, 'xyzw')):
            for name in names:
                setattr(part, name, self.of(NUMBERS))

    def pose(self):
        """Return a PoseStamped."""
        message = self.stamped(PoseStamped())
        self.fill(message.pose)
        return message

    def odometry(self):
        """Return an Odometry."""
        message = self.stamped(Odometry(child_frame_id=self.of(('', 'camera', 'map'))))
        self.fill(message.pose.pose)
        return message

    def transforms(self):
        """Return a TFMessage."""
        message = TFMessage()
        for _ in range(self.random.integers(4)):
            transform = self.stamped(TransformStamped(
                child_frame_id=self.of(('', 'camera', 'map', '/', 'x' * 300))))
            for part, names in ((transform.transform.translation, 'xyz'),
                                (transform.transform.rotation, 'xyzw')):
                for name in names:
                    setattr(part, name, self.of(NUMBERS))
            message.transforms.append(transform)
        return message

    def scan(self):
        """Return a LaserScan; its floats are 32 bits wide."""
        floats = 0.0, 0.1, 1.0, -1.0, 3e38, np.nan, np.inf, -np.inf
        return self.stamped(LaserScan(
            **{name: self.of(floats) for name in (
                'angle_min', 'angle_max', 'angle_increment', 'time_increment', 'scan_time',
                'range_min', 'range_max')},
            ranges=[self.of(floats) for _ in range(self.random.integers(0, 20))]))

    def cloud(self):
        """Return a PointCloud2."""
        sizes = 0, 1, 4, 12, 100, 2**31, 2**32 - 1
        return self.stamped(PointCloud2(
            width=self.of(sizes), height=self.of(sizes), point_step=self.of(sizes),
            row_step=self.of(sizes), is_bigendian=bool(self.random.integers(2)),
            data=self.octets(), fields=[
                PointField(
                    name=self.of(('x', 'y', 'z', '', 'rgb')), offset=self.of((0, 4, 8, *sizes)),
                    datatype=self.of((0, 7, 7, 7, 8, 255)), count=self.of(sizes))
                for _ in range(self.random.integers(0, 6))]))


class Rig:
    """The receivers of the messages, with a manual clock."""

    def __init__(self):
        self.now, self.buffer = 0.0, tf2_ros.Buffer()
        self.dropped = DroppedMessages(lambda _: None)
        self.config = dataclasses.replace(NodeConfig(), tf_timeout=0.5)
        self.queue = InputQueue(50, KeyframeConfig, self.dropped)
        self.images = PosedImages(
            self.buffer, self.config, 'image', self.dropped, TopicStatistics(), self.queue,
            lambda: self.now)
        self.requests = ViewRequests(self.buffer, self.config, self.dropped, lambda: self.now)
        self.scans = RangeScans(
            self.buffer, self.config, self.dropped, self.queue, lambda: self.now)
        for second in (1, 3):
            self.buffer.set_transform(
                transform_message(np.eye(4), second * 10**9, 'map', 'camera'), 'test')
        self.calibrate()

    def calibrate(self):
        """Send a good calibration."""
        self.images.add_camera_info(camera_info_message(CAMERA, 10**9, 'camera'))

    def drop_count(self):
        """Return the number of drops."""
        return sum(self.dropped.counts().values())


def growth(work):
    """Call work(index), and return the growth of the memory after the first tenth [MB]."""
    for index in range(COUNT):
        work(index)
        if index == COUNT // 10:
            before = memory()
    return memory() - before


@pytest.mark.parametrize('kind', ['image', 'compressed'])
def test_every_malformed_image_is_counted(kind):
    fuzz, rig, decoded = Fuzz(1), Rig(), []

    def work(index):
        rig.images.add_image(getattr(fuzz, kind)())
        if index % 10 == 9:
            rig.now += 1.0
            rig.images.poll()
            while (posed := rig.queue.pop()) is not None:
                if rig.images.decode(posed) is not None:
                    decoded.append(posed)
            rig.images.clear()

    assert growth(work) < 20.0
    assert rig.drop_count() + len(decoded) == COUNT


@pytest.mark.parametrize('kind', ['image', 'compressed'])
def test_an_image_with_a_malformed_depth_is_used_without_it(kind):
    fuzz, rig = Fuzz(2), Rig()

    def work(_):
        message = getattr(fuzz, kind)()
        good = np.zeros((6, 8, 3), np.uint8)
        rig.images.clear()
        rig.images.add_depth(message)
        rig.images.add_image(image_message(good, 'rgb8', 1_500_000_000, 'camera'))
        rig.now += 1.0
        rig.images.poll()
        image, _ = rig.images.decode(rig.queue.pop())
        assert image.shape == (6, 8, 3)

    assert growth(work) < 20.0


def test_no_calibration_is_fatal():
    fuzz, rig = Fuzz(3), Rig()

    def work(_):
        rig.images.add_camera_info(fuzz.camera_info())
        rig.images.add_depth_camera_info(fuzz.camera_info())
        rig.images.add_image(fuzz.image())
        rig.now += 1.0
        rig.images.poll()

    assert growth(work) < 20.0


def test_no_requested_pose_is_fatal_and_all_are_counted():
    fuzz, rig = Fuzz(4), Rig()
    answered = 0

    def work(index):
        nonlocal answered
        rig.requests.add(fuzz.pose())
        if index % 100 == 99:
            rig.now += 1.0
            rig.requests.poll()
            while (request := rig.requests.take()) is not None:
                assert np.isfinite(request.T_map_camera).all()
                answered += 1

    assert growth(work) < 20.0
    assert rig.drop_count() + answered == COUNT


def test_the_number_of_waiting_requests_is_bounded():
    fuzz, rig = Fuzz(5), Rig()
    for _ in range(2 * MAX_REQUESTS):
        rig.requests.add(fuzz.pose())
    assert rig.dropped.counts() == {'too many render poses': MAX_REQUESTS}


@pytest.mark.parametrize('kind', ['pose', 'odometry'])
def test_no_pose_of_the_robot_is_fatal(kind):
    fuzz, rig = Fuzz(6), Rig()
    topic = PoseTopic.__new__(PoseTopic)  # without a node, only its callback
    topic._buffer, topic._config, topic._dropped = rig.buffer, rig.config, rig.dropped
    assert growth(lambda _: topic._add(getattr(fuzz, kind)())) < 20.0
    assert rig.dropped.counts()['invalid pose'] > COUNT / 4


@pytest.mark.parametrize('kind', ['scan', 'cloud'])
def test_no_scan_is_fatal_and_all_are_counted(kind):
    fuzz, rig, store = Fuzz(7), Rig(), Ranges()
    added = 0

    def work(index):
        nonlocal added
        rig.scans.add(getattr(fuzz, kind)())
        if index % 10 == 9:
            rig.now += 1.0
            rig.scans.poll()
            while (posed := rig.queue.pop()) is not None:
                rays = rig.scans.decode(posed)
                if rays is not None:
                    scan = point_rays(*check_points(*rays), fuzz.random)
                    store.add(scan, 0, fuzz.random)
                    assert np.isfinite(scan.surfaces).all()
                    added += 1
            rig.scans.clear()

    assert growth(work) < 20.0
    assert rig.drop_count() + added == COUNT


def test_no_malformed_transform_is_fatal_or_used():
    fuzz, rig = Fuzz(8), Rig()
    callbacks = []
    node = types.SimpleNamespace(
        create_subscription=lambda *given, **_: callbacks.append(given[2]))
    tf2_ros.TransformListener(rig.buffer, node)

    def work(index):
        for callback in callbacks:  # of /tf and /tf_static
            callback(fuzz.transforms())
        if index % 10 == 9:
            rig.images.add_image(
                image_message(np.zeros((6, 8, 3), np.uint8), 'rgb8', 1_500_000_000, 'camera'))
            rig.now += 1.0
            rig.images.poll()
            while (posed := rig.queue.pop()) is not None:
                assert np.isfinite(posed.T_map_camera).all()
            rig.images.clear()

    assert growth(work) < 20.0
