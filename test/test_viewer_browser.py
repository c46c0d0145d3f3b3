"""The page in a real browser: it needs the token."""
import time

import pytest

pytest.importorskip('viser', reason="needs viser: pip install 'viser>=1.1'")

from browser import open_chromium  # noqa: E402
from test_viewer import LAYERS, Room  # noqa: E402
from waiting import wait_until  # noqa: E402

from instant_nerf_ros.viewer.page import Page  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PATIENCE = 240.0  # s: without a GPU, the shaders alone take half a minute
SIZE = 640, 480


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
