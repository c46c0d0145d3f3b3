"""Blurred images wait for a sharper neighbour, for a bounded time."""
import cv2
import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.ros.inputs.blur_filter import (
    MAX_DELAY_NS,
    MIN_HISTORY,
    BlurFilter,
    sharpness,
)

STEP_NS = 33_000_000


def texture(random, width=640, height=480):
    """Return an image (H, W, 3) uint8 with edges of all sizes."""
    image = np.zeros((height, width, 3), np.uint8)
    for _ in range(300):
        x, y = random.integers(0, width), random.integers(0, height)
        size = int(random.integers(4, 60 if width > 64 else 16))
        image[y : y + size, x : x + size] = random.integers(0, 256, 3)
    return image


def blurred(image, length):
    """Return an image with the horizontal motion blur of a length in pixels."""
    return cv2.blur(image, (length, 1))


@pytest.mark.parametrize('width', [64, 640, 1280])
def test_the_longer_the_blur_the_less_sharp(width):
    image = texture(generator(), width, width * 3 // 4)
    values = [sharpness(blurred(image, width * share // 64)) for share in (1, 2, 4, 8)]
    assert sharpness(image) >= values[0] and values == sorted(values, reverse=True)
    assert values[-1] < 0.6 * values[0]
    assert sharpness(np.full_like(image, 99)) == 0.0


class Rig:
    """A BlurFilter with a history, and the items that it selected and dropped."""

    def __init__(self):
        self.dropped, self.selected, self.stamp_ns = [], [], 10**9
        self.blur_filter = BlurFilter(self.dropped.append)
        self.image = texture(generator())
        for _ in range(MIN_HISTORY):
            self.add(self.image, 'sharp')
        self.selected.clear()

    def add(self, image, item, step_ns=STEP_NS):
        """Add the next image."""
        self.stamp_ns += step_ns
        selected = self.blur_filter.select(image, self.stamp_ns, item)
        if selected is not None:
            self.selected.append(selected)


def test_sharp_images_are_selected_at_once():
    rig = Rig()
    for item in 'abc':
        rig.add(rig.image, item)
    assert rig.selected == ['a', 'b', 'c'] and rig.dropped == []


def test_a_blurred_image_is_replaced_by_a_sharper_neighbour():
    rig = Rig()
    rig.add(blurred(rig.image, 40), 'blurred')
    assert rig.selected == []
    rig.add(blurred(rig.image, 60), 'worse')
    rig.add(rig.image, 'sharp')
    assert rig.selected == ['sharp'] and rig.dropped == ['worse', 'blurred']


def test_if_all_are_blurred_the_sharpest_within_the_delay_is_selected():
    rig = Rig()
    lengths = [70, 50, 80, 65, 55, 75, 85, 90, 95, 100]
    for length in lengths:
        rig.add(blurred(rig.image, length), length)
    assert rig.selected[0] == 50
    assert rig.dropped[: MAX_DELAY_NS // STEP_NS] == [70, 80, 65, 55, 75, 85, 90]


def test_a_wall_without_texture_is_selected_after_the_delay_and_soon_is_normal():
    rig = Rig()
    wall = cv2.GaussianBlur(rig.image, (101, 101), 30)
    for index in range(200):
        rig.add(wall, index)
    gaps = np.diff(rig.selected)
    assert gaps[0] == pytest.approx(MAX_DELAY_NS / STEP_NS, abs=2) and (gaps[-50:] == 1).all()


def test_a_jump_back_in_time_ends_the_delay():
    rig = Rig()
    rig.add(blurred(rig.image, 40), 'before')
    rig.add(blurred(rig.image, 50), 'after', step_ns=-(10**9))
    assert rig.selected == ['before']
