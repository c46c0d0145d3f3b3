"""Report: one page with true numbers that needs nothing else, in a real browser."""
import base64
import html.parser
import json
import re

import cv2
import numpy as np
import pytest
from browser import chromium
from scenes import CAMERA, poses, view

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.nerf.field.render import View
from instant_nerf_ros.nerf.products.grids import MapGrid
from instant_nerf_ros.scenes.report import write_report
from instant_nerf_ros.scenes.report_parts import line_chart, map_picture

CELLS = np.full((40, 60), -1, np.int8)
CELLS[10:30, 10:50] = 0
CELLS[10, 10:50] = 100
GRID = MapGrid(CELLS, np.array([-1.0, -0.5]), 0.05, CELLS, 0.0, True)
NASTY = '"><script>alert(1)</script>.jpg'
HISTORY = [(1.0, 12.0), (5.0, 21.5), (9.0, 24.0), (12.0, float('nan'))]


class ExactMapper:
    """Renders the scene in closed form, a little too bright."""

    def render(self, camera, T_world_camera):
        """Return the View of a camera."""
        color, depth = view(camera, T_world_camera)
        return View(np.minimum(color, 250) + np.uint8(5), depth, np.ones_like(depth))

    def map(self):
        """Return a map with one wall."""
        return GRID

    def keyframe_poses(self):
        """Return the poses of two cameras."""
        return np.stack(poses(2))


def frames(count):
    return {name: Frame(0, view(CAMERA, pose)[0], CAMERA, pose)
            for name, pose in zip([NASTY, *(f'{k}.jpg' for k in range(1, count))], poses(count))}


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """Return the path of a report of twelve views."""
    path = tmp_path_factory.mktemp('report') / 'report.html'
    write_report(path, ExactMapper(), frames(12), 'A room & a ball', 'exact', {'steps': '100'},
                 'instant-nerf fit room --out scene', psnr_over_time=HISTORY)
    return path


class Elements(html.parser.HTMLParser):
    """Collects the elements of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Keep an element."""
        self.found.append((tag, dict(attrs)))


def test_the_page_needs_nothing_else_and_says_what_is_on_its_pictures(page):
    text = page.read_text()
    elements = Elements(text).found
    assert not re.search(r'https?://', text)
    for tag, attributes in elements:
        assert not attributes.get('href') and tag not in ('link', 'iframe', 'object')
        if tag == 'img':
            assert attributes['src'].startswith('data:image/') and len(attributes['alt']) > 10
        if tag == 'input':
            assert attributes['aria-label']
    assert sum(tag == 'script' for tag, _ in elements) == 1  # no name of a file became another
    assert text.count('</script>') == 1 and 'A room &amp; a ball' in text


def test_the_numbers_and_pictures_are_true(page):
    text = page.read_text()
    shown = [float(number) for number in re.findall(r'<td>([\d.]+)</td>', text)]
    assert len(shown) == 12
    for number, frame in zip(shown, frames(12).values()):
        rendered = ExactMapper().render(CAMERA, frame.T_world_camera).color
        error = np.mean((rendered.astype(float) - frame.image) ** 2)
        assert number == pytest.approx(10 * np.log10(255**2 / error), abs=0.006)
    assert f'{np.mean(shown):.2f} dB' in text
    images = [attributes for tag, attributes in Elements(text).found if tag == 'img']
    data = base64.b64decode(images[0]['src'].split(',')[1])
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(int) - next(iter(frames(12).values())).image).mean() < 6


def test_a_report_is_not_written_over_another(tmp_path, page):
    before = page.read_bytes()
    with pytest.raises(FileExistsError):
        write_report(page, ExactMapper(), frames(1), '', '', {}, '')
    with pytest.raises(ValueError, match='view'):
        write_report(tmp_path / 'a.html', ExactMapper(), {}, '', '', {}, '')
    assert page.read_bytes() == before and not list(tmp_path.iterdir())


def test_the_chart_spans_its_data():
    svg = line_chart(np.array([2.0, 10.0, 37.0]), np.array([11.0, 20.0, 27.9]), 'x', 'y', 'words')
    [points] = re.findall(r'points="([^"]+)"', svg)
    x, y = np.array([point.split(',') for point in points.split()], float).T
    assert (np.diff(x) > 0).all() and (np.diff(y) < 0).all()
    assert np.diff(x)[1] / np.diff(x)[0] == pytest.approx(27 / 8, rel=0.01)
    assert x.max() == pytest.approx(624) and y.min() >= 16 and y.max() <= 276
    assert 'aria-label="words"' in svg
    assert 'nan' not in line_chart(np.array([1.0]), np.array([20.0]), 'x', 'y', 'one')


def test_the_map_is_upright_and_cropped():
    image = map_picture(GRID, np.array([[0.0, 0.5, 1.0]]))
    factor = image.shape[0] // 28
    assert image.shape[:2] == (28 * factor, 48 * factor)
    assert (image[-5 * factor + 1, 20 * factor] == 0).all()  # the wall has the lowest y
    assert (image[6 * factor, 20 * factor] == 255).all()
    blue = np.argwhere((image == (11, 98, 196)).all(-1)).mean(0) / factor
    assert np.allclose(blue, [28 - (20 - 6), 20 - 6], atol=0.3)
    unknown = MapGrid(np.full((4, 4), -1, np.int8), np.zeros(2), 0.1, CELLS, 0.0, True)
    assert map_picture(unknown, np.zeros((1, 3))) is None


def test_a_browser_shows_the_page_and_its_sliders_move(page):
    with chromium(page) as browser:
        assert browser.get_log('browser') == []
        requests = [json.loads(entry['message'])['message']
                    for entry in browser.get_log('performance')]
        asked = {message['params']['request']['url'].split(':')[0] for message in requests
                 if message['method'] == 'Network.requestWillBeSent'}
        assert asked <= {'file', 'data'}
        assert browser.execute_script(
            'return [...document.images].every(image => image.naturalWidth > 0)')
        sliders = browser.find_elements('css selector', '.compare input')
        assert len(sliders) == 6  # every other one of twelve
        cut = ("return parseFloat(getComputedStyle(arguments[0].parentElement"
               ".querySelectorAll('img')[1]).clipPath.match(/([\\d.]+)(%|px)\\)/)[1])")
        slider = sliders[1]
        assert browser.execute_script(cut, slider) == 50
        slider.send_keys('\ue014' * 3)  # right arrow
        assert browser.execute_script(cut, slider) == 53
        assert slider.get_attribute('aria-valuetext') == '53 % real image'
        assert browser.execute_script(cut, sliders[0]) == 50
        width = browser.execute_script(
            'return document.documentElement.scrollWidth - innerWidth')
        assert width <= 0


def test_the_page_follows_the_dark_scheme(page):
    color = 'return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)'
    with chromium(page) as browser:
        assert min(browser.execute_script(color)) > 200
    with chromium(page, dark=True) as browser:
        assert max(browser.execute_script(color)) < 60
