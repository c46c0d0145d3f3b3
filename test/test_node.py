"""The mapper node in a process of its own, with a simulated robot."""
import array
import dataclasses
import math
import re
import signal
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import OccupancyGrid
from ros_helpers import CAMERA, WALL_COLOR, WALL_DISTANCE, Robot, mapper, wait_until
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from instant_nerf_ros.ros.conversions import (
    camera_info_message,
    cells_from_message,
    nanoseconds,
    time_message,
    write_pose,
)
from instant_nerf_ros.ros.inputs.encodings import decode_color, decode_depth
from instant_nerf_ros.ros.outputs.cloud_messages import points_from_message
from instant_nerf_ros.ros.qos import LATCHED, RELIABLE

pytestmark = pytest.mark.ros


@pytest.fixture(scope='module')
def robot():
    """Return a robot for all tests: discovery takes a second."""
    robot = Robot()
    yield robot
    robot.close()


@pytest.fixture(scope='module')
def running(robot):
    """Return a mapper that has taken training steps."""
    with mapper() as process:
        process.wait_for('the engine runs on backend')
        robot.wait_for_listener()
        drive_until(robot, lambda: re.search(r'[1-9]\d* steps', process.text()))
        yield process


def drive_until(robot, condition, timeout=20.0):
    """Drive until a condition holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        robot.drive(2)


def test_the_backend_is_logged_once(running):
    assert running.text().count('the engine runs on backend') == 1


def test_a_late_subscriber_gets_a_map_for_nav2(robot, running):
    time.sleep(1.0)  # the robot stands: the map hardly changes any more
    grids = robot.collect(OccupancyGrid, 'map', LATCHED)
    wait_until(lambda: grids, 10.0, running.text)
    message = grids[-1]
    cells = cells_from_message(message)
    assert set(np.unique(cells)) <= {-1, 0, 100}
    assert message.header.frame_id == 'map'
    assert message.info.resolution == np.float32(0.1)
    origin, resolution = message.info.origin, float(np.float32(0.1))
    assert origin.orientation.w == 1.0
    for coordinate in (origin.position.x, origin.position.y):
        assert abs(math.fmod(coordinate, resolution)) < 1e-9
    assert 0 < nanoseconds(message.header.stamp) <= robot.node.get_clock().now().nanoseconds


def test_the_map_contains_the_wall_and_the_free_space_before_it(robot, running):
    grids = robot.collect(OccupancyGrid, 'map', LATCHED)

    def cell(message, x, y):
        origin, resolution = message.info.origin.position, message.info.resolution
        column, row = int((x - origin.x) / resolution), int((y - origin.y) / resolution)
        return cells_from_message(message)[row, column]

    def is_mapped():
        return grids and cell(grids[-1], 0.8, 0.0) == 0 and 100 in [
            cell(grids[-1], x, 0.0) for x in (1.35, 1.45, 1.55, 1.65)]

    drive_until(robot, is_mapped)
    assert cell(grids[-1], 1.9, 0.0) == -1  # behind the wall
    assert cell(grids[-1], -1.0, 0.0) == -1  # behind the camera


def test_points_are_latched_and_lie_on_the_wall(robot, running):
    clouds = robot.collect(PointCloud2, 'instant_nerf/points', LATCHED)
    drive_until(robot, lambda: clouds and clouds[-1].width > 10)
    assert clouds[-1].header.frame_id == 'map'
    positions, _ = points_from_message(clouds[-1])
    assert abs(np.median(positions[:, 0]) - WALL_DISTANCE) < 0.2


def subscribe_to_views(robot):
    """Return the lists of rendered images, depths and camera_infos."""
    return [
        robot.collect(kind, f'instant_nerf/render/{topic}', RELIABLE)
        for kind, topic in (
            (Image, 'image_raw'), (Image, 'depth/image_raw'), (CameraInfo, 'camera_info'))]


def test_a_view_is_an_image_a_depth_and_a_camera_info_from_the_pose_of_an_image(robot, running):
    views = subscribe_to_views(robot)

    def last_three():
        stamps = [{nanoseconds(m.header.stamp) for m in messages} for messages in views]
        newest = max(set.intersection(*stamps), default=0)
        return [m for messages in views for m in messages if nanoseconds(m.header.stamp) == newest]

    def has_the_color_of_the_wall():
        three = last_three()
        return three and np.abs(np.median(decode_color(three[0]), (0, 1)) - WALL_COLOR).max() < 30

    drive_until(robot, has_the_color_of_the_wall)
    image, depth, info = last_three()
    for message in (image, depth, info):
        assert message.header.frame_id == 'camera'
        assert (message.width, message.height) == (32, 24)
    assert info.k[0] == info.p[0] == CAMERA.fx / 2
    assert abs(np.nanmedian(decode_depth(depth)) - WALL_DISTANCE) < 0.2


def test_every_requested_view_is_published_with_its_stamp(robot, running):
    images, depths, infos = subscribe_to_views(robot)
    robot.drive(10)
    publisher = robot.node.create_publisher(PoseStamped, 'instant_nerf/render/pose', 100)
    wait_until(publisher.get_subscription_count, 10.0)
    requested = list(range(1, 11))
    for stamp_ns in requested:
        request = PoseStamped()
        request.header.frame_id = 'map'
        request.header.stamp = time_message(stamp_ns)
        write_pose(robot.pose(), request.pose)
        publisher.publish(request)

    def answers(messages):
        return [nanoseconds(m.header.stamp) for m in messages if m.header.frame_id == 'map']

    for messages in (images, depths, infos):
        wait_until(lambda messages=messages: answers(messages) == requested, 20.0, running.text)
    depth = next(m for m in depths if m.header.frame_id == 'map')
    assert abs(np.nanmedian(decode_depth(depth)) - WALL_DISTANCE) < 0.2


def test_diagnostics_contain_the_progress(robot, running):
    arrays = robot.collect(DiagnosticArray, '/diagnostics', 10)
    robot.drive(40)
    wait_until(lambda: arrays, 5.0)
    (status,) = arrays[-1].status
    values = {pair.key: pair.value for pair in status.values}
    assert values['backend'] == 'cpu'
    assert int(values['keyframes']) > 0 and int(values['steps']) > 0
    assert float(values['steps per second']) > 0 and float(values['loss']) >= 0


def test_malformed_messages_are_counted_and_mapping_continues(robot, running):
    now = robot.drive(2)
    for index in range(30):
        stamp_ns = now + 1 + index
        robot.send_image(stamp_ns, data=array.array('B', bytes(100)))
        robot.send_image(stamp_ns, encoding='nonsense')
        robot.send_image(stamp_ns, width=2**31, height=2**31)
        robot.send_image(stamp_ns, height=0)
        robot.send_image(0)
        robot.send_image(10**18)
        time.sleep(0.01)
    begin_ns = robot.node.get_clock().now().nanoseconds
    bad = camera_info_message(CAMERA, begin_ns, 'camera')
    bad.k, bad.p = np.zeros(9), np.zeros(12)
    zoomed = dataclasses.replace(CAMERA, fx=60.0)
    infos = (
        bad, camera_info_message(zoomed, begin_ns + 10_000_000, 'camera'), None,
        camera_info_message(CAMERA, begin_ns + 30_000_000, 'camera'))
    for index, info in enumerate(infos):  # the third image has no camera_info of its own
        stamp_ns = begin_ns + 10_000_000 * index
        robot.send_tf(stamp_ns)
        if info:
            robot.send_info(info)
        robot.send_image(stamp_ns)
        time.sleep(0.01)
    time.sleep(0.2)
    statuses = robot.collect(DiagnosticArray, '/diagnostics', 10)

    def reasons():
        return {pair.key for array_ in statuses for pair in array_.status[0].values}

    expected = {
        f'dropped: {reason}' for reason in (
            'size unlike camera_info', 'no stamp', 'unknown encoding', 'unreadable image',
            'invalid camera_info', 'camera_info changed')}
    wait_until(lambda: expected <= reasons(), 10.0, lambda: f'{reasons()} {running.text()}')
    assert running.running()
    views = robot.collect(Image, 'instant_nerf/render/image_raw', RELIABLE)
    end = robot.drive(10)
    drive_until(robot, lambda: views and nanoseconds(views[-1].header.stamp) >= end)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_while_it_trains(robot, number):
    name = f'ended_by_{number.name}'
    grids = robot.collect(OccupancyGrid, f'{name}/map', LATCHED)
    with mapper(name=name) as process:
        process.wait_for('the engine runs on backend')
        drive_until(robot, lambda: grids)
        assert process.end(number, timeout=5.0) == 0  # after that, launch sends a stronger signal
        assert 'Traceback' not in process.text()


def test_time_may_jump_back(robot):
    grids = robot.collect(OccupancyGrid, 'replayed/map', LATCHED)
    second = 1_000_000_000
    with mapper('use_sim_time:=true', name='replayed') as process:
        process.wait_for('the engine runs on backend')
        for start in (100 * second, 50 * second):  # as when a bag is played again
            before = len(process.text())
            end = time.monotonic() + 20.0
            while not (grids and 0 <= nanoseconds(grids[-1].header.stamp) - start < 10 * second):
                assert time.monotonic() < end, process.text()
                robot.drive(10, sim_time_ns=start)
        # Before the jump, discovery may find images before TF.
        assert 'TF too old' not in process.text()[before:]


@pytest.mark.parametrize(('parameter', 'words'), [
    ('map_rate:=fast', "'map_rate' must be float"),
    ('map_rate:=100.0', "'map_rate' must be between"),
    ('image_transport:=theora', "'image_transport' must be one of raw, compressed"),
    ('field.levels:=99', "'field.levels' must be between"),
    ('map_rate:=[1', 'map_rate:=[1'),
])
def test_a_wrong_parameter_stops_the_start_with_a_sentence(parameter, words):
    with mapper(parameter) as process:
        assert process.wait(60.0) == 1
        assert words in process.text()
        assert 'Traceback' not in process.text()


def test_a_misspelt_parameter_is_reported():
    with mapper('map_fram:=odom') as process:
        process.wait_for("did you mean 'map_frame'?")


def test_volumes_are_published_to_their_subscribers(robot, running):
    marker, octomap = (pytest.importorskip(f'{package}_msgs.msg') for package in (
        'visualization', 'octomap'))
    found = {
        topic: robot.collect(kind, f'instant_nerf/{topic}', LATCHED) for topic, kind in (
            ('voxels', marker.Marker), ('octomap', octomap.Octomap),
            ('distance_slice', PointCloud2))}
    drive_until(robot, lambda: all(found.values()) and found['voxels'][-1].points)
    drive_until(robot, lambda: found['distance_slice'][-1].width and found['octomap'][-1].data)
    cubes = found['voxels'][-1]
    assert abs(np.median([point.x for point in cubes.points]) - WALL_DISTANCE) < 0.2
    assert {messages[-1].header.frame_id for messages in found.values()} == {'map'}
    assert found['octomap'][-1].resolution == pytest.approx(cubes.scale.x / 2)


def test_the_floor_is_at_the_height_of_the_base_frame(robot):
    grids = robot.collect(OccupancyGrid, 'standing/map', LATCHED)
    statuses = robot.collect(DiagnosticArray, '/diagnostics', 10)
    with mapper('base_frame:=camera', name='standing') as process:
        process.wait_for('the engine runs on backend')
        drive_until(robot, lambda: grids)
        height = robot.pose()[2, 3]
        assert grids[-1].info.origin.position.z == pytest.approx(height, abs=0.051)  # a voxel

        def diagnosed():
            values = {entry.key: entry.value for status in statuses[-1].status
                      for entry in status.values}  # fmt: skip
            return values['floor [m]']

        expected = f'{grids[-1].info.origin.position.z:.2f}'
        drive_until(robot, lambda: statuses and diagnosed() == expected)


def test_for_a_static_camera_the_diagnostics_advise_to_move_it(robot, monkeypatch):
    still = robot.pose()
    monkeypatch.setattr(robot, 'pose', lambda: still)
    grids = robot.collect(OccupancyGrid, 'still/map', LATCHED)
    statuses = robot.collect(DiagnosticArray, '/diagnostics', 10)
    with mapper(name='still') as process:
        process.wait_for('the engine runs on backend')
        # One measured image is enough for a map of what it shows.
        drive_until(robot, lambda: grids and (cells_from_message(grids[-1]) != -1).any())
        drive_until(robot, lambda: any(
            'move the camera' in status.message for array in statuses for status in array.status))
        assert process.running()
