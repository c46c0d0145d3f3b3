"""The behaviour of tf2_ros and tf_transformations that the mapper relies on."""
import math
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytestmark = pytest.mark.ros

rclpy = pytest.importorskip('rclpy')
tf2_ros = pytest.importorskip('tf2_ros')
tf_transformations = pytest.importorskip('tf_transformations')
from geometry_msgs.msg import TransformStamped  # noqa: E402
from rclpy.duration import Duration  # noqa: E402
from rclpy.time import Time  # noqa: E402

from instant_nerf_ros.ros.inputs.tf_lookup import lookup_angular_velocity  # noqa: E402

HALF = math.sqrt(0.5)
QUARTER_TURN = (0.0, 0.0, HALF, HALF)  # about z, by 90 degrees, as x, y, z, w
NO_TURN = (0.0, 0.0, 0.0, 1.0)


def at(seconds):
    """Return a rclpy Time."""
    return Time(nanoseconds=round(seconds * 1e9))


def stamped(parent, child, seconds, translation=(0.0, 0.0, 0.0), rotation=NO_TURN):
    """Return a TransformStamped."""
    message = TransformStamped()
    message.header.frame_id = parent
    message.child_frame_id = child
    message.header.stamp = at(seconds).to_msg()
    v, q = message.transform.translation, message.transform.rotation
    v.x, v.y, v.z = translation
    q.x, q.y, q.z, q.w = rotation
    return message


def matrix(message):
    """Return the (4, 4) matrix of a TransformStamped."""
    v, q = message.transform.translation, message.transform.rotation
    T = tf_transformations.quaternion_matrix((q.x, q.y, q.z, q.w))
    T[:3, 3] = v.x, v.y, v.z
    return T


def turn(degrees, translation=(0.0, 0.0, 0.0)):
    """Return the (4, 4) matrix of a rotation about z and a translation."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    T = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    T[:3, 3] = translation
    return T


@pytest.fixture
def buffer():
    """Return a Buffer with a base that turns and drives in odom from 10 s to 12 s."""
    buffer = tf2_ros.Buffer(cache_time=Duration(seconds=5))
    buffer.set_transform(stamped('odom', 'base', 10.0), 'test')
    buffer.set_transform(stamped('odom', 'base', 12.0, (4.0, 0.0, 0.0), QUARTER_TURN), 'test')
    return buffer


@pytest.mark.parametrize('ratio', [0.0, 0.25, 0.5, 0.9, 1.0])
def test_a_pose_between_two_stamps_is_on_the_line_and_on_the_arc(buffer, ratio):
    found = buffer.lookup_transform('odom', 'base', at(10.0 + 2.0 * ratio))
    np.testing.assert_allclose(
        matrix(found), turn(90.0 * ratio, (4.0 * ratio, 0.0, 0.0)), atol=1e-9)
    assert (found.header.frame_id, found.child_frame_id) == ('odom', 'base')
    assert Time.from_msg(found.header.stamp).nanoseconds == round((10.0 + 2.0 * ratio) * 1e9)


def test_interpolation_takes_the_shorter_arc_whatever_the_sign_of_the_quaternion(buffer):
    opposite = tuple(-value for value in QUARTER_TURN)
    buffer.set_transform(stamped('odom', 'arm', 10.0), 'test')
    buffer.set_transform(stamped('odom', 'arm', 12.0, rotation=opposite), 'test')
    np.testing.assert_allclose(
        matrix(buffer.lookup_transform('odom', 'arm', at(11.0))), turn(45.0), atol=1e-9)


def test_out_of_order_transforms_interpolate_as_if_in_order(buffer):
    buffer.set_transform(stamped('odom', 'base', 11.0, (4.0, 0.0, 0.0), QUARTER_TURN), 'test')
    np.testing.assert_allclose(
        matrix(buffer.lookup_transform('odom', 'base', at(10.5))),
        turn(45.0, (2.0, 0.0, 0.0)), atol=1e-9)


def test_a_chain_is_the_product_of_its_links_and_its_reverse_the_inverse(buffer):
    about_x = (HALF, 0.0, 0.0, HALF)  # by 90 degrees: turns about x and z do not commute
    buffer.set_transform_static(stamped('base', 'camera', 0.0, (0.3, 0.1, 1.0), about_x), 'test')
    buffer.set_transform_static(stamped('map', 'odom', 0.0, (-7.0, 2.0, 0.0)), 'test')
    T_map_odom = turn(0.0, (-7.0, 2.0, 0.0))
    T_odom_base = turn(45.0, (2.0, 0.0, 0.0))
    T_base_camera = np.array([[1, 0, 0, 0.3], [0, 0, -1, 0.1], [0, 1, 0, 1.0], [0, 0, 0, 1]])
    T_map_camera = T_map_odom @ T_odom_base @ T_base_camera
    found = matrix(buffer.lookup_transform('map', 'camera', at(11.0)))
    np.testing.assert_allclose(found, T_map_camera, atol=1e-9)
    back = matrix(buffer.lookup_transform('camera', 'map', at(11.0)))
    np.testing.assert_allclose(back @ T_map_camera, np.identity(4), atol=1e-9)


def test_two_branches_meet_in_their_common_ancestor(buffer):
    buffer.set_transform_static(stamped('base', 'left', 0.0, (0.0, 1.0, 0.0)), 'test')
    buffer.set_transform_static(stamped('base', 'right', 0.0, (0.0, -1.0, 0.0)), 'test')
    # This time is before the first transform of base in odom, which is not needed.
    found = matrix(buffer.lookup_transform('left', 'right', at(1.0)))
    np.testing.assert_allclose(found, turn(0.0, (0.0, -2.0, 0.0)), atol=1e-12)


def test_a_static_transform_holds_at_any_time(buffer):
    buffer.set_transform_static(stamped('base', 'camera', 100.0, (0.3, 0.1, 1.0)), 'test')
    for seconds in (0.0, 1e-9, 50.0, 2e9):
        found = matrix(buffer.lookup_transform('base', 'camera', at(seconds)))
        np.testing.assert_allclose(found, turn(0.0, (0.3, 0.1, 1.0)), atol=1e-12)


def test_time_zero_is_the_latest_time_that_all_transforms_have(buffer):
    buffer.set_transform(stamped('base', 'arm', 10.0), 'test')
    buffer.set_transform(stamped('base', 'arm', 11.0), 'test')
    found = buffer.lookup_transform('odom', 'arm', Time())
    assert Time.from_msg(found.header.stamp).nanoseconds == 11_000_000_000
    np.testing.assert_allclose(matrix(found), turn(45.0, (2.0, 0.0, 0.0)), atol=1e-9)


def test_a_frame_in_itself_is_the_identity_even_if_unknown(buffer):
    found = matrix(buffer.lookup_transform('nowhere', 'nowhere', at(3.0)))
    np.testing.assert_array_equal(found, np.identity(4))


@pytest.mark.parametrize(('seconds', 'direction', 'limit'), [
    (12.5, 'future', '12.000000'), (9.5, 'past', '10.000000')])
def test_extrapolation_is_refused_with_both_times(buffer, seconds, direction, limit):
    assert not buffer.can_transform('odom', 'base', at(seconds))
    with pytest.raises(tf2_ros.ExtrapolationException) as caught:
        buffer.lookup_transform('odom', 'base', at(seconds))
    text = str(caught.value)
    assert f'extrapolation into the {direction}' in text
    assert f'{seconds:.6f}' in text
    assert limit in text
    assert '[base]' in text and '[odom]' in text


def test_a_single_stamp_is_valid_at_that_time_only(buffer):
    buffer.set_transform(stamped('base', 'arm', 11.0), 'test')
    assert buffer.can_transform('base', 'arm', at(11.0))
    with pytest.raises(tf2_ros.ExtrapolationException, match='only time 11.000000'):
        buffer.lookup_transform('base', 'arm', at(11.1))


def test_unknown_unconnected_and_malformed_frames_are_named(buffer):
    buffer.set_transform_static(stamped('moon', 'crater', 0.0), 'test')
    with pytest.raises(tf2_ros.LookupException, match='"nowhere".*does not exist'):
        buffer.lookup_transform('odom', 'nowhere', at(11.0))
    with pytest.raises(tf2_ros.ConnectivityException, match='unconnected trees'):
        buffer.lookup_transform('odom', 'crater', at(11.0))
    for frame in ('', '/odom'):
        with pytest.raises(tf2_ros.InvalidArgumentException):
            buffer.lookup_transform(frame, 'base', at(11.0))
        assert not buffer.can_transform(frame, 'base', at(11.0))


def test_every_error_is_a_transform_exception():
    for name in ('Connectivity', 'Extrapolation', 'InvalidArgument', 'Lookup', 'Timeout'):
        assert issubclass(getattr(tf2_ros, f'{name}Exception'), tf2_ros.TransformException)


def test_malformed_transforms_are_ignored(buffer):
    for bad in (
            stamped('odom', 'odom', 11.0),
            stamped('', 'odd', 11.0),
            stamped('odom', '', 11.0),
            stamped('odom', 'odd', 11.0, rotation=(0.0, 0.0, 0.0, 0.0)),
            stamped('odom', 'odd', 11.0, translation=(math.nan, 0.0, 0.0))):
        buffer.set_transform(bad, 'test')
    with pytest.raises(tf2_ros.LookupException):
        buffer.lookup_transform('odom', 'odd', at(11.0))
    assert buffer.can_transform('odom', 'base', at(11.0))


def test_the_history_is_as_long_as_cache_time(buffer):
    buffer.set_transform(stamped('odom', 'base', 16.5), 'test')
    assert buffer.can_transform('odom', 'base', at(12.0))
    buffer.set_transform(stamped('odom', 'base', 17.5), 'test')
    buffer.set_transform(stamped('odom', 'base', 17.6), 'test')
    with pytest.raises(tf2_ros.ExtrapolationException, match='past'):
        buffer.lookup_transform('odom', 'base', at(11.0))
    buffer.set_transform(stamped('odom', 'base', 11.0), 'test')  # too old to be added again
    assert not buffer.can_transform('odom', 'base', at(11.0))


def test_clear_removes_dynamic_transforms_and_keeps_static_ones(buffer):
    buffer.set_transform_static(stamped('base', 'camera', 0.0), 'test')
    buffer.clear()
    for seconds in (11.0, 0.0):
        with pytest.raises(tf2_ros.TransformException):
            buffer.lookup_transform('odom', 'base', at(seconds))
    assert buffer.can_transform('base', 'camera', at(11.0))
    buffer.set_transform(stamped('odom', 'base', 1.0), 'test')  # time may start again
    assert buffer.can_transform('odom', 'base', at(1.0))


def test_a_lookup_waits_for_a_transform_that_arrives_in_time(buffer):
    late = threading.Timer(
        0.2, buffer.set_transform, [stamped('odom', 'base', 13.0, (4.0, 0.0, 0.0)), 'test'])
    late.start()
    begin = time.monotonic()
    found = buffer.lookup_transform('odom', 'base', at(13.0), timeout=Duration(seconds=10))
    assert 0.1 < time.monotonic() - begin < 5.0
    assert found.transform.translation.x == 4.0
    late.join()


def test_a_lookup_fails_after_its_timeout_and_names_what_is_missing(buffer):
    begin = time.monotonic()
    with pytest.raises(tf2_ros.ExtrapolationException, match='future'):
        buffer.lookup_transform('odom', 'base', at(13.0), timeout=Duration(seconds=0.3))
    assert 0.25 < time.monotonic() - begin < 3.0


BROADCASTER = """
import sys
import time
import rclpy
from geometry_msgs.msg import TransformStamped
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

rclpy.init()
node = rclpy.create_node('broadcaster')


def stamped(parent, child, sec, x):
    message = TransformStamped()
    message.header.frame_id = parent
    message.child_frame_id = child
    message.header.stamp.sec = sec
    message.transform.translation.x = x
    return message


static = StaticTransformBroadcaster(node)
static.sendTransform(stamped('base', 'mast', 0, 1.0))
static.sendTransform([stamped('mast', 'camera', 0, 0.5)])
moving = TransformBroadcaster(node)
print('sent', flush=True)
sec = 0
while rclpy.ok():
    sec += 1
    odom = stamped('map', 'odom', sec, 0.0)
    moving.sendTransform([odom, stamped('odom', 'base', sec, 2.0 * sec)])
    time.sleep(0.1)
"""


def test_a_late_listener_receives_the_transforms_of_another_process():
    robot = subprocess.Popen(
        [sys.executable, '-c', BROADCASTER], stdout=subprocess.PIPE, text=True)
    try:
        assert robot.stdout.readline() == 'sent\n'
        context = rclpy.Context()
        rclpy.init(context=context)
        node = rclpy.create_node('listener', context=context)
        buffer = tf2_ros.Buffer(node=node)
        listener = tf2_ros.TransformListener(buffer, node)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)
        deadline = time.monotonic() + 20.0
        while not buffer.can_transform('map', 'camera', Time()):
            assert time.monotonic() < deadline, 'no transform in 20 s'
            executor.spin_once(timeout_sec=0.1)
        found = buffer.lookup_transform('map', 'camera', Time())
        assert found.transform.translation.x == 2.0 * found.header.stamp.sec + 1.5
        listener.unregister()
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)
    finally:
        robot.terminate()
        robot.wait(timeout=10.0)


@pytest.mark.parametrize('degrees', [0.0, 30.0, 90.0, 179.0, -120.0])
def test_quaternions_and_matrices_are_the_same_rotation(degrees):
    half = math.radians(degrees) / 2.0
    quaternion = np.array((0.0, 0.0, math.sin(half), math.cos(half)))
    R = tf_transformations.quaternion_matrix(quaternion)
    np.testing.assert_allclose(R, turn(degrees), atol=1e-12)
    back = np.asarray(tf_transformations.quaternion_from_matrix(R))
    np.testing.assert_allclose(back * np.sign(back @ quaternion), quaternion, atol=1e-12)


def test_quaternions_and_matrices_agree_for_any_axis():
    for quaternion in np.random.default_rng(0).normal(size=(100, 4)):
        unit = quaternion / np.linalg.norm(quaternion)
        R = tf_transformations.quaternion_matrix(unit)
        np.testing.assert_allclose(R @ R.T, np.identity(4), atol=1e-12)
        assert np.linalg.det(R) == pytest.approx(1.0)
        back = np.asarray(tf_transformations.quaternion_from_matrix(R))
        np.testing.assert_allclose(back * np.sign(back @ unit), unit, atol=1e-9)


def test_the_angular_velocity_is_that_of_the_frame_around_a_stamp(buffer):
    # The base turns by 45 degrees a second about z; the arm with it.
    rate = math.radians(45.0)
    for seconds in (10.0, 10.5, 11.0, 12.0):  # also where TF begins and ends
        pose = matrix(buffer.lookup_transform('odom', 'base', at(seconds)))
        found = lookup_angular_velocity(buffer, 'odom', 'base', round(seconds * 1e9), pose)
        if seconds == 10.0:
            assert found is None  # nothing is known before
        else:
            np.testing.assert_allclose(found, [0, 0, rate], atol=1e-6)
    assert lookup_angular_velocity(buffer, 'odom', 'nowhere', round(11e9), np.eye(4)) is None
