"""The viewer of a node: what it shows, what it may change, and that each finds the other again."""
import re
import signal

import pytest

pytest.importorskip('viser', reason="needs viser: pip install 'viser>=1.1'")
pytest.importorskip('rclpy')
pytest.importorskip('tf2_ros')

from browser import errors, open_chromium  # noqa: E402
from node_process import NodeProcess  # noqa: E402
from ros_helpers import Robot, drive_until, mapper  # noqa: E402
from viewer_client import ViewerClient  # noqa: E402
from waiting import wait_until  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.slow]


class Viewer(NodeProcess):
    """The viewer in a process of its own, and the address of its page."""

    def __init__(self, *parameters):
        """Start it with parameters 'name:=value'."""
        super().__init__('viewer.node_viewer', [
            word for text in ('viewer_port:=8600', *parameters) for word in ('-p', text)])
        wait_until(lambda: not self.running() or 'http://' in self.text(), 60.0, self.text)
        self.url = re.search(r'http://\S+', self.text())[0]


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


def test_a_viewer_shows_and_pauses_a_mapper_and_both_come_back(robot):
    viewer = Viewer('controls:=true')
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
            viewer.end(signal.SIGKILL)
            assert node.running()
            viewer = Viewer()
            with ViewerClient(viewer.url) as again:
                drive_until_shown(robot, again, '/keyframes/0000', '/voxels/.*/cubes')
                drive_until(robot, lambda: '✔ mapping' in again.text(), timeout=30.0)
                assert again.find('Pause mapping') is None  # the second switch is off
        with ViewerClient(viewer.url) as client:
            wait_until(lambda: 'No news from the mapper' in client.text(), 20.0)
            with mapper():
                robot.wait_for_listener(60.0)
                drive_until(robot, lambda: '✔ mapping' in client.text(), timeout=100.0)
    finally:
        assert viewer.end() == 0


def test_a_real_browser_pauses_a_mapper(robot, tmp_path):
    pause = "//button[contains(., 'Pause mapping')]"
    with Viewer('controls:=true') as viewer, mapper(), \
            open_chromium(f'{viewer.url}?fixedDpr=0.5') as browser:
        robot.wait_for_listener(60.0)
        drive_until(robot, lambda: '✔ mapping' in browser.page_source, timeout=100.0)
        browser.execute_script('arguments[0].click()', browser.find_element('xpath', pause))
        drive_until(robot, lambda: 'paused: no images' in browser.page_source, timeout=60.0)
        assert not browser.find_elements('xpath', pause)  # it says Resume mapping
        browser.save_screenshot(str(tmp_path / 'paused.png'))
        assert not errors(browser)


def test_a_wrong_host_is_said_in_one_sentence():
    with NodeProcess('viewer.node_viewer', ['-p', 'viewer_host:=192.0.2.1']) as viewer:
        assert viewer.wait(100.0) == 1
        assert "viewer_host '192.0.2.1' is no address of this machine" in viewer.text()
        assert 'Traceback' not in viewer.text()
