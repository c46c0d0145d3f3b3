"""The page in a real browser: no errors, voxels, pictures that follow the camera, the token."""
import base64
import time

import cv2
import numpy as np
import pytest

pytest.importorskip('viser', reason="needs viser: pip install 'viser>=1.1'")
pytest.importorskip('msgspec')

from browser import open_chromium  # noqa: E402
from test_viewer import LAYERS, Room, fill  # noqa: E402
from waiting import wait_until  # noqa: E402

from instant_nerf_ros.viewer.page import Page  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CANVAS = """
const [done] = arguments, canvas = document.querySelector('canvas[data-engine]')
    || document.querySelector('canvas');
requestAnimationFrame(() => done(canvas ? canvas.toDataURL('image/png') : ''));
"""
PATIENCE = 240.0  # s: without a GPU, the shaders alone take half a minute
SIZE = 640, 480
COARSE = '?fixedDpr=0.5'  # pixels of the canvas for one of the screen


def canvas(browser):
    """Return the image (H, W, 3) that the page draws, black while there is none."""
    data = browser.execute_async_script(CANVAS).partition(',')[2]
    if not data:
        return np.zeros((1, 1, 3), int)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    return image[..., ::-1].astype(int)


def orange(image):
    """Return how many pixels have the color of the wall of voxels."""
    red, green, blue = np.moveaxis(image, -1, 0)
    return int(((red > 90) & (red > 1.5 * green) & (green > blue + 5)).sum())


def errors(browser):
    """Return what the page has complained about."""
    return [entry['message'] for entry in browser.get_log('browser')
            if entry['level'] == 'SEVERE' and 'favicon' not in entry['message']]


def test_a_browser_shows_voxels_and_pictures_from_its_camera(tmp_path):
    source = Room()
    page = Page(source, '127.0.0.1', 8400, {**LAYERS, 'field': False})
    fill(page.stage)
    camera = page.server.initial_camera
    camera.position, camera.look_at = (0.0, 0.0, 1.0), (3.0, 0.0, 1.0)
    page.start()
    try:
        with open_chromium(page.url + COARSE, size=SIZE) as browser:
            wait_until(lambda: page.server.get_clients(), PATIENCE)
            wait_until(lambda: orange(canvas(browser)) > 500, PATIENCE)
            browser.save_screenshot(str(tmp_path / 'voxels.png'))
            (client,) = page.server.get_clients().values()
            assert not source.begun  # nobody wants pictures yet
            # From the keyboard: the first box is that of the pictures.
            browser.find_element('css selector', "input[type='checkbox']").send_keys(' ')
            wait_until(lambda: source.begun, PATIENCE)
            before = len(source.begun)
            client.camera.position = (0.0, 3.0, 1.0)
            wait_until(lambda: len(source.begun) > before, PATIENCE)
            wait_until(
                lambda: abs(source.begun[-1].T_world_camera[1, 3] - 3.0) < 0.05, PATIENCE)
            # Without red and with 3 m * 20 of green; colors pass through JPEG.
            wait_until(lambda: abs(np.median(canvas(browser), axis=(0, 1))[1] - 60) < 25, PATIENCE)
            browser.save_screenshot(str(tmp_path / 'picture.png'))
            assert not errors(browser)
    finally:
        page.stop()


def test_a_browser_needs_the_token_and_keeps_it():
    page = Page(Room(), '0.0.0.0', 8420, LAYERS)
    page.start()
    try:
        local = f'http://127.0.0.1:{page.server.get_port()}/'
        with open_chromium(local, size=SIZE) as browser:
            assert 'wants the token' in browser.page_source
            assert not page.server.get_clients()
            browser.get(local + '?' + page.url.partition('?')[2])
            wait_until(lambda: len(page.server.get_clients()) == 1, PATIENCE)
            browser.get(local)  # the cookie has it
            time.sleep(1.0)
            assert 'wants the token' not in browser.page_source
    finally:
        page.stop()
