"""ProgressiveRenderer: the strips form the whole view, and none of them takes long."""
import time
import types

import numpy as np
import pytest

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.outputs.progressive_renderer import (
    MIN_PIXELS,
    ProgressiveRenderer,
    enlarged,
)

POSE = np.eye(4)
PIXEL_TIME = 2e-6  # s


class Scene:
    """Renders the direction of each pixel, as slowly as a real mapper."""

    def __init__(self):
        self.durations = []

    def render(self, camera, T_map_camera, rows):
        """Return the directions of the rows as a view."""
        directions = camera.directions().reshape(camera.height, camera.width, 3)[rows]
        self.durations.append(PIXEL_TIME * directions[..., 0].size)
        time.sleep(self.durations[-1])
        return types.SimpleNamespace(
            color=(127 * directions + 128).astype(np.uint8), depth=directions[..., 0])


def camera_of(width, height):
    return Camera(width, height, 0.7 * width, 0.7 * width, (width - 1) / 2, (height - 1) / 2)


def whole(camera):
    """Return the view rendered at once."""
    return Scene().render(camera, POSE, slice(None))


def test_a_view_that_takes_no_longer_than_the_deadline_is_rendered_at_once():
    camera = camera_of(48, 36)
    (view,) = ProgressiveRenderer().render(Scene(), camera, POSE, 0.001)
    assert camera.width * camera.height <= MIN_PIXELS
    np.testing.assert_array_equal(view.depth, whole(camera).depth)
    assert view.camera == camera and enlarged(view, camera) is view


@pytest.mark.parametrize('size', [(320, 240), (321, 243), (1280, 720)])
def test_a_large_view_is_coarse_first_and_complete_in_the_end(size):
    camera, scene, renderer = camera_of(*size), Scene(), ProgressiveRenderer()
    for _ in range(3):  # then the time per pixel is known
        views = list(renderer.render(scene, camera, POSE, 0.05))
    coarse, *strips, fine = views
    assert all(strip is None for strip in strips) and len(strips) >= (len(views) > 2)
    view = whole(camera)
    np.testing.assert_array_equal(fine.color, view.color)
    np.testing.assert_array_equal(fine.depth, view.depth)
    assert fine.camera == camera and coarse.camera.width < camera.width
    assert coarse.depth.shape == (coarse.camera.height, coarse.camera.width)
    coarse = enlarged(coarse, camera)
    assert coarse.camera == camera
    assert coarse.depth.shape == view.depth.shape and coarse.color.shape == view.color.shape
    assert coarse.depth.dtype == view.depth.dtype
    # The same view, in larger pixels.
    assert np.abs(coarse.depth - view.depth).max() < 10 * np.abs(np.diff(view.depth)).max()
    assert np.abs(coarse.depth - view.depth).mean() > 0


def test_no_strip_takes_longer_than_the_deadline():
    scene, renderer = Scene(), ProgressiveRenderer()
    for _ in range(5):
        list(renderer.render(scene, camera_of(1280, 720), POSE, 0.1))
    assert max(scene.durations[-10:]) < 0.11
