"""Range scans: their messages, and their points in the map frame."""
import array
import math

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

import tf2_ros
from randomness import generator
from sensor_msgs.msg import LaserScan, PointCloud2, PointField

from instant_nerf_ros.nerf.config import KeyframeConfig
from instant_nerf_ros.ros.conversions import header_message, time_message, transform_message
from instant_nerf_ros.ros.inputs.input_queue import InputQueue
from instant_nerf_ros.ros.inputs.range_messages import points_from
from instant_nerf_ros.ros.inputs.range_scans import RangeScans
from instant_nerf_ros.ros.outputs.cloud_messages import point_cloud_message
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages

pytestmark = pytest.mark.ros

SECOND = 1_000_000_000
TIMEOUT = 1.0


def scan_message(ranges, seconds=1.0, angle_min=-math.pi / 2, span=math.pi, duration=0.0):
    """Return a LaserScan over an angle."""
    between = max(len(ranges) - 1, 1)
    return LaserScan(
        header=header_message(round(seconds * SECOND), 'lidar'), angle_min=angle_min,
        angle_increment=span / between, time_increment=duration / between,
        range_min=0.1, range_max=20.0, ranges=[float(r) for r in ranges])


def test_a_scan_is_a_fan_in_its_plane_and_values_out_of_range_are_nan():
    points = points_from(scan_message([1.0, 2.0, 3.0, 0.05, 25.0, math.inf, math.nan, -1.0, 4.0]))
    angles = np.linspace(-math.pi / 2, math.pi / 2, 9)
    good = [0, 1, 2, 8]
    np.testing.assert_allclose(points[0], [0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(points[8], [0, 4, 0], atol=1e-5)
    np.testing.assert_allclose(
        np.arctan2(points[good, 1], points[good, 0]), angles[good], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(points[good], axis=-1), [1, 2, 3, 4], rtol=1e-6)
    assert np.isnan(points[3:8]).all()


@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize(('kind', 'datatype'), [
    ('f4', PointField.FLOAT32), ('f8', PointField.FLOAT64)])
def test_a_cloud_may_have_any_layout(kind, datatype, big_endian):
    random, height, width, padding = generator(), 3, 5, 7
    dtype = np.dtype(('>' if big_endian else '<') + kind)
    layout = np.dtype({
        'names': ['intensity', 'z', 'x', 'y'], 'formats': ['u1', dtype, dtype, dtype],
        'offsets': [0, 2, 12, 24], 'itemsize': 40})
    points = np.zeros((height, width), layout)
    expected = random.normal(size=(height, width, 3)).astype(kind)
    expected[1, 2] = np.nan
    for axis, name in enumerate('xyz'):
        points[name] = expected[..., axis]
    rows = [points[row].tobytes() + bytes(padding) for row in range(height)]
    rows[-1] = rows[-1][: width * 40]  # the padding of the last row may be missing
    cloud = PointCloud2(
        height=height, width=width, point_step=40, row_step=width * 40 + padding,
        is_bigendian=big_endian, data=array.array('B', b''.join(rows)), fields=[
            PointField(name=name, offset=offset, datatype=PointField.UINT8
                       if name == 'intensity' else datatype, count=1)
            for name, offset in (('intensity', 0), ('z', 2), ('x', 12), ('y', 24))])
    np.testing.assert_array_equal(points_from(cloud), expected.reshape(-1, 3))


def broken(**changes):
    """Return a cloud of two points with some fields changed."""
    cloud = point_cloud_message(np.ones((2, 3)), np.zeros((2, 3)), SECOND, 'lidar')
    for name, value in changes.items():
        setattr(cloud, name, value)
    return cloud


@pytest.mark.parametrize(('message', 'words'), [
    (broken(width=3), 'do not fit'),
    (broken(height=2**32 - 1), 'do not fit'),
    (broken(height=2, row_step=8), 'do not fit'),
    (broken(point_step=0), 'do not fit'),
    (broken(point_step=8), "field 'z' begins at byte 8"),
    (broken(fields=[]), "no field 'x'"),
    (broken(fields=[PointField(name='x', datatype=PointField.INT16)]), "no field 'x'"),
    (scan_message([1.0] * 3, angle_min=math.nan), 'must be finite'),
])
def test_unreadable_messages_are_refused_with_a_sentence(message, words):
    with pytest.raises(ValueError, match=words):
        points_from(message)


def test_a_cloud_without_points_is_empty():
    assert points_from(broken(width=0)).shape == (0, 3)


class Rig:
    """RangeScans with a real TF buffer, a manual clock, and the warnings it logged."""

    def __init__(self):
        self.now, self.warnings = 100.0, []
        self.buffer = tf2_ros.Buffer()
        self.dropped = DroppedMessages(self.warnings.append, clock=lambda: self.now)
        self.queue = InputQueue(50, KeyframeConfig, self.dropped)
        self.scans = RangeScans(
            self.buffer, NodeConfig(tf_timeout=TIMEOUT, queue_size=3), self.dropped, self.queue,
            lambda: self.now)

    def tf(self, seconds, x=0.0, yaw=0.0):
        """Set the pose of the lidar."""
        pose = np.eye(4)
        pose[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
        pose[0, 3] = x
        self.buffer.set_transform(
            transform_message(pose, round(seconds * SECOND), 'map', 'lidar'), 'test')

    def pop_all(self):
        """Return [(origins, points)] of all scans that are queued and can be decoded."""
        self.scans.poll()
        decoded = []
        while (posed := self.queue.pop()) is not None:
            decoded.append(self.scans.decode(posed))
        return [rays for rays in decoded if rays is not None]


def test_points_lie_in_the_map_and_rays_begin_at_the_sensor():
    rig = Rig()
    rig.tf(1.0, x=1.0, yaw=math.pi / 2)
    rig.tf(2.0, x=2.0, yaw=math.pi / 2)
    rig.scans.add(scan_message([2.0, 3.0, 4.0], 1.5))
    ((origins, points),) = rig.pop_all()
    np.testing.assert_allclose(origins, [[1.5, 0, 0]] * 3, atol=1e-6)
    np.testing.assert_allclose(points, [[3.5, 0, 0], [1.5, 3, 0], [-2.5, 0, 0]], atol=1e-5)
    rig.scans.add(point_cloud_message(
        np.array([[1.0, 2.0, 3.0]]), np.zeros((1, 3)), 2 * SECOND, 'lidar'))
    ((origins, points),) = rig.pop_all()
    np.testing.assert_allclose(points, [[0.0, 1.0, 3.0]], atol=1e-6)
    assert rig.dropped.counts() == {}


def test_a_robot_that_turns_while_it_scans_sees_a_straight_wall():
    """A wall at x = 5, a turn of a radian a second, and a scan of a tenth of a second."""
    rig, count, duration = Rig(), 721, 0.1
    shares = np.linspace(0, 1, count)
    yaws = shares * duration
    for share in np.linspace(0, 1, 11):
        rig.tf(1.0 + share * duration, yaw=share * duration)
    angles = -1.0 + 2.0 * shares
    rig.scans.add(scan_message(
        5.0 / np.cos(angles + yaws), 1.0, angle_min=-1.0, span=2.0, duration=duration))
    ((_, points),) = rig.pop_all()
    # With one pose for the whole scan, its ends would be half a metre off.
    assert np.abs(points[:, 0] - 5.0).max() < 0.08


def test_a_scan_waits_for_the_tf_of_its_end():
    rig = Rig()
    rig.tf(1.0)
    rig.scans.add(scan_message([1.0] * 9, 1.0, duration=0.1))
    assert rig.pop_all() == [] and rig.dropped.counts() == {}
    rig.tf(1.2)
    assert len(rig.pop_all()) == 1


def test_unusable_scans_are_dropped_with_the_reason():
    rig = Rig()
    rig.tf(1.0)
    rig.tf(2.0)
    rig.scans.add(scan_message([math.inf] * 5))
    rig.scans.add(broken(fields=[]))
    rig.scans.add(scan_message([1.0] * 5, duration=50.0))
    assert rig.pop_all() == []
    rig.scans.add(scan_message([1.0] * 5, 0.0))
    rig.scans.add(scan_message([1.0] * 5, 5.0))
    assert rig.pop_all() == []
    rig.now += TIMEOUT
    assert rig.pop_all() == []
    for seconds in (6.0, 7.0, 8.0, 9.0):
        rig.scans.add(scan_message([1.0] * 5, seconds))
    assert rig.dropped.counts() == {
        'empty scan': 1, 'unreadable cloud': 1, 'unreadable scan': 1, 'no stamp': 1,
        'TF too late': 1, 'queue full': 1}
    assert any("scan of 'lidar' at 5.000000000" in warning for warning in rig.warnings)
    rig.scans.clear()
    rig.now += TIMEOUT
    assert rig.pop_all() == [] and sum(rig.dropped.counts().values()) == 6


def test_a_negative_stamp_is_dropped():
    message = scan_message([1.0])
    message.header.stamp = time_message(-SECOND)
    rig = Rig()
    rig.tf(1.0)
    rig.scans.add(message)
    rig.now += TIMEOUT
    assert rig.pop_all() == [] and sum(rig.dropped.counts().values()) == 1


def test_range_max_is_no_hit():
    """Many drivers give range_max, in 32 bits, where nothing reflects."""
    for limit in (20.0, 5.6, 12.1):
        message = scan_message([limit, 1.0, limit + 1.0, 0.99 * limit])
        message.range_max = limit
        points = points_from(message)
        assert np.isfinite(points).all(axis=-1).tolist() == [False, True, False, True]


@pytest.mark.parametrize('intensities', [[], [0.0] * 3, [-1.0] * 3, [math.nan] * 3])
def test_intensities_decide_nothing(intensities):
    message = scan_message([1.0, 2.0, 3.0])
    message.intensities = intensities
    np.testing.assert_array_equal(points_from(message), points_from(scan_message([1.0, 2.0, 3.0])))


def test_points_beyond_the_limit_or_at_the_sensor_are_no_measurement():
    points = np.array([[0.0, 0, 0], [1.0, 0, 0], [0, 30.0, 0], [0, 0, -31.0]])
    cloud = point_cloud_message(points, np.zeros((4, 3)), SECOND, 'lidar')
    assert np.isfinite(points_from(cloud)).all(axis=-1).tolist() == [False, True, True, True]
    assert np.isfinite(points_from(cloud, 30.0)).all(axis=-1).tolist() == [
        False, True, False, False]
    assert np.isfinite(points_from(scan_message([1.0, 9.0, 10.0]), 9.0)).all(axis=-1).tolist() == [
        True, False, False]


@pytest.mark.parametrize('row_step', [24, 0, 48])
def test_a_packed_cloud_may_have_any_row_step(row_step):
    points = np.arange(12, dtype='<f4').reshape(4, 3)
    cloud = PointCloud2(
        height=2, width=2, point_step=12, row_step=row_step,
        data=array.array('B', points.tobytes()), fields=[
            PointField(name=name, offset=4 * k, datatype=PointField.FLOAT32, count=1)
            for k, name in enumerate('xyz')])
    np.testing.assert_array_equal(points_from(cloud), points)


def test_infinite_ranges_are_free_up_to_range_max_if_they_are_valid():
    rig = Rig()
    rig.tf(1.0, x=1.0)
    rig.tf(2.0, x=1.0)
    message = scan_message([math.inf, 2.0, math.nan, -math.inf, 20.0], 1.5)
    for valid in (False, True):
        rig.scans.set_config(NodeConfig(inf_is_valid=valid))
        rig.scans.add(message)
        rig.scans.poll()
        posed = rig.queue.pop()
        _, points = rig.scans.decode(posed)
        assert np.isfinite(points).all(axis=-1).tolist() == [False, True, False, False, False]
        free = rig.scans.decode_free(posed)
        if not valid:
            assert free is None
            continue
        assert np.isfinite(free).all(axis=-1).tolist() == [True, False, False, False, False]
        np.testing.assert_allclose(free[0], [1.0, -20.0, 0.0], atol=1e-5)
    rig.scans.add(scan_message([math.inf] * 5, 1.6))
    assert len(rig.pop_all()) == 1 and rig.dropped.counts() == {}  # it is not empty


@pytest.mark.parametrize('frame', ['map', '/map'])
def test_a_cloud_in_the_map_frame_has_no_origin_and_is_dropped(frame):
    rig = Rig()
    message = broken()
    message.header.frame_id = frame
    rig.scans.add(message)
    assert rig.pop_all() == []
    assert rig.dropped.counts() == {'not in the frame of a sensor': 1}
    assert 'nobody knows where its rays begin' in rig.warnings[0]
