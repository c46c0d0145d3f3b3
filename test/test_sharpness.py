"""Blurred images wait for a sharper neighbour, and nothing waits for long."""
import cv2
import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.ros.inputs.blur_filter import KNOWN, PATIENCE_NS, Sharpest, sharpness

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
    """Return an image as a camera that moves sideways by so many pixels takes it."""
    return cv2.blur(image, (length, 1))


@pytest.mark.parametrize('width', [64, 640, 1280])
def test_the_longer_the_blur_the_less_sharp(width):
    image = texture(generator(), width, width * 3 // 4)
    values = [sharpness(blurred(image, width * share // 64)) for share in (1, 2, 4, 8)]
    assert sharpness(image) >= values[0] and values == sorted(values, reverse=True)
    assert values[-1] < 0.6 * values[0]
    assert sharpness(np.full_like(image, 99)) == 0.0


class Rig:
    """A Sharpest that knows what is usual, and what it kept and dropped."""

    def __init__(self):
        self.dropped, self.kept, self.stamp_ns = [], [], 10**9
        self.sharpest = Sharpest(self.dropped.append)
        self.image = texture(generator())
        for _ in range(KNOWN):
            self.offer(self.image, 'usual')
        self.kept.clear()

    def offer(self, image, value, step_ns=STEP_NS):
        """Offer the next image."""
        self.stamp_ns += step_ns
        kept = self.sharpest.offer(image, self.stamp_ns, value)
        if kept is not None:
            self.kept.append(kept)


def test_sharp_images_are_kept_at_once():
    rig = Rig()
    for value in 'abc':
        rig.offer(rig.image, value)
    assert rig.kept == ['a', 'b', 'c'] and rig.dropped == []


def test_a_blurred_image_gives_way_to_a_sharper_neighbour():
    rig = Rig()
    rig.offer(blurred(rig.image, 40), 'blurred')
    assert rig.kept == []
    rig.offer(blurred(rig.image, 60), 'worse')
    rig.offer(rig.image, 'sharp')
    assert rig.kept == ['sharp'] and rig.dropped == ['worse', 'blurred']


def test_where_all_are_blurred_the_best_of_a_while_is_kept():
    rig = Rig()
    lengths = [70, 50, 80, 65, 55, 75, 85, 90, 95, 100]
    for length in lengths:
        rig.offer(blurred(rig.image, length), length)
    assert rig.kept[0] == 50
    assert rig.dropped[: PATIENCE_NS // STEP_NS] == [70, 80, 65, 55, 75, 85, 90]


def test_a_wall_without_texture_is_taken_after_a_while_and_soon_is_usual():
    rig = Rig()
    wall = cv2.GaussianBlur(rig.image, (101, 101), 30)
    for index in range(200):
        rig.offer(wall, index)
    gaps = np.diff(rig.kept)
    assert gaps[0] == pytest.approx(PATIENCE_NS / STEP_NS, abs=2) and (gaps[-50:] == 1).all()


def test_time_that_jumps_back_ends_the_wait():
    rig = Rig()
    rig.offer(blurred(rig.image, 40), 'before')
    rig.offer(blurred(rig.image, 50), 'after', step_ns=-(10**9))
    assert rig.kept == ['before']
