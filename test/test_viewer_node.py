"""The viewer of a node: what it shows, what it may change, and that each finds the other again."""
import re
import subprocess
import sys

import pytest

pytest.importorskip('viser', reason="needs viser: pip install 'viser>=1.1'")
pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from ros_helpers import Robot, drive_until, mapper  # noqa: E402
from viewer_client import ViewerClient  # noqa: E402
from waiting import wait_until  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.slow]


class ViewerProcess:
    """The viewer in a process of its own."""

    def __init__(self, log, *parameters):
        """Start it with parameters 'name:=value'."""
        self._log = log.open('w')
        words = [word for text in parameters for word in ('-p', text)]
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'instant_nerf_ros.viewer.node_viewer', '--ros-args',
             '-p', 'viewer_port:=8600', *words], stdout=self._log, stderr=subprocess.STDOUT)
        wait_until(lambda: self._process.poll() is not None or 'http://' in log.read_text(), 60.0,
                   log.read_text)
        self.url = re.search(r'http://\S+', log.read_text())[0]

    def end(self, kill=False):
        """End it; return its exit status."""
        (self._process.kill if kill else self._process.terminate)()
        status = self._process.wait(20.0)
        self._log.close()
        return status


@pytest.fixture
def robot():
    """Return a robot before a wall."""
    robot = Robot()
    yield robot
    robot.close()


def drive_until_shown(robot, client, *names):
    """Drive until a page shows objects."""
    drive_until(robot, lambda: all(
        any(re.fullmatch(name, known) for known in client.names()) for name in names),
        lambda: f'{sorted(client.names())}', timeout=100.0)


def test_a_viewer_shows_and_pauses_a_mapper_and_both_come_back(robot, tmp_path):
    viewer = ViewerProcess(tmp_path / 'viewer.log', 'controls:=true')
    try:
        with mapper() as node, ViewerClient(viewer.url) as client:
            robot.wait_for_listener(60.0)
            drive_until_shown(
                robot, client, '/voxels/.*/cubes', '/keyframes/0000', '/map/cells', '/path/line')
            client.set('Rendered view', True)
            drive_until(robot, lambda: client.pictures, timeout=60.0)
            seen = len(client.pictures)
            client.move((0.2, 0.1, 0.5))
            wait_until(lambda: len(client.pictures) > seen, 30.0)
            client.set('Pause mapping', True)
            drive_until(robot, lambda: 'paused: no images' in client.text(), timeout=30.0)
            client.set('Pause mapping', True)  # now it says Resume mapping
            wait_until(lambda: '✔ mapping' in client.text(), 30.0)
            with ViewerClient(viewer.url) as second:  # who comes later sees the same
                wait_until(lambda: '/keyframes/0000' in second.names(), 20.0)
            assert viewer.end(kill=True) != 0
            assert node.running()
            viewer = ViewerProcess(tmp_path / 'second.log')
            with ViewerClient(viewer.url) as again:
                drive_until_shown(robot, again, '/keyframes/0000', '/voxels/.*/cubes')
                assert again.find('Pause mapping') is None  # the second switch is off
        with ViewerClient(viewer.url) as client:
            wait_until(lambda: 'No news from the mapper' in client.text(), 20.0)
            with mapper():
                robot.wait_for_listener(60.0)
                drive_until(robot, lambda: '✔ mapping' in client.text(), timeout=100.0)
    finally:
        assert viewer.end() == 0


def test_a_wrong_host_is_said_in_one_sentence(tmp_path):
    log = tmp_path / 'viewer.log'
    with log.open('w') as file:
        status = subprocess.run(
            [sys.executable, '-m', 'instant_nerf_ros.viewer.node_viewer', '--ros-args',
             '-p', 'viewer_host:=192.0.2.1'], stdout=file, stderr=file, timeout=100.0).returncode
    assert status == 1
    assert "viewer_host '192.0.2.1' is no address of this machine" in log.read_text()
    assert 'Traceback' not in log.read_text()
