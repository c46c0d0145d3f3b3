"""The page of the viewer: who may open it, what it is sent, and what it says."""
import http.client
import itertools
import math
import subprocess
import sys
import threading
import time
import types

import cv2
import numpy as np
import pytest

viser = pytest.importorskip('viser', reason="needs viser: pip install 'viser>=1.1'")
pytest.importorskip('msgspec')

from viewer_client import ViewerClient  # noqa: E402
from viser import _messages  # noqa: E402
from waiting import wait_until  # noqa: E402
from websockets.datastructures import Headers  # noqa: E402
from websockets.exceptions import InvalidStatus  # noqa: E402

from instant_nerf_ros.viewer import advice, comparison  # noqa: E402
from instant_nerf_ros.viewer.browser_panel import overview_of  # noqa: E402
from instant_nerf_ros.viewer.page import Page  # noqa: E402
from instant_nerf_ros.viewer.page_server import Guard, is_local, open_server  # noqa: E402
from instant_nerf_ros.viewer.picture_source import Frustum, Picture, keyframe  # noqa: E402

LAYERS = {'field': True, 'voxels': True, 'map': True, 'keyframes': True, 'path': True}


class Room:
    """A source whose pictures have the red of the x and the green of the y of the camera."""

    changes = False

    def __init__(self, pause=0.0):
        self.pause, self.begun, self.count = pause, [], 0
        self.sharp = threading.Event()  # a sharp picture may be made
        self.sharp.set()

    def begin(self, frustum):
        """Start a view."""
        self.begun.append(frustum)
        self.count = 0

    def next_picture(self, timeout):
        """Return a small picture, then a large one."""
        if self.count == 2 or self.count == 1 and not self.sharp.wait(timeout):
            return None
        time.sleep(self.pause)
        self.count += 1
        size = (12, 16) if self.count == 1 else (48, 64)
        color = np.zeros((*size, 3), np.uint8)
        color[..., :2] = np.clip(self.begun[-1].T_world_camera[:2, 3] * 20, 0, 255)
        return Picture(color, np.full(size, 2.0, np.float32), self.count == 2)

    def best_fov(self, aspect):
        """Return that any will do."""

    def compare(self, index):
        """Return images that differ by ten levels."""
        image = np.full((48, 64, 3), 100, np.uint8)
        return image, image + np.uint8(10)


@pytest.fixture
def source():
    """Return a Room."""
    return Room()


@pytest.fixture
def page(source):
    """Return a page of a Room with a wall of voxels and a keyframe."""
    page = Page(source, '127.0.0.1', 8300, LAYERS)
    fill(page.stage)
    page.start()
    yield page
    page.stop()


def fill(stage):
    """Put a wall, a map and a keyframe on a stage."""
    from instant_nerf_ros.nerf.camera import Camera
    y, z = np.meshgrid(np.arange(-1, 1, 0.1), np.arange(0, 3, 0.1))
    centers = np.column_stack([np.full(y.size, 3.0), y.ravel(), z.ravel()])
    stage.show_voxels(centers, np.full((y.size, 3), (200, 80, 40), np.uint8), 0.1)
    cells = np.zeros((20, 40), np.int8)
    cells[:, 30] = 100
    stage.show_map(cells, (0.0, -1.0), 0.1, 0.0)
    T = np.eye(4)
    T[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    T[2, 3] = 1.0
    camera = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
    stage.show_keyframes([keyframe('first', np.zeros((48, 64, 3), np.uint8), camera, T)])


def get(port, path='/', **headers):
    """Return status, headers and body of a page."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
    connection.request('GET', path, headers=headers)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def test_a_local_page_is_for_this_machine_and_for_pages_of_its_own(page):
    port = page.server.get_port()
    assert page.url == f'http://127.0.0.1:{port}/'
    assert get(port)[0] == get(port, Host=f'localhost:{port}')[0] == 200
    assert get(port, Host='rebound.example.com')[0] == 403
    named = Guard(host='Robot1')  # a name of this machine may be a loopback address, too
    request = types.SimpleNamespace(path='/', headers=Headers({'Host': 'robot1:8080'}))
    assert not named.refusal(request) and Guard().refusal(request)
    ViewerClient(page.url, origin=page.url.rstrip('/')).__exit__()
    with pytest.raises(InvalidStatus, match='403'):
        ViewerClient(page.url, origin='http://elsewhere.example.com')


@pytest.mark.parametrize('path', [
    '/../page_server.py', '/%2e%2e/%2e%2e/_viser.py', '//etc/passwd', '/..\\..\\_viser.py',
    '/etc/passwd', '/../../../../../../../../etc/passwd'])
def test_no_file_of_the_machine_is_served(page, path):
    assert get(page.server.get_port(), path)[0] == 404


def test_an_open_page_wants_its_token_of_pages_and_of_websockets():
    server, url = open_server('0.0.0.0', 8320, '')
    try:
        port, token = server.get_port(), url.partition('token=')[2]
        assert len(token) >= 20
        local = f'http://127.0.0.1:{port}/'
        status, headers, body = get(port)
        assert status == 403 and b'token' in body and 'Set-Cookie' not in headers
        assert get(port, f'/?token={token[:-1]}')[0] == 403
        assert get(port, Cookie='instant_nerf_token=wrong')[0] == 403
        status, headers, _ = get(port, f'/?token={token}')
        assert status == 200 and 'HttpOnly' in headers['Set-Cookie']
        with pytest.raises(InvalidStatus, match='403'):
            ViewerClient(local)
        cookie = headers['Set-Cookie'].partition(';')[0]
        with ViewerClient(local, additional_headers={'Cookie': cookie}) as client:
            wait_until(lambda: client.messages, 10.0)
    finally:
        server.stop()


def test_two_servers_have_two_ports_and_a_wrong_host_is_said():
    first, one = open_server('127.0.0.1', 8340)
    second, other = open_server('127.0.0.1', 8340)
    try:
        assert one != other
    finally:
        first.stop()
        second.stop()
    assert is_local('127.0.0.1') and is_local('localhost') and not is_local('0.0.0.0')
    with pytest.raises(ValueError, match=r'192\.0\.2\.1.*no address of this machine'):
        is_local('192.0.2.1')


def test_a_browser_cannot_open_the_page_to_the_internet(page, monkeypatch):
    from viser import _viser
    monkeypatch.setattr(_viser, 'ViserTunnel', lambda *_: pytest.fail('a tunnel was opened'))
    with ViewerClient(page.url) as client:
        client.send(_messages.ShareUrlRequest())
        time.sleep(0.5)
        assert page.server.request_share_url() is None


def test_pictures_follow_the_camera_coarse_first(page, source):
    def latest(client):
        data = np.frombuffer(client.pictures[-1][1], np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_COLOR)

    with ViewerClient(page.url) as client:
        wait_until(lambda: len(client.pictures) >= 1, 20.0)
        for x, y in ((2.0, 8.0), (10.0, 3.0)):
            color = 0, 20 * y, 20 * x
            source.sharp.clear()
            client.move((x, y, 1.0))
            wait_until(lambda color=color: np.allclose(latest(client)[2, 2], color, atol=4), 20.0)
            assert latest(client).shape == (12, 16, 3)
            source.sharp.set()
            wait_until(lambda: latest(client).shape == (48, 64, 3), 20.0)
            np.testing.assert_allclose(latest(client)[20, 30], color, atol=4)


def test_every_browser_has_layers_of_its_own(page):
    with ViewerClient(page.url) as one, ViewerClient(page.url) as other:
        for client in (one, other):
            wait_until(lambda client=client: client.find('Voxels'), 20.0)
            assert '/voxels/4/cubes' in client.names()
        one.set('Voxels', False)

        def hidden(client):
            return {message['name'] for message in client.messages
                    if message['type'] == 'SetSceneNodeVisibilityMessage'
                    and not message['visible']}
        wait_until(lambda: '/voxels' in hidden(one), 10.0)
        assert '/voxels' not in hidden(other)
        assert '/voxels/11' in hidden(other)  # the ceiling


def test_a_phone_begins_farther_away(page):
    page.set_overview()
    with ViewerClient(page.url, size=(390, 844)) as phone, ViewerClient(page.url) as other:
        def moved(client):
            return [message for message in client.messages
                    if message['type'] == 'SetCameraPositionMessage' and not message['initial']]
        wait_until(lambda: moved(phone), 20.0)
        wait_until(lambda: other.find('Voxels'), 20.0)
        assert not moved(other)


def test_keyframes_do_not_stand_before_a_browser_that_stands_at_one(page):
    def shown(client):
        return [message['visible'] for message in client.messages
                if message['type'] == 'SetSceneNodeVisibilityMessage'
                and message['name'] == '/keyframes'][-1]

    with ViewerClient(page.url) as client, ViewerClient(page.url) as other:
        for browser in (client, other):
            wait_until(lambda browser=browser: browser.find('Keyframes'), 20.0)
        client.set('Stand there', True)
        wait_until(lambda: not shown(client), 10.0)
        client.set('Overview', True)
        wait_until(lambda: shown(client), 10.0)
        assert shown(other)


def test_a_keyframe_is_compared_with_its_view(page):
    with ViewerClient(page.url) as client:
        client.set('Compare with image', True)
        wait_until(lambda: 'first: PSNR 28.1 dB' in client.text(), 20.0)  # 20 log10(255 / 10)


def test_the_pictures_of_many_browsers_take_a_bounded_share_of_the_time():
    source = Room(pause=0.02)
    page = Page(source, '127.0.0.1', 8360, LAYERS)
    page.start()
    try:
        clients = [ViewerClient(page.url) for _ in range(5)]
        wait_until(lambda: all(client.pictures for client in clients), 30.0)
        begin, begun, x = time.monotonic(), len(source.begun), 0.0
        while time.monotonic() < begin + 3.0:
            x += 0.01
            for client in clients:
                client.move((x, 0.0, 1.0))
            time.sleep(0.02)
        # Every one takes 20 ms, and is followed by a pause of three times that.
        assert 5 < len(source.begun) - begun <= 3.0 / 0.08 + 1
        for client in clients:
            client.__exit__()
    finally:
        page.stop()


def test_images_and_their_difference_are_shown_as_they_are():
    real = np.zeros((4, 10, 3), np.uint8)
    rendered = np.full((4, 10, 3), 64, np.uint8)
    half = comparison.split(real, rendered, 0.5)
    assert (half[:, :4] == 0).all() and (half[:, 4] == 255).all() and (half[:, 5:] == 64).all()
    dark, bright = (comparison.error_colors(real, other)[0, 0] for other in (real, rendered))
    assert tuple(dark) == (68, 1, 84) and bright[0] > 240 and bright[2] < 60


def test_a_frustum_is_the_camera_of_the_browser():
    camera = Frustum(np.eye(4), math.radians(90), 2.0).camera(100)
    assert (camera.width, camera.height) == (200, 100)
    corners = camera.project(np.array([[2.0, 1.0, 1.0], [-2.0, -1.0, 1.0]]))
    np.testing.assert_allclose(corners, [[199.5, 99.5], [-0.5, -0.5]])


@pytest.mark.parametrize('aspect', [0.45, 1.0, 1.8])
@pytest.mark.parametrize('size', [(1.0, 2.0, 3.0), (10.0, 4.0, 2.5), (0.1, 0.1, 8.0)])
def test_an_overview_shows_everything_and_is_no_farther_away_than_needed(size, aspect):
    low, fov = np.array([3.0, -2.0, 0.5]), math.radians(60)
    high = low + size
    position, target = overview_of(low, high, fov, aspect)
    np.testing.assert_allclose(target, (low + high) / 2)
    ahead = (target - position) / np.linalg.norm(target - position)
    right = np.cross(ahead, (0, 0, 1)) / np.linalg.norm(np.cross(ahead, (0, 0, 1)))
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = np.column_stack([right, np.cross(ahead, right), ahead]), position
    camera = Frustum(T, fov, aspect).camera(1000)
    corners = np.array(list(itertools.product(*zip(low, high))))
    pixels = camera.project((corners - position) @ T[:3, :3])
    margins = np.stack([pixels + 0.5, (camera.width, camera.height) - pixels - 0.5])
    assert margins.min() > -1e-6
    assert margins.min() < 1 or aspect > 1  # a wide picture leaves room for panels


def test_diagnostics_are_said_in_plain_words():
    values = {'state': 'mapping', 'steps per second': '80.0', 'held-out PSNR [dB]': 'nan',
              'dropped: no TF': '7', 'dropped: redundant': '100', 'dropped: blurred': '0'}
    text = advice.status_text(1, 'nothing comes on /image; no image yet', values, 0.5, 'mapper')
    assert '▲ mapping' in text and '- nothing comes on /image\n- no image yet' in text
    assert 'per second: 80.0' in text and 'PSNR' not in text
    drops = advice.drops_text(values)
    assert '| 7 | no TF | no pose: start the localisation' in drops
    assert drops.index('redundant') < drops.index('no TF') and 'blurred' not in drops
    gone = advice.status_text(0, '', values, 10.0, 'mapper')
    assert '✖ No news' in gone and 'ros2 node list' in gone


def test_a_viewer_of_a_node_needs_no_torch_and_viser_is_asked_for():
    code = ('import sys; import instant_nerf_ros.viewer.node_viewer; '
            "assert 'torch' not in sys.modules and 'numba' not in sys.modules")
    if 'rclpy' in sys.modules or _has_rclpy():
        subprocess.run([sys.executable, '-c', code], check=True, timeout=100)
    code = ("import sys; sys.modules['viser'] = None\n"
            'import instant_nerf_ros.viewer.page_server')
    answer = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=100)
    assert 'the viewer needs viser' in answer.stderr and 'pip install' in answer.stderr


def _has_rclpy():
    import importlib.util
    return importlib.util.find_spec('rclpy') is not None


def test_threads_end_with_the_page(page):
    page.pictures.stop()
    page.pictures.join(5.0)
    assert not page.pictures.is_alive() and threading.main_thread().is_alive()
