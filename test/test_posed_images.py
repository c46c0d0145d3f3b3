"""Pairing of images with poses, calibrations and depth, and all its failures."""
import array
import collections
import dataclasses

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

import tf2_ros
from sensor_msgs.msg import CompressedImage

from instant_nerf_ros.nerf import EstimatedDepth
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.config import KeyframeConfig
from instant_nerf_ros.ros.conversions import (
    camera_info_message,
    image_message,
    nanoseconds,
    transform_message,
)
from instant_nerf_ros.ros.inputs.input_queue import InputQueue
from instant_nerf_ros.ros.inputs.posed_images import PosedImages
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages
from instant_nerf_ros.ros.reporting.topic_statistics import TopicStatistics

pytestmark = pytest.mark.ros

SECOND = 1_000_000_000
CAMERA = Camera(8, 6, 5.0, 5.0, 3.5, 2.5)
TIMEOUT = 1.0


class Rig:
    """PosedImages with a real TF buffer, a manual clock, and the warnings it logged."""

    def __init__(self, **settings):
        self.now = 100.0
        self.warnings = []
        self.buffer = tf2_ros.Buffer()
        self.dropped = DroppedMessages(self.warnings.append, clock=lambda: self.now)
        config = dataclasses.replace(NodeConfig(tf_timeout=TIMEOUT), **settings)
        self.queue = InputQueue(config.queue_size, KeyframeConfig, self.dropped)
        self.statistics = TopicStatistics()
        self.images = PosedImages(
            self.buffer, config, '/camera/image_raw', self.dropped, self.statistics, self.queue,
            lambda: self.now)

    def tf(self, seconds, x=0.0, child='camera'):
        """Set the pose of the camera."""
        pose = np.eye(4)
        pose[0, 3] = x
        self.buffer.set_transform(transform_message(pose, ns(seconds), 'map', child), 'test')

    def info(self, seconds=1.0, camera=CAMERA, frame='camera'):
        """Send a calibration."""
        self.images.add_camera_info(camera_info_message(camera, ns(seconds), frame))

    def image(self, seconds, value=1, shape=(6, 8, 3)):
        """Send an image."""
        image = np.full(shape, value, np.uint8)
        self.images.add_image(image_message(image, 'rgb8', ns(seconds), 'camera'))

    def depth(self, seconds, value=2.0, shape=(6, 8), frame='camera'):
        """Send a depth image."""
        depth = np.full(shape, value, np.float32)
        self.images.add_depth(image_message(depth, '32FC1', ns(seconds), frame))

    def pass_time(self, seconds):
        """Advance the clock."""
        self.now += seconds

    def pop_all(self):
        """Return [(PosedImage, image, depth)] of all inputs that are queued and can be decoded."""
        self.images.poll()
        popped = []
        while (posed := self.queue.pop()) is not None:
            decoded = self.images.decode(posed)
            if decoded is not None:
                popped.append((posed, *decoded))
        return popped


def ns(seconds):
    return round(seconds * SECOND)


@pytest.fixture
def rig():
    """Return a rig with a calibration, and TF from 1 s (x = 1) to 2 s (x = 2)."""
    rig = Rig()
    rig.info()
    rig.tf(1.0, x=1.0)
    rig.tf(2.0, x=2.0)
    return rig


def test_an_image_gets_the_interpolated_pose_at_its_stamp(rig):
    rig.image(1.25, value=42)
    ((posed, image, depth),) = rig.pop_all()
    assert (image == 42).all() and depth is None
    assert (posed.stamp_ns, posed.frame_id, posed.camera) == (ns(1.25), 'camera', CAMERA)
    np.testing.assert_allclose(posed.T_map_camera[:3, 3], [1.25, 0, 0], atol=1e-9)
    assert rig.dropped.counts() == {} and rig.warnings == []


def test_the_pose_is_that_of_the_frame_of_camera_info():
    rig = Rig()
    rig.info(frame='other')
    for seconds in (1.0, 2.0):
        rig.tf(seconds, x=5.0)
        rig.tf(seconds, x=7.0, child='other')
    rig.image(1.5)
    ((posed, _, _),) = rig.pop_all()
    assert posed.frame_id == 'other' and posed.T_map_camera[0, 3] == 7.0


def expect_drop(rig, reason, *words, count=1):
    """Check that only one kind of drop occurred, logged once with frame, stamp and words."""
    assert rig.pop_all() == []
    assert rig.dropped.counts() == {reason: count}
    (warning,) = rig.warnings
    for word in (reason, "'camera'", *words):
        assert word in warning


def test_an_image_of_an_unknown_frame_waits_and_is_dropped_then():
    rig = Rig()
    rig.info()
    rig.image(1.5)
    rig.pass_time(0.9 * TIMEOUT)
    assert rig.pop_all() == [] and rig.dropped.counts() == {}
    rig.pass_time(0.1 * TIMEOUT)
    expect_drop(rig, 'no TF', 'image', '1.500000000', "'map'")


def test_tf_that_arrives_in_time_is_used():
    rig = Rig()
    rig.info()
    rig.image(1.5)
    assert rig.pop_all() == []
    rig.pass_time(0.9 * TIMEOUT)
    rig.tf(1.0)
    rig.tf(2.0)
    assert len(rig.pop_all()) == 1 and rig.dropped.counts() == {}


def test_the_warning_about_late_tf_names_the_gap(rig):
    rig.image(2.5)
    assert rig.pop_all() == []
    rig.pass_time(TIMEOUT)
    expect_drop(rig, 'TF too late', '2.500000000', '0.500 s earlier')
    rig.tf(3.0)
    rig.image(2.8)
    assert len(rig.pop_all()) == 1  # mapping continues


def test_an_image_older_than_the_tf_history_is_dropped_at_once(rig):
    rig.image(0.5)
    expect_drop(rig, 'TF too old', '0.500000000')


def test_images_wait_for_camera_info_and_are_dropped_then():
    rig = Rig()
    rig.tf(1.0)
    rig.tf(2.0)
    rig.image(1.5)
    assert rig.pop_all() == []
    rig.pass_time(TIMEOUT)
    expect_drop(rig, 'no camera_info', '1.500000000')
    rig.info()
    rig.image(1.6)
    assert len(rig.pop_all()) == 1


def test_a_changed_calibration_drops_images_that_may_have_the_old_one(rig):
    wide = dataclasses.replace(CAMERA, fx=3.0, fy=3.0)
    rig.image(2.5)
    rig.image(2.6)
    rig.info(2.6, wide)
    rig.tf(3.0)
    ((posed, _, _),) = rig.pop_all()
    assert (posed.stamp_ns, posed.camera) == (ns(2.6), wide)
    assert rig.dropped.counts() == {'camera_info changed': 1}
    assert "'camera'" in rig.warnings[0] and '2.600000000' in rig.warnings[0]


def test_the_same_calibration_again_is_no_change(rig):
    for seconds in (1.1, 1.2):
        rig.info(seconds)
    assert rig.dropped.counts() == {}


def test_an_uncalibrated_camera_is_refused_until_it_is_calibrated():
    rig = Rig()
    rig.tf(1.0)
    rig.tf(2.0)
    message = camera_info_message(CAMERA, ns(1.0), 'camera')
    message.k[0] = 0.0
    rig.images.add_camera_info(message)
    rig.image(1.5)
    expect_drop(rig, 'invalid camera_info', 'K[0] is 0', '1.500000000')
    rig.info(1.6)
    rig.image(1.7)
    assert len(rig.pop_all()) == 1


def test_an_image_of_another_size_than_camera_info_is_dropped(rig):
    rig.image(1.5, shape=(5, 8, 3))
    expect_drop(rig, 'size unlike camera_info', '8 x 5', '8 x 6', '1.500000000')


def test_a_compressed_image_of_another_size_is_dropped(rig):
    cv2 = pytest.importorskip('cv2')
    data = cv2.imencode('.png', np.zeros((5, 8, 3), np.uint8))[1].tobytes()
    message = CompressedImage(format='png', data=array.array('B', data))
    message.header = image_message(np.zeros((1, 1)), '', ns(1.5), 'camera').header
    rig.images.add_image(message)
    expect_drop(rig, 'size unlike camera_info', '8 x 5')


def test_an_unknown_encoding_is_dropped(rig):
    message = image_message(np.zeros((6, 8, 3), np.uint8), 'nonsense', ns(1.5), 'camera')
    rig.images.add_image(message)
    expect_drop(rig, 'unknown encoding', "'nonsense'", '1.500000000')


def test_truncated_data_is_dropped(rig):
    message = image_message(np.zeros((6, 8, 3), np.uint8), 'rgb8', ns(1.5), 'camera')
    message.data = message.data[:50]
    rig.images.add_image(message)
    expect_drop(rig, 'unreadable image', 'truncated', '50', '1.500000000')


def test_a_broken_jpeg_is_dropped(rig):
    message = CompressedImage(format='jpeg', data=array.array('B', b'rubbish'))
    message.header = image_message(np.zeros((1, 1)), '', ns(1.5), 'camera').header
    rig.images.add_image(message)
    expect_drop(rig, 'unreadable image', 'jpeg', '1.500000000')


def test_a_stamp_of_zero_is_not_the_latest_pose(rig):
    rig.image(0.0)
    expect_drop(rig, 'no stamp', '0.000000000')


def test_frames_out_of_order_are_dropped(rig):
    for seconds in (1.5, 1.4, 1.5, 1.6):
        rig.image(seconds)
    assert [posed.stamp_ns for posed, _, _ in rig.pop_all()] == [ns(1.5), ns(1.6)]
    assert rig.dropped.counts() == {'out of order': 2}
    assert '1.400000000' in rig.warnings[0] and '1.500000000' in rig.warnings[0]


def test_a_stamp_in_the_far_future_does_not_block_later_images(rig):
    rig.image(1e6)
    rig.image(1.5)
    assert rig.pop_all() == []
    rig.pass_time(TIMEOUT)
    assert [posed.stamp_ns for posed, _, _ in rig.pop_all()] == [ns(1.5)]
    assert rig.dropped.counts() == {'TF too late': 1}


def test_after_a_jump_back_in_time_earlier_stamps_are_in_order(rig):
    rig.image(1.8)
    assert len(rig.pop_all()) == 1
    rig.images.clear()
    rig.image(1.2)
    assert len(rig.pop_all()) == 1 and rig.dropped.counts() == {}


def test_a_full_queue_drops_the_oldest_image_and_names_what_was_missing():
    rig = Rig(queue_size=3)
    rig.info()
    for seconds in (1.1, 1.2, 1.3):
        rig.image(seconds)
    rig.images.poll()
    rig.image(1.4)
    assert rig.dropped.counts() == {'queue full': 1}
    assert '1.100000000' in rig.warnings[0] and "no TF from 'camera' to 'map'" in rig.warnings[0]
    rig.tf(1.0)
    rig.tf(2.0)
    assert [posed.stamp_ns for posed, _, _ in rig.pop_all()] == [ns(1.2), ns(1.3), ns(1.4)]


def test_a_slow_engine_gets_fewer_images_of_the_whole_path():
    rig = Rig(queue_size=8)
    rig.info()
    rig.tf(1.0, x=0.0)
    rig.tf(3.0, x=2.0)
    for count in range(100):
        rig.image(1.1 + 0.01 * count)
        rig.images.poll()
    counts = rig.dropped.counts()
    assert sum(counts.values()) == 92 and counts['engine busy'] > 0
    path = [posed.T_map_camera[0, 3] for posed, _, _ in rig.pop_all()]
    assert path[0] == pytest.approx(0.1)
    assert np.diff([*path, 1.1]).max() < 0.3  # a queue of the newest would begin at 1.02


def test_redundant_images_are_dropped_before_images_of_other_places():
    rig = Rig(queue_size=4)
    rig.info()
    places = {1.1: 0.0, 1.2: 0.0, 1.3: 0.5, 1.4: 0.51, 1.5: 1.0, 1.6: 1.0, 1.7: 1.5}
    for seconds, x in places.items():
        rig.tf(seconds, x)
        rig.image(seconds)
        rig.images.poll()
    assert rig.dropped.counts() == {'redundant': 3} and rig.warnings == []
    assert [posed.stamp_ns for posed, _, _ in rig.pop_all()] == [
        ns(seconds) for seconds in (1.1, 1.3, 1.5, 1.7)]


@pytest.mark.parametrize('depth_first', [True, False])
def test_depth_is_paired_by_stamp_within_the_tolerance(rig, depth_first):
    rig.depth(1.0)  # from now on depth is expected
    actions = [
        lambda: [rig.depth(seconds, value=seconds) for seconds in (1.495, 1.51, 1.6)],
        lambda: rig.image(1.5),
    ]
    popped = []
    for action in actions if depth_first else reversed(actions):
        action()
        popped += rig.pop_all()
    ((_, _, depth),) = popped
    assert (depth == np.float32(1.495)).all()
    assert rig.dropped.counts() == {}


def test_without_its_depth_an_image_is_used_alone_after_a_bounded_wait(rig):
    rig.depth(1.0)
    rig.image(1.5)
    rig.pass_time(0.9 * TIMEOUT)
    assert rig.pop_all() == []
    rig.pass_time(0.1 * TIMEOUT)
    ((_, _, depth),) = rig.pop_all()
    assert depth is None
    assert rig.dropped.counts() == {'no depth': 1}
    assert "'camera' at 1.500000000" in rig.warnings[0]


def test_a_newer_depth_ends_the_wait(rig):
    rig.depth(1.9)
    rig.image(1.5)
    ((_, _, depth),) = rig.pop_all()
    assert depth is None and rig.dropped.counts() == {'no depth': 1}


@pytest.mark.parametrize('value', [np.nan, np.inf, 0.0, -1.0])
def test_a_depth_without_a_measurement_is_none(rig, value):
    rig.depth(1.5, value)
    rig.image(1.5)
    ((_, _, depth),) = rig.pop_all()
    assert depth is None
    assert rig.dropped.counts() == {'empty depth': 1}
    assert 'depth' in rig.warnings[0] and '1.500000000' in rig.warnings[0]


def test_a_depth_with_gaps_keeps_them(rig):
    values = np.full((6, 8), np.nan, np.float32)
    values[2, 3] = 1.5
    rig.images.add_depth(image_message(values, '32FC1', ns(1.5), 'camera'))
    rig.image(1.5)
    ((_, _, depth),) = rig.pop_all()
    np.testing.assert_array_equal(depth, values)


def test_the_depth_of_another_camera_is_registered(rig):
    """The depth camera has half the size, and a parallax of one pixel."""
    pose = np.eye(4)
    pose[0, 3] = 0.4  # at 2 m and f = 5 pixels: one pixel
    rig.buffer.set_transform_static(transform_message(pose, 0, 'camera', 'depth'), 'test')
    coarse = CAMERA.scaled(4, 3)
    rig.images.add_depth_camera_info(camera_info_message(coarse, ns(1.0), 'depth'))
    rig.depth(1.5, value=2.0, shape=(3, 4), frame='depth')
    rig.image(1.5)
    ((_, _, depth),) = rig.pop_all()
    assert rig.dropped.counts() == {}
    assert np.isnan(depth[:, 0]).all() and (depth[:, 1:] == 2.0).all()


def test_depth_is_corrected_for_the_motion_between_its_stamp_and_the_image(rig):
    rig.buffer.set_transform_static(transform_message(np.eye(4), 0, 'camera', 'depth'), 'test')
    rig.images.add_depth_camera_info(camera_info_message(CAMERA, ns(1.0), 'depth'))
    rig.depth(1.51, frame='depth')
    rig.image(1.5)
    rig.images.poll()
    T_camera_depth = rig.queue.pop().depth.other_camera.T_camera_depth
    np.testing.assert_allclose(T_camera_depth[:3, 3], [0.01, 0, 0], atol=1e-9)


def test_an_image_is_used_without_depth_if_tf_does_not_know_the_depth_frame(rig):
    rig.images.add_depth_camera_info(camera_info_message(CAMERA, ns(1.0), 'depth'))
    rig.depth(1.5, frame='depth')
    rig.image(1.5)
    assert rig.pop_all() == []
    rig.pass_time(TIMEOUT)
    ((_, _, depth),) = rig.pop_all()
    assert depth is None and rig.dropped.counts() == {'depth unlike image': 1}
    assert "from 'depth' to 'map'" in rig.warnings[0]


def test_each_camera_has_its_share_of_the_queue():
    rig = Rig(queue_size=4)
    other = PosedImages(
        rig.buffer, rig.images.config, '/rear/image', rig.dropped, rig.statistics, rig.queue)
    rig.tf(1.0, x=1.0)
    rig.tf(2.0, x=2.0)
    for images in (rig.images, other):
        images.add_camera_info(camera_info_message(CAMERA, ns(1.0), 'camera'))
    front = rig.images
    for seconds in (1.1, 1.2, 1.25, 1.4, 1.5):
        for images in (front, other):
            rig.images = images
            rig.image(seconds)
            images.poll()
    left = []
    while (posed := rig.queue.pop()) is not None:
        left.append((posed.source is front, posed.stamp_ns))
    assert left == [
        (is_front, ns(seconds)) for seconds in (1.1, 1.2, 1.4, 1.5)
        for is_front in (True, False)]


def test_the_median_wait_of_images_is_recorded(rig):
    rig.image(1.5)
    rig.image(2.5)
    rig.images.poll()
    assert rig.statistics.medians()[0] == 0.0
    rig.pass_time(0.3)
    rig.tf(3.0)
    rig.images.poll()
    assert rig.statistics.medians()[0] == pytest.approx(0.3)
    assert np.isnan(rig.statistics.medians()[0])


@pytest.mark.parametrize(('change', 'reason'), [
    ({'shape': (3, 4)}, 'depth unlike image'), ({'frame': 'other'}, 'depth unlike image')])
def test_a_depth_that_is_not_registered_is_not_used(rig, change, reason):
    rig.depth(1.5, **change)
    rig.image(1.5)
    ((_, _, depth),) = rig.pop_all()
    assert depth is None and rig.dropped.counts() == {reason: 1}


@pytest.mark.parametrize(('encoding', 'length', 'reason'), [
    ('rgb8', None, 'unknown encoding'), ('32FC1', 7, 'unreadable depth')])
def test_an_image_with_a_bad_depth_is_used_without_it(rig, encoding, length, reason):
    message = image_message(np.ones((6, 8), np.float32), encoding, ns(1.5), 'camera')
    message.data = message.data[:length]
    rig.images.add_depth(message)
    rig.image(1.5)
    ((_, _, depth),) = rig.pop_all()
    assert depth is None and rig.dropped.counts() == {reason: 1}


def test_an_image_that_is_dropped_is_never_decoded(rig, monkeypatch):
    decoded = []
    monkeypatch.setattr(
        'instant_nerf_ros.ros.inputs.posed_images.decode_color',
        lambda message, _: (
            decoded.append(nanoseconds(message.header.stamp)) or np.zeros((6, 8, 3))))
    for seconds in (0.5, 1.5, 1.4):
        rig.image(seconds)
    rig.pop_all()
    assert decoded == [ns(1.5)]


def test_drops_are_logged_at_once_and_then_at_a_bounded_rate_with_their_number():
    warnings, now = [], [0.0]
    dropped = DroppedMessages(warnings.append, period=5.0, clock=lambda: now[0])
    for step in range(100):  # ten seconds
        now[0] = step / 10
        dropped.add('late', f'number {step}')
    dropped.add('other', 'its own report')
    assert dropped.counts() == collections.Counter(late=100, other=1)
    assert [warning.split(':')[0] for warning in warnings] == ['late', 'late', 'other']
    assert 'number 0' in warnings[0] and 'number 50 (50 times' in warnings[1]


ZOOMED = dataclasses.replace(CAMERA, fx=7.0, fy=7.0)


@pytest.mark.parametrize('order', [
    ('i1', 'c1', 'i2', 'c2'), ('c1', 'i1', 'c2', 'i2'), ('i1', 'i2', 'c2', 'c1'),
    ('c2', 'c1', 'i1', 'i2'), ('c1', 'i1', 'i2', 'c2'), ('i1', 'i2', 'c1', 'c2')])
def test_each_image_has_the_calibration_of_its_own_stamp(order):
    rig = Rig()
    rig.tf(1.0)
    rig.tf(3.0)
    actions = {
        'i1': lambda: rig.image(1.5), 'c1': lambda: rig.info(1.5, CAMERA),
        'i2': lambda: rig.image(1.6), 'c2': lambda: rig.info(1.6, ZOOMED)}
    popped = []
    for name in order:
        actions[name]()
        popped += rig.pop_all()
    assert [(posed.stamp_ns, posed.camera.fx) for posed, _, _ in popped] == [
        (ns(1.5), 5.0), (ns(1.6), 7.0)]
    assert rig.dropped.counts() == {} and rig.warnings == []


def test_a_zooming_camera_loses_no_image():
    rig = Rig()
    rig.tf(1.0)
    rig.tf(9.0)
    popped = []
    for count in range(20):
        rig.image(2 + 0.1 * count)
        popped += rig.pop_all()
        rig.info(2 + 0.1 * count, dataclasses.replace(CAMERA, fx=5.0 + count))
        popped += rig.pop_all()
    assert [posed.camera.fx for posed, _, _ in popped] == [5.0 + count for count in range(20)]
    assert rig.dropped.counts() == {}


def test_a_lost_camera_info_delays_an_image_only_if_the_calibration_changes(rig):
    rig.info(1.2)
    rig.image(1.2)
    rig.image(1.3)
    assert len(rig.pop_all()) == 1  # the second one waits for its own
    rig.info(1.4)
    assert len(rig.pop_all()) == 1  # there is no other calibration that it could have
    rig.image(1.5)
    rig.info(1.6, ZOOMED)
    assert rig.pop_all() == []
    rig.pass_time(TIMEOUT)
    assert rig.pop_all() == [] and rig.dropped.counts() == {'camera_info changed': 1}


def test_a_calibration_that_is_published_no_longer_holds(rig):
    rig.info(1.2)
    rig.image(1.2)
    rig.image(1.3)
    assert len(rig.pop_all()) == 1
    rig.pass_time(TIMEOUT)
    assert len(rig.pop_all()) == 1
    rig.image(1.4)
    assert len(rig.pop_all()) == 1 and rig.dropped.counts() == {}


def test_of_two_cameras_on_a_topic_the_calibration_of_the_frame_is_used(rig):
    rig.info(1.5)
    rig.info(1.5, ZOOMED, frame='other')
    rig.image(1.5)
    ((posed, _, _),) = rig.pop_all()
    assert (posed.camera, posed.frame_id) == (CAMERA, 'camera')


@pytest.mark.parametrize(('frame', 'depth_frame', 'map_frame'), [
    ('/camera', '/camera', 'map'), ('camera', '/camera', 'map'), ('/camera', 'camera', '/map')])
def test_a_leading_slash_names_the_same_frame(frame, depth_frame, map_frame):
    rig = Rig(map_frame=map_frame)
    rig.info(frame=frame)
    rig.tf(1.0, child='/camera')
    rig.tf(2.0)
    rig.depth(1.5, frame=depth_frame)
    rig.image(1.5)
    ((posed, _, depth),) = rig.pop_all()
    assert posed.frame_id == 'camera' and (depth == 2.0).all()
    assert rig.dropped.counts() == {}


@pytest.mark.parametrize('scale', [1, 3])
def test_depth_of_another_size_in_the_frame_of_the_image_is_registered(rig, scale):
    other = CAMERA.scaled(4 * scale, 3 * scale)
    rig.images.add_depth_camera_info(camera_info_message(other, ns(1.0), 'camera'))
    rig.depth(1.5, shape=(3 * scale, 4 * scale))
    rig.image(1.5)
    ((_, _, depth),) = rig.pop_all()
    assert rig.dropped.counts() == {}
    assert depth.shape == (6, 8) and (depth == 2.0).all()


def test_a_depth_camera_follows_the_rectification_of_its_own_topic():
    message = camera_info_message(
        dataclasses.replace(CAMERA, distortion_model='plumb_bob', distortion=(-0.2, 0, 0, 0, 0)),
        ns(1.0), 'depth')
    message.p[0] = message.p[5] = 4.0
    for topic, expected in (('/depth/image_raw', 5.0), ('/depth/image_rect', 4.0)):
        rig = Rig()
        rig.images = PosedImages(
            rig.buffer, rig.images.config, '/color/image_rect', rig.dropped, rig.statistics,
            rig.queue, lambda rig=rig: rig.now, depth_topic=topic)
        rig.info()
        rig.tf(1.0)
        rig.tf(2.0)
        rig.buffer.set_transform_static(
            transform_message(np.eye(4), 0, 'camera', 'depth'), 'test')
        rig.images.add_depth_camera_info(message)
        rig.depth(1.5, frame='depth')
        rig.image(1.5)
        rig.images.poll()
        assert rig.queue.pop().depth.other_camera.camera.fx == expected


def test_suspicious_calibrations_are_used_with_a_warning():
    rig = Rig()
    rig.tf(1.0)
    rig.tf(2.0)
    rig.info(camera=dataclasses.replace(CAMERA, cx=1.0))
    rig.image(1.5)
    assert len(rig.pop_all()) == 1 and rig.dropped.counts() == {}
    assert 'cx = 1 in K is far from the middle of 8 pixels' in rig.warnings[0]


def test_a_dark_image_of_16_bits_is_used_with_a_warning(rig):
    rig.images.add_image(image_message(
        np.full((6, 8), 4000, np.uint16), 'mono16', ns(1.5), 'camera'))
    assert len(rig.pop_all()) == 1 and rig.dropped.counts() == {}
    assert "'image_bits' to 12" in rig.warnings[0]


@pytest.mark.parametrize('focal', [5.0, 5.001, 2.5])
def test_depth_of_the_image_size_is_registered_if_its_own_calibration_differs(rig, focal):
    other = dataclasses.replace(CAMERA, fx=focal, fy=focal)
    rig.images.add_depth_camera_info(camera_info_message(other, ns(1.0), 'camera'))
    metres = np.full((6, 8), 2.0, np.float32)
    metres[:, 7] = 3.0  # beside the image, if the depth camera sees more
    rig.images.add_depth(image_message(metres, '32FC1', ns(1.5), 'camera'))
    rig.image(1.5)
    ((_, _, depth),) = rig.pop_all()
    assert rig.dropped.counts() == {}
    if focal == 2.5:
        assert (depth == 2.0).all()
    else:
        np.testing.assert_array_equal(depth, metres)


def test_depth_of_floats_in_millimetres_is_not_used_and_said_to_be(rig):
    rig.depth(1.5, value=1500.0)
    rig.image(1.5)
    ((_, _, depth),) = rig.pop_all()
    assert depth is None and rig.dropped.counts() == {'empty depth': 1}
    assert 'are they millimetres' in rig.warnings[0]


@pytest.mark.parametrize('info_first', [True, False])
def test_stamps_that_differ_by_rounding_are_the_same(rig, info_first):
    focal_lengths = 5.0, 6.0, 5.0, 7.0
    sent = [lambda k=k, f=f: rig.info(
        1.2 + 0.1 * k + 1e-7, dataclasses.replace(CAMERA, fx=f, fy=f))
            for k, f in enumerate(focal_lengths)]
    images = [lambda k=k: rig.image(1.2 + 0.1 * k) for k in range(4)]
    for send in (*sent, *images) if info_first else (*images, *sent):
        send()
    assert [posed.camera.fx for posed, *_ in rig.pop_all()] == list(focal_lengths)
    assert rig.dropped.counts() == {} and rig.warnings == []


def test_a_camera_info_without_a_frame_holds_for_that_of_the_image():
    rig = Rig()
    rig.tf(1.0)
    rig.tf(2.0)
    rig.info(frame='')
    rig.image(1.5)
    ((posed, *_),) = rig.pop_all()
    assert posed.frame_id == 'camera' and rig.warnings == []


def test_a_camera_info_of_another_frame_is_warned_of_once(rig):
    rig.tf(1.0, child='other')
    rig.tf(2.0, child='other')
    rig.images.clear()
    rig.info(frame='other')
    for _ in range(200):
        rig.info(frame='other', seconds=1.1)
        rig.info(frame='other', seconds=1.2)
    for seconds in (1.3, 1.4, 1.5):
        rig.image(seconds)
        rig.pass_time(10.0)
    assert [posed.frame_id for posed, *_ in rig.pop_all()] == ['other'] * 3
    (warning,) = rig.warnings
    assert "the image is in 'camera', its camera_info in 'other'" in warning


def test_frames_in_parameters_have_no_leading_slash():
    config = NodeConfig(
        map_frame='/map', base_frame='/base', pose_frame='/body', render_frame='/eye')
    assert (config.map_frame, config.base_frame, config.pose_frame, config.render_frame) == (
        'map', 'base', 'body', 'eye')


def depth_of(rig, values):
    """Send an image and its depth; return what is decoded."""
    rig.tf(1.0)
    rig.info()
    rig.images.add_image(image_message(
        np.zeros((6, 8, 3), np.uint8), 'rgb8', ns(1.0), 'camera'))
    rig.images.add_depth(image_message(values, '32FC1', ns(1.0), 'camera'))
    rig.images.poll()
    decoded = rig.images.decode(rig.queue.pop())
    assert decoded is not None
    return decoded[1]


@pytest.mark.parametrize('size', [(6, 8), (3, 4), (12, 16)])
def test_estimated_depth_is_stretched_over_the_image_and_marked(size):
    values = np.arange(size[0] * size[1], dtype=np.float32).reshape(size) / 7
    depth = depth_of(Rig(depth_trust='estimated'), values)
    assert isinstance(depth, EstimatedDepth)
    rows, columns = (np.floor((np.arange(n) + 0.5) * old / n).astype(int)
                     for n, old in zip((6, 8), size))
    np.testing.assert_array_equal(depth.values, values[rows[:, None], columns])


def test_normalized_depth_is_no_measurement_and_says_which_parameter():
    rig = Rig()
    values = np.linspace(0.0, 1.0, 48, dtype=np.float32).reshape(6, 8)
    assert depth_of(rig, values) is None
    assert any("set 'depth_trust' to estimated" in warning for warning in rig.warnings)


@pytest.mark.parametrize('values', [
    np.linspace(0.3, 1.0, 48), np.linspace(0.0, 0.9, 48), np.r_[np.nan, np.linspace(0, 1, 47)]])
def test_near_measurements_are_not_taken_for_normalized_depth(values):
    depth = depth_of(Rig(), values.reshape(6, 8).astype(np.float32))
    assert isinstance(depth, np.ndarray)
