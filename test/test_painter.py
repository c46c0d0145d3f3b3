"""Views in pieces: together they are the view, and no piece takes long."""
import time
import types

import numpy as np
import pytest

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.outputs.progressive_renderer import AT_ONCE, Painter

POSE = np.eye(4)
PIXEL = 2e-6  # seconds


class Scene:
    """Shows where each pixel looks, as slowly as a real one."""

    def __init__(self):
        self.seconds = []

    def render(self, camera, T_map_camera, rows):
        """Return the directions of some rows as a view."""
        directions = camera.directions().reshape(camera.height, camera.width, 3)[rows]
        self.seconds.append(PIXEL * directions[..., 0].size)
        time.sleep(self.seconds[-1])
        return types.SimpleNamespace(
            color=(127 * directions + 128).astype(np.uint8), depth=directions[..., 0])


def camera_of(width, height):
    return Camera(width, height, 0.7 * width, 0.7 * width, (width - 1) / 2, (height - 1) / 2)


def whole(camera):
    """Return the view in one piece."""
    return Scene().render(camera, POSE, slice(None))


def test_what_takes_no_longer_than_the_deadline_comes_at_once():
    camera = camera_of(64, 48)
    (picture,) = Painter().paint(Scene(), camera, POSE, 0.001)
    assert camera.width * camera.height <= AT_ONCE
    np.testing.assert_array_equal(picture.depth, whole(camera).depth)


@pytest.mark.parametrize('size', [(320, 240), (321, 243), (1280, 720)])
def test_a_large_view_comes_coarse_first_and_is_whole_in_the_end(size):
    camera, scene, painter = camera_of(*size), Scene(), Painter()
    for _ in range(3):  # the pace is known then
        pictures = list(painter.paint(scene, camera, POSE, 0.05))
    coarse, *waits, fine = pictures
    assert all(wait is None for wait in waits) and len(waits) >= (len(pictures) > 2)
    view = whole(camera)
    np.testing.assert_array_equal(fine.color, view.color)
    np.testing.assert_array_equal(fine.depth, view.depth)
    assert coarse.depth.shape == view.depth.shape and coarse.color.shape == view.color.shape
    assert coarse.depth.dtype == view.depth.dtype
    # The same view, in larger pixels.
    assert np.abs(coarse.depth - view.depth).max() < 10 * np.abs(np.diff(view.depth)).max()
    assert np.abs(coarse.depth - view.depth).mean() > 0


def test_no_piece_takes_longer_than_the_deadline():
    scene, painter = Scene(), Painter()
    for _ in range(5):
        list(painter.paint(scene, camera_of(1280, 720), POSE, 0.1))
    assert max(scene.seconds[-10:]) < 0.11
