"""The page in a real browser: voxels, pictures that follow the camera, controls, the token."""
import base64
import contextlib
import time

import cv2
import numpy as np
import pytest

pytest.importorskip('viser', reason="needs viser: pip install 'viser>=1.1'")
pytest.importorskip('msgspec')

from browser import errors, open_chromium  # noqa: E402
from test_viewer import LAYERS, Room, fill  # noqa: E402
from viewer_client import ViewerClient  # noqa: E402
from waiting import wait_until  # noqa: E402

from instant_nerf_ros.viewer.page import Page  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CANVAS = """
const [done] = arguments, canvas = document.querySelector('canvas[data-engine]');
requestAnimationFrame(() => done(canvas ? canvas.toDataURL('image/png') : ''));
"""
# The box of a label, by the keyboard: it takes the focus, then a space switches it.
FOCUS = """
const box = [...document.querySelectorAll('label')].find(e => e.textContent === arguments[0]);
const input = document.getElementById(box.htmlFor)
    || box.parentElement.parentElement.querySelector('input');
input.focus();
return document.activeElement === input;
"""
PATIENCE = 120.0  # s: without a GPU, the shaders alone may take half a minute
SIZE = 900, 700
COARSE = '?fixedDpr=0.5'  # pixels of the canvas for one of the screen


def canvas(browser):
    """Return the image (H, W, 3) that the page draws, black while there is none."""
    data = browser.execute_async_script(CANVAS).partition(',')[2]
    if not data:
        return np.zeros((1, 1, 3), int)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    return image[..., ::-1].astype(int)


def orange(browser):
    """Return how many pixels have the color of the wall of voxels."""
    red, green, blue = np.moveaxis(canvas(browser), -1, 0)
    return int(((red > 90) & (red > 1.5 * green) & (green > blue + 5)).sum())


def press(browser, label):
    """Switch a box from the keyboard."""
    from selenium.webdriver.common.action_chains import ActionChains
    assert browser.execute_script(FOCUS, label)
    ActionChains(browser).send_keys(' ').perform()


@contextlib.contextmanager
def opened(source, **layers):
    """Yield the page of a source with a wall of voxels, and a browser that looks at it."""
    page = Page(source, '127.0.0.1', 8400, {**LAYERS, 'keyframes': False, **layers})
    fill(page.stage)
    camera = page.server.initial_camera
    camera.position, camera.look_at = (0.0, 0.0, 1.0), (3.0, 0.0, 1.0)
    page.start()
    try:
        with open_chromium(page.url + COARSE, size=SIZE) as browser:
            wait_until(lambda: page.server.get_clients(), PATIENCE)
            yield page, browser
    finally:
        page.stop()


def test_voxels_are_shown_and_hidden_from_the_keyboard(tmp_path):
    with opened(Room(), field=False) as (page, browser):
        wait_until(lambda: orange(browser) > 500, PATIENCE)
        browser.save_screenshot(str(tmp_path / 'voxels.png'))
        with ViewerClient(page.url) as second:  # a browser that comes later sees the same
            wait_until(lambda: '/voxels/4/cubes' in second.names(), PATIENCE)
            press(browser, 'Voxels')
            wait_until(lambda: orange(browser) == 0, PATIENCE)
            assert not any(
                message['name'] == '/voxels' and not message['visible']
                for message in second.messages
                if message['type'] == 'SetSceneNodeVisibilityMessage')
        assert not errors(browser)


def test_the_rendered_picture_follows_the_camera(tmp_path):
    source = Room()

    def middle():
        image = canvas(browser)
        return np.median(image.reshape(-1, 3), axis=0)

    with opened(source, field=False, voxels=False, map=False) as (page, browser):
        wait_until(lambda: canvas(browser).size > 3, PATIENCE)
        assert not source.begun  # nobody wants pictures yet
        press(browser, 'Rendered view')
        (client,) = page.server.get_clients().values()
        # The Room has the red and the green of x and y of the camera [m], times 20.
        for x, y in ((1.0, 6.0), (9.0, 2.0)):
            with client.atomic():
                client.camera.position, client.camera.look_at = (x, y, 1.0), (x + 3.0, y, 1.0)
            wait_until(
                lambda x=x, y=y: np.allclose(middle(), [20 * x, 20 * y, 0], atol=12), PATIENCE,
                lambda: f'{middle()}')
        browser.save_screenshot(str(tmp_path / 'picture.png'))
        assert not errors(browser)


def test_a_keyframe_is_compared_in_a_window(tmp_path):
    with opened(Room(), field=False) as (page, browser):
        wait_until(lambda: canvas(browser).size > 3, PATIENCE)
        button = "//button[contains(., 'Compare with image')]"
        wait_until(lambda: browser.find_elements('xpath', button), PATIENCE)
        browser.execute_script('arguments[0].click()', browser.find_element('xpath', button))
        wait_until(lambda: 'first: PSNR 28.1 dB' in browser.page_source, PATIENCE)
        time.sleep(0.5)  # it fades in
        browser.save_screenshot(str(tmp_path / 'comparison.png'))
        assert not errors(browser)


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
