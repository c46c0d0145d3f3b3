"""`ros2 launch instant_nerf_ros mapping.launch.py` starts a mapper with what it was told."""
import os
import shutil
import signal
import subprocess
import time

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.slow]

rclpy = pytest.importorskip('rclpy')
pytest.importorskip('ros2launch', reason='needs ros2 launch')
from rcl_interfaces.srv import GetParameters  # noqa: E402

NAMESPACE = 'robot'
ARGUMENTS = (
    f'namespace:={NAMESPACE}', 'rviz:=false', 'use_depth:=false', 'image_topic:=eye/image')


@pytest.fixture(scope='module')
def launched():
    """Return the running launch (Popen)."""
    launch = subprocess.Popen(
        [shutil.which('ros2'), 'launch', 'instant_nerf_ros', 'mapping.launch.py', *ARGUMENTS],
        start_new_session=True)
    yield launch
    if launch.poll() is None:
        os.killpg(launch.pid, signal.SIGKILL)
        launch.wait()


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
