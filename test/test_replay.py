"""The replay of folders and bags, in a process of its own."""
import json
import time

import cv2
import numpy as np
import pytest
from camera_listener import Listener, pixels, player

pytestmark = pytest.mark.ros
FIRST_STAMP = 1_000_000_000
COUNT = 10


def pose(number):
    """Return T_world_camera of a frame: turned about z, moved along x."""
    cosine, sine = np.cos(0.1 * number), np.sin(0.1 * number)
    return np.array([[cosine, -sine, 0.0, 0.1 * number], [sine, cosine, 0.0, 0.0],
                     [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a folder of ten frames, whose color and depth encode their number."""
    path = tmp_path_factory.mktemp('frames')
    frames = []
    for number in range(COUNT):
        cv2.imwrite(str(path / f'{number}.png'), np.full((12, 16, 3), (0, 0, number), np.uint8))
        cv2.imwrite(str(path / f'd{number}.png'), np.full((12, 16), 1000 + number, np.uint16))
        frames.append({
            'file_path': f'{number}.png', 'depth_file_path': f'd{number}.png',
            'transform_matrix': (pose(number) @ np.diag([1.0, -1.0, -1.0, 1.0])).tolist()})
    (path / 'transforms.json').write_text(json.dumps(
        {'fl_x': 20.0, 'cx': 8.0, 'cy': 6.0, 'w': 16, 'h': 12, 'frames': frames}))
    return path


def record(camera='camera', **parameters):
    """Run a replay to its end; return a Listener with its messages, and its output."""
    with player('replay', **parameters) as process:
        with Listener(camera) as listener:
            listener.listen(lambda: not process.running())
        status, output = process.wait(), process.text()
    assert status == 0, output
    return listener, output


def test_a_folder_is_played_completely_with_its_stamps_and_poses(folder):
    received, output = record(path=folder, frame_rate=10.0)
    stamps = [FIRST_STAMP + number * 100_000_000 for number in range(COUNT)]
    for name in ('image', 'info', 'depth'):
        assert received.stamps(name) == stamps
    T_link_camera = received.static('camera_link', 'camera_color_optical_frame')
    poses = received.transforms()['map', 'camera_link']
    for number, (image, depth, info, stamp) in enumerate(zip(
            received.topics['image'], received.topics['depth'], received.topics['info'], stamps)):
        np.testing.assert_allclose(poses[stamp] @ T_link_camera, pose(number), atol=1e-9)
        assert (pixels(image, np.uint8, 3) == (number, 0, 0)).all()
        assert depth.encoding == '16UC1'
        assert (pixels(depth, np.uint16) == 1000 + number).all()  # mm
        assert (info.k[0], info.k[2], info.k[5]) == (20.0, 7.5, 5.5)
    assert f'replay finished: {COUNT} frames in 0.9 s' in output


def test_frames_that_are_held_out_are_not_played_but_their_poses_are(folder):
    received, output = record(
        path=folder, hold_out=True, with_depth=False, frame_rate=100.0, rate=2.0)
    played = [FIRST_STAMP + number * 10_000_000 for number in range(COUNT) if number % 8]
    assert received.stamps('image') == received.stamps('info') == played
    assert not received.topics['depth']
    assert len(received.transforms()['map', 'camera_link']) == COUNT
    assert f'replay finished: {len(played)} frames' in output


def test_rate_is_a_factor_on_the_recorded_speed(folder):
    durations = []
    for rate in (1.0, 4.0):
        with player('replay', path=folder, frame_rate=5.0, rate=rate) as process:
            with Listener() as listener:
                listener.listen(lambda: listener.topics['image'])
                begin = time.monotonic()
                listener.listen(lambda: len(listener.topics['image']) == COUNT)
                durations.append(time.monotonic() - begin)
            process.wait()
    assert durations[0] == pytest.approx(1.8, abs=0.3)
    assert durations[1] == pytest.approx(0.45, abs=0.3)


def test_replay_waits_for_a_subscriber_so_that_no_message_is_lost(folder):
    with player('replay', path=folder, frame_rate=100.0) as process:
        time.sleep(4.0)  # longer than the node needs to start and the replay lasts
        assert process.running()
        with Listener() as listener:
            listener.listen(lambda: not process.running())
        process.wait()
    assert len(listener.topics['image']) == COUNT


def test_the_wait_for_a_subscriber_is_bounded(folder):
    with player('replay', path=folder, frame_rate=100.0, wait_for_subscriber=0.5) as process:
        status, output = process.wait(), process.text()
    assert status == 0
    assert 'no subscriber came' in output and f'replay finished: {COUNT} frames' in output


def test_the_kitchen_is_published_as_it_is_on_disk(recorded_data):
    from instant_nerf_ros.data.frames import load_folder
    if not (recorded_data / 'kitchen').is_dir():
        pytest.skip('no kitchen among the recorded data')
    frames = load_folder(recorded_data / 'kitchen')
    received, _ = record(path=recorded_data / 'kitchen', rate=8.0)
    assert received.stamps('image') == [
        FIRST_STAMP + entry.stamp for entry in frames.entries]
    T_link_camera = received.static('camera_link', 'camera_color_optical_frame')
    poses = received.transforms()['map', 'camera_link']
    for index in (0, 50, 99):
        frame = frames[index]
        np.testing.assert_array_equal(
            pixels(received.topics['image'][index], np.uint8, 3), frame.image)
        np.testing.assert_allclose(
            pixels(received.topics['depth'][index], np.uint16) * 0.001, frame.depth, atol=1e-6)
        np.testing.assert_allclose(
            poses[FIRST_STAMP + frame.stamp] @ T_link_camera, frame.T_world_camera, atol=1e-9)


@pytest.fixture
def bag(tmp_path):
    """Write a bag of five images with camera_info and TF; return it and its serialized data."""
    rosbag2 = pytest.importorskip('rosbags.rosbag2')
    from rclpy.serialization import serialize_message
    from rosbags.typesys import Stores, get_typestore
    from tf2_msgs.msg import TFMessage

    from instant_nerf_ros.nerf.camera import Camera
    from instant_nerf_ros.ros.conversions import (
        camera_info_message,
        image_message,
        transform_message,
    )
    camera, start = Camera(16, 12, 20.0, 20.0, 7.5, 5.5), 1_700_000_000_000_000_000
    written = []
    with rosbag2.Writer(tmp_path / 'bag', version=9) as writer:
        connections = {
            topic: writer.add_connection(
                topic, kind, typestore=get_typestore(Stores.ROS2_HUMBLE))
            for topic, kind in (
                ('/camera/color/image_raw', 'sensor_msgs/msg/Image'),
                ('/camera/color/camera_info', 'sensor_msgs/msg/CameraInfo'),
                ('/tf', 'tf2_msgs/msg/TFMessage'), ('/tf_static', 'tf2_msgs/msg/TFMessage'),
                ('/odom', 'nav_msgs/msg/Odometry'))}

        def write(topic, stamp, message):
            data = serialize_message(message)
            writer.write(connections[topic], stamp, data)
            written.append((topic, data))

        write('/tf_static', start, TFMessage(
            transforms=[transform_message(np.eye(4), 0, 'base_link', 'camera')]))
        for number in range(5):
            stamp = start + number * 100_000_000
            image = np.full((12, 16, 3), number, np.uint8)
            write('/tf', stamp, TFMessage(
                transforms=[transform_message(pose(number), stamp, 'map', 'base_link')]))
            write('/camera/color/camera_info', stamp, camera_info_message(camera, stamp, 'cam'))
            write('/camera/color/image_raw', stamp, image_message(image, 'rgb8', stamp, 'cam'))
    return tmp_path / 'bag', written


def test_a_bag_is_forwarded_message_by_message(bag):
    from rclpy.serialization import deserialize_message
    path, written = bag
    received, output = record(path=path)
    for name, topic in (('image', '/camera/color/image_raw'), ('tf', '/tf'),
                        ('info', '/camera/color/camera_info'), ('tf_static', '/tf_static')):
        assert received.topics[name] == [
            deserialize_message(data, type(received.topics[name][0]))
            for where, data in written if where == topic], topic
    clock = [m.clock.sec * 10**9 + m.clock.nanosec for m in received.topics['clock']]
    assert clock == sorted(clock) and clock[-1] == received.stamps('image')[-1]
    assert 'replay finished: 5 frames' in output


@pytest.mark.parametrize('parameters, sentence', [
    ({}, "the parameter 'path' is missing"),
    ({'path': '/nowhere/at/all'}, '/nowhere/at/all does not exist'),
    ({'path': '/tmp', 'rate': 0.0}, "'rate' must be"),
])
def test_wrong_parameters_stop_the_start_with_a_sentence(parameters, sentence):
    with player('replay', **parameters) as process:
        status, output = process.wait(), process.text()
    assert status == 1 and sentence in output
    assert 'Traceback' not in output


def test_a_truncated_bag_is_reported_in_a_sentence(bag):
    path, _ = bag
    (storage,) = path.glob('*.db3')
    storage.write_bytes(storage.read_bytes()[:1000])
    with player('replay', path=path) as process:
        status, output = process.wait(), process.text()
    assert status == 1 and 'Traceback' not in output and str(path) in output


def test_a_signal_ends_it_at_once(folder):
    with player('replay', path=folder, frame_rate=0.1) as process:
        with Listener() as listener:
            listener.listen(lambda: listener.topics['image'])
        status, output = process.end(), process.text()
    assert status == 0 and 'stopped by a signal' in output


def test_camera_info_reaches_those_who_ask_for_what_was_sent_before(bag, folder):
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import CameraInfo
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for path in (bag[0], folder):
        with player('replay', path=path) as process:
            with Listener() as listener:
                infos = listener.collect(CameraInfo, 'camera/color/camera_info', latched)
                listener.listen(lambda: not process.running())  # noqa: B023
            process.wait()
            output = process.text()
        assert len(infos) == len(listener.topics['info']) > 0
        assert 'incompatible QoS' not in output


def test_a_message_with_a_wrong_time_does_not_stop_a_bag(tmp_path):
    pytest.importorskip('rosbags', reason='needs rosbags')
    from recordings import drive, write_bag
    messages = drive(count=4)
    topic, _, message = messages[0]
    path = write_bag(tmp_path / 'bag', [(topic, 1, message), *messages])
    with player('replay', path=path, wait_for_subscriber=0.1) as process:
        status, output = process.wait(), process.text()
    assert status == 0 and 'nothing is recorded for 17' in output
    assert 'replay finished' in output


def test_the_home_folder_may_be_written_as_a_tilde():
    with player('replay', path='~/nowhere/at/all') as process:
        status, output = process.wait(), process.text()
    assert status == 1 and 'nowhere/at/all does not exist' in output and '~' not in output
