"""The simulated robot, in a process of its own."""
import signal

import numpy as np
import pytest
from camera_listener import Listener, pixels, player

from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.tour import MAX_SPEED, Tour

pytestmark = pytest.mark.ros
FIRST_STAMP = 1_000_000_000
SETTINGS = {'rate': 5.0, 'width': 160, 'height': 120, 'wait_for_subscriber': 30.0}


def record(duration=1.9, **changes):
    """Return a Listener with all messages of a drive of a duration [s]."""
    laps = duration / Tour().duration
    with player('sim_robot', **{**SETTINGS, 'laps': laps, **changes}) as process:
        with Listener() as listener:
            listener.listen(lambda: not process.running())
        status, output = process.wait(), process.text()
    assert status == 0, output
    assert 'tour finished' in output
    return listener


@pytest.fixture(scope='module')
def drive():
    return record()


def test_images_come_at_the_rate_and_carry_info_and_depth_of_the_same_stamp(drive):
    expected = [FIRST_STAMP + number * 200_000_000 for number in range(10)]
    for name in ('image', 'info', 'depth'):
        assert drive.stamps(name) == expected
        assert {message.header.frame_id for message in drive.topics[name]} == {
            'camera_color_optical_frame'}


def test_tf_leads_from_the_map_to_the_camera_that_took_the_image(drive):
    odometry = drive.transforms()['odom', 'base_link']
    stamps = sorted(odometry)
    assert np.allclose(np.diff(stamps), 20_000_000, atol=1)
    assert stamps[-1] >= drive.stamps('image')[-1]
    T_map_odom = drive.static('map', 'odom')
    T_base_camera = drive.static('base_link', 'camera_link') @ drive.static(
        'camera_link', 'camera_color_optical_frame')
    flat, tour = Flat(), Tour()
    from instant_nerf_ros.ros.inputs.calibration import camera_from_message
    for message, info, depth, stamp in zip(
            drive.topics['image'], drive.topics['info'], drive.topics['depth'],
            drive.stamps('image')):
        T_map_camera = T_map_odom @ odometry[stamp] @ T_base_camera
        np.testing.assert_allclose(
            T_map_camera, tour.T_world_camera((stamp - FIRST_STAMP) / 1e9), atol=1e-9)
        # The published image is a rendering from that pose.
        camera = camera_from_message(info, rectified=False)
        image, truth = flat.render(camera, T_map_camera)
        assert message.encoding == 'rgb8' and depth.encoding == '16UC1'
        difference = np.abs(pixels(message, np.uint8, 3).astype(int) - image)
        assert np.mean(difference > 2) < 0.01
        np.testing.assert_allclose(
            np.median(np.abs(pixels(depth, np.uint16) * 0.001 - truth)), 0.0, atol=0.001)


def test_the_robot_moves_no_faster_than_it_may(drive):
    odometry = drive.transforms()['odom', 'base_link']
    stamps = sorted(odometry)
    places = np.array([odometry[stamp][:2, 3] for stamp in stamps])
    speed = np.linalg.norm(np.diff(places, axis=0), axis=1) / 0.02
    assert 0.0 < speed.max() <= 1.01 * MAX_SPEED


def test_the_clock_is_monotonic_and_no_stamp_is_in_the_future(drive):
    clock = [message.clock.sec * 10**9 + message.clock.nanosec
             for message in drive.topics['clock']]
    assert clock == sorted(clock)
    assert clock[-1] >= max(drive.stamps('image'))
    assert np.diff(clock).max() <= 50_000_000


def test_two_drives_are_the_same(drive):
    again = record(speed=4.0)
    assert drive.stamps('image') == again.stamps('image')
    for name in ('image', 'depth'):
        assert [m.data for m in drive.topics[name]] == [m.data for m in again.topics[name]]


def test_depth_can_be_in_metres_or_left_out(drive):
    metres = record(depth_encoding='32FC1', duration=0.5).topics['depth']
    for message, other in zip(metres, drive.topics['depth']):
        assert message.encoding == '32FC1'
        np.testing.assert_allclose(
            pixels(message, np.float32), pixels(other, np.uint16) * 0.001, atol=0.0006)
    assert len(metres) == 3
    without = record(depth_encoding='none', duration=0.5)
    assert len(without.topics['image']) == 3 and not without.topics['depth']


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_it_drives_on_until_a_signal_stops_it(number):
    with player('sim_robot', width=80, height=60) as process:
        with Listener() as listener:
            listener.listen(lambda: len(listener.topics['image']) > 3)
        status, output = process.end(number), process.text()
    assert status == 0 and 'stopped by a signal' in output


@pytest.mark.parametrize('name, value', [('rate', 0.0), ('depth_encoding', 'mono8')])
def test_a_wrong_parameter_stops_the_start_with_a_sentence(name, value):
    with player('sim_robot', **{name: value}) as process:
        status, output = process.wait(), process.text()
    assert status == 1 and f"'{name}' must be" in output
