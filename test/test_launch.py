"""`ros2 launch instant_nerf_ros ...` starts a mapper with what it was told."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request

import cv2
import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.slow]

rclpy = pytest.importorskip('rclpy')
pytest.importorskip('ros2launch', reason='needs ros2 launch')
from ament_index_python.packages import get_packages_with_prefixes  # noqa: E402
from nav_msgs.msg import Path  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402

NAMESPACE = 'robot'
ADDRESS = r'the viewer is at (http://127\.0\.0\.1:\d+/)'
ARGUMENTS = (
    f'namespace:={NAMESPACE}', 'rviz:=false', 'use_depth:=false', 'image_topic:=eye/image')

# One clock, one log and one diagnostics for all robots.
SHARED = {'/clock', '/rosout', '/parameter_events', '/diagnostics'}


def ros2_launch(*words):
    """Return the command line."""
    return [shutil.which('ros2'), 'launch', 'instant_nerf_ros', *words]


@contextlib.contextmanager
def running(*words, output=None):
    """Run a launch file, and end it with all that it started; output: an open file."""
    launch = subprocess.Popen(
        ros2_launch(*words), start_new_session=True, stdout=output, stderr=output)
    try:
        yield launch
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(launch.pid, signal.SIGKILL)
        launch.wait()


def said(*words):
    """Return what a launch file that does not start says."""
    done = subprocess.run(
        ros2_launch(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60.0)
    assert 'process started' not in done.stdout
    return done.stdout


@pytest.fixture(scope='module')
def launched():
    """Return the running launch (Popen)."""
    with running('mapping.launch.py', *ARGUMENTS) as launch:
        yield launch


@pytest.fixture
def observer():
    """Return a node beside the mapper."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('observer', context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_arguments_win_over_the_params_file_which_decides_the_rest(launched, observer):
    client = observer.create_client(GetParameters, f'/{NAMESPACE}/instant_nerf/get_parameters')
    assert client.wait_for_service(timeout_sec=60.0)
    names = ['use_depth', 'use_sim_time', 'map_frame']
    answer = client.call_async(GetParameters.Request(names=names))
    executor = rclpy.executors.SingleThreadedExecutor(context=observer.context)
    rclpy.spin_until_future_complete(observer, answer, executor, timeout_sec=20.0)
    use_depth, use_sim_time, map_frame = answer.result().values
    assert (use_depth.bool_value, use_sim_time.bool_value) == (False, False)
    assert map_frame.string_value == 'map'


def test_topics_are_in_the_namespace_and_as_remapped(launched, observer):
    expected = {f'/{NAMESPACE}/{topic}' for topic in (
        'eye/image', 'camera/color/camera_info', 'tf', 'tf_static')}
    deadline = time.monotonic() + 60.0
    found = set()
    while not expected <= found:
        assert time.monotonic() < deadline, expected - found
        time.sleep(0.2)
        found = {
            topic for topic, _ in observer.get_topic_names_and_types()
            if observer.count_subscribers(topic)}
    assert observer.count_publishers(f'/{NAMESPACE}/map') == 1


def test_an_interrupt_ends_it_without_complaint(launched):
    launched.send_signal(signal.SIGINT)
    assert launched.wait(timeout=20.0) == 0


@pytest.mark.parametrize('file', ['mapping.launch.py', 'demo.launch.py', 'nav2.launch.py'])
def test_arguments_are_listed_with_what_they_mean(file):
    listed = said(file, '--show-args')
    assert "'rviz':" in listed
    assert 'No description given' not in listed and 'no description' not in listed.lower()


@pytest.mark.parametrize('argument', ['params_file', 'bag'])
def test_a_file_that_is_not_there_stops_the_start_with_a_sentence(argument):
    assert f"there is no '/no/such', which {argument} names" in said(
        'mapping.launch.py', 'rviz:=false', f'{argument}:=/no/such')


@pytest.mark.parametrize(('file', 'argument', 'package', 'words'), [
    ('mapping.launch.py', 'rviz:=true', 'rviz2', 'rviz:=false'),
    ('nav2.launch.py', 'rviz:=false', 'nav2_bringup', 'Nav2 is not installed')])
def test_a_package_that_is_missing_is_named_before_anything_starts(
        file, argument, package, words):
    if package in get_packages_with_prefixes():
        pytest.skip(f'{package} is installed')
    assert words in said(file, argument)


def test_the_viewer_is_opened_and_comes_back_when_it_is_killed(tmp_path):
    pytest.importorskip('viser', reason="needs viser: pip install 'viser>=1.1'")
    log = tmp_path / 'launch.log'

    def read(words):
        deadline = time.monotonic() + 60.0
        while not (found := re.findall(words, log.read_text())):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        return found

    def opened(address):
        with urllib.request.urlopen(address, timeout=10.0) as answer:
            return answer.status == 200

    with log.open('w') as file, running(
            'mapping.launch.py', *ARGUMENTS, 'viewer:=true', 'viewer_port:=8650',
            'viewer_controls:=true', output=file):
        (address,) = read(ADDRESS)
        assert opened(address)
        (pid,) = read(r'\[viewer-\d+\]: process started with pid \[(\d+)\]')
        os.kill(int(pid), signal.SIGKILL)
        deadline = time.monotonic() + 60.0
        while log.read_text().count('the viewer is at') < 2:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        assert opened(read(ADDRESS)[1])
    assert 'it only shows' not in log.read_text()


def test_the_demo_in_a_namespace_leaves_nothing_outside(observer):
    def outside(names):
        return {name for name in names if not name.startswith('/demo/')} - SHARED

    with running('demo.launch.py', 'namespace:=demo', 'rviz:=false'):
        deadline = time.monotonic() + 90.0
        while not (observer.count_publishers('/demo/tf') and observer.count_publishers(
                '/demo/camera/color/image_raw') and observer.count_publishers('/demo/map')):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(1.0)
        nodes = {f'{namespace}/{name}'.replace('//', '/') for name, namespace
                 in observer.get_node_names_and_namespaces() if name != 'observer'}
        assert {'/demo/instant_nerf', '/demo/sim_robot'} <= nodes
        for node in ('instant_nerf', 'sim_robot'):
            for endpoints in (observer.get_publisher_names_and_types_by_node,
                              observer.get_subscriber_names_and_types_by_node):
                assert not outside(topic for topic, _ in endpoints(node, '/demo')), node
            services = observer.get_service_names_and_types_by_node(node, '/demo')
            assert not outside(service for service, _ in services)


def test_a_recording_is_played_and_mapped(observer, tmp_path):
    for number in range(20):
        cv2.imwrite(str(tmp_path / f'{number}.png'), np.full((12, 16, 3), 100, np.uint8))
    frames = [{'file_path': f'{number}.png', 'transform_matrix': [
        [1, 0, 0, 0.1 * number], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]]}
        for number in range(20)]
    (tmp_path / 'transforms.json').write_text(json.dumps(
        {'fl_x': 20.0, 'cx': 8.0, 'cy': 6.0, 'w': 16, 'h': 12, 'frames': frames}))
    ways = []
    qos = rclpy.qos.QoSProfile(
        depth=1, durability=rclpy.qos.DurabilityPolicy.TRANSIENT_LOCAL)
    observer.create_subscription(Path, '/played/instant_nerf/path', ways.append, qos)
    executor = rclpy.executors.SingleThreadedExecutor(context=observer.context)
    executor.add_node(observer)
    with running('mapping.launch.py', 'namespace:=played', 'rviz:=false', f'bag:={tmp_path}'):
        deadline = time.monotonic() + 120.0
        while not (ways and len(ways[-1].poses) > 10):
            assert time.monotonic() < deadline
            executor.spin_once(timeout_sec=0.2)
    executor.shutdown()
    # The recorded time, not that of the wall.
    assert all(pose.header.stamp.sec < 100 for pose in ways[-1].poses)
