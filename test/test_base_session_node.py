"""A session under another one, over DDS: yesterday's map is there before the first image."""
import signal

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from geometry_msgs.msg import PoseArray, PoseStamped
from nav_msgs.msg import OccupancyGrid, Path
from ros_helpers import Robot, Slam, drive_until, mapper, wait_until
from sensor_msgs.msg import Image, PointCloud2

from instant_nerf_ros.ros.conversions import cells_from_message, write_pose
from instant_nerf_ros.ros.qos import LATCHED, RELIABLE
from instant_nerf_ros.session.history import History
from instant_nerf_ros.session.session_folder import SessionFolder

pytestmark = pytest.mark.ros
SHIFT = 0.2  # m, along x


def shifted(x):
    """Return a pose (4, 4) at a place on the x axis."""
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


def test_a_day_begins_with_the_map_of_another_day_and_never_changes_it(tmp_path):
    building, today = tmp_path / 'building', tmp_path / 'today'
    robot = Robot()
    slam = Slam(robot)
    topics = {'map': OccupancyGrid, 'keyframes': PoseArray, 'path': Path, 'points': PointCloud2}
    seen = {name: robot.collect(kind, f'day/{name}', LATCHED) for name, kind in topics.items()}
    images = robot.collect(Image, 'day/render/image_raw', RELIABLE)
    requests = robot.node.create_publisher(PoseStamped, 'day/render/pose', 100)

    def occupied():
        return (cells_from_message(seen['map'][-1]) == 100).sum() if seen['map'] else 0

    def x_of_keyframes():
        return np.array([pose.position.x for pose in seen['keyframes'][-1].poses])

    def content():
        return {path.name: path.read_bytes() for path in building.iterdir()}

    try:
        with mapper(f'session_folder:={building}', name='day') as process:
            process.wait_for('the engine runs on backend', 60.0)
            drive_until(robot, lambda: occupied() > 5 and len(
                seen['keyframes'][-1].poses) > 5, process.text, timeout=60.0)
            assert process.end(signal.SIGINT) == 0
        base = len(History(SessionFolder(building)).inputs)
        files, walls = content(), occupied()
        for messages in (*seen.values(), images):
            messages.clear()
        settings = (f'base_session_folder:={building}', f'session_folder:={today}',
                    'keyframes_rate:=5.0', 'trajectory:=slam/path')
        with mapper(*settings, name='day') as process:
            process.wait_for(f'base {building}: ', 60.0)
            wait_until(lambda: occupied() >= walls and seen['points'] and seen['keyframes'], 30.0,
                       process.text)
            assert not seen['path'][-1].poses
            count = len(x_of_keyframes())
            assert 3 < count <= base
            wait_until(requests.get_subscription_count, 10.0)
            request = PoseStamped()
            request.header.frame_id = 'map'
            write_pose(robot.pose(), request.pose)
            requests.publish(request)
            wait_until(lambda: images, 20.0, process.text)
            slam.begin(process)
            drive_until(robot, lambda: len(x_of_keyframes()) > count + 5, process.text, 60.0)
            slam.publish(shifted(0.0))
            robot.drive(10)
            slam.publish(shifted(SHIFT))
            process.wait_for('SLAM has closed a loop', 20.0)
            wait_until(lambda: (abs(x_of_keyframes()[count:] - SHIFT) < 1e-6).sum() > 5, 20.0)
            np.testing.assert_allclose(x_of_keyframes()[:count], 0.0, atol=1e-9)
            assert process.end(signal.SIGINT) == 0
            poses = len(seen['path'][-1].poses)
        new = History(SessionFolder(today))
        assert len(new.inputs) >= poses and new.base['folder'] == str(building)
        assert not {*new.ids()} & {*History(SessionFolder(building)).ids()}
        with mapper(f'session_folder:={today}', 'resume:=true', name='day') as process:
            seen['keyframes'].clear()
            process.wait_for(f'base {building}: ', 60.0)
            wait_until(lambda: seen['keyframes'] and len(x_of_keyframes()) > count + 5, 30.0)
            np.testing.assert_allclose(x_of_keyframes()[:count], 0.0, atol=1e-9)
            assert process.end(signal.SIGINT) == 0
        assert content() == files
    finally:
        robot.close()


def test_without_its_base_a_session_is_not_resumed_and_the_log_says_what_to_do(tmp_path):
    with mapper('base_session_folder:=building') as process:
        assert process.wait() == 1
        assert "'base_session_folder' must be an absolute path" in process.text()
    with mapper(f'base_session_folder:={tmp_path}/nothing', f'session_folder:={tmp_path}',
                name='without') as process:
        process.wait_for('there is no session in', 60.0)
        assert process.wait() == 1
