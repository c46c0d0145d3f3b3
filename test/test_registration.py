"""Registration of the depth of another camera: closed forms."""
import cv2
import numpy as np
import pytest

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.inputs.registration import register

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
PLUMB = Camera(64, 48, 50.0, 50.0, 31.5, 23.5, 'plumb_bob', (-0.3, 0.1, 0.001, -0.002, 0.0))
BARREL = Camera(64, 48, 70.0, 70.0, 31.5, 23.5, 'plumb_bob', (-0.3, 0.0, 0.0, 0.0, 0.0))
FISHEYE = Camera(64, 48, 30.0, 30.0, 31.5, 23.5, 'equidistant', (0.1, -0.02, 0.003, 0.0))


def translation(x=0.0, z=0.0):
    """Return a translation (4, 4) along the axes of a camera."""
    T = np.eye(4)
    T[0, 3], T[2, 3] = x, z
    return T


@pytest.mark.parametrize('camera', [CAMERA, PLUMB, FISHEYE])
def test_projection_is_the_inverse_of_the_rays(camera):
    rays = camera.directions().astype(np.float64) * 3.0
    columns, rows = np.meshgrid(np.arange(64), np.arange(48))
    expected = np.stack([columns.ravel(), rows.ravel()], axis=-1)
    np.testing.assert_allclose(camera.project(rays), expected, atol=0.02)


def test_points_outside_the_image_are_not_projected_into_it():
    """The polynomial of a barrel distortion returns to the image far outside."""
    outside = np.array([[x, 0.0, 1.0] for x in np.linspace(1.5, 20.0, 200)])
    coefficients = np.array(BARREL.distortion)
    matrix = np.array([[70.0, 0.0, 31.5], [0.0, 70.0, 23.5], [0.0, 0.0, 1.0]])
    unchecked, _ = cv2.projectPoints(outside, np.zeros(3), np.zeros(3), matrix, coefficients)
    assert ((unchecked[:, 0, 0] > 0) & (unchecked[:, 0, 0] < 64)).any()  # otherwise it does
    pixels = BARREL.project(outside)
    assert not ((pixels[:, 0] >= 0) & (pixels[:, 0] < 64)).any()


def test_the_same_camera_gives_the_same_depth_with_its_gaps():
    depth = np.linspace(1.0, 4.0, 64 * 48, dtype=np.float32).reshape(48, 64)
    depth[10:20, 5:9] = np.nan
    depth[30, 30] = 0.0
    registered = register(depth, CAMERA, np.eye(4), CAMERA)
    expected = np.where(depth > 0, depth, np.nan)
    np.testing.assert_allclose(registered, expected, rtol=1e-6)


def test_a_wall_seen_from_the_side_shifts_by_the_parallax_and_keeps_its_depth():
    depth = np.full((48, 64), 2.0, np.float32)
    depth[:, 32:] = 5.0
    registered = register(depth, CAMERA, translation(x=0.2), CAMERA)  # from its right
    # 0.2 m at 2 m are 5 pixels. Where both halves are projected, the near one is visible.
    assert (registered[:, 5:37] == 2.0).all()
    assert (registered[:, 37:] == 5.0).all()
    assert np.isnan(registered[:, :5]).all()


def test_depth_is_along_the_axis_of_the_image():
    registered = register(np.full((48, 64), 2.0, np.float32), CAMERA, translation(z=0.5), CAMERA)
    assert np.nanmin(registered) == np.nanmax(registered) == 2.5


def test_a_coarse_depth_covers_a_fine_image_without_holes():
    fine = CAMERA.scaled(128, 96)
    registered = register(np.full((48, 64), 2.0, np.float32), CAMERA, np.eye(4), fine)
    assert (registered[2:-2, 2:-2] == 2.0).all()


def test_nothing_behind_the_camera_is_projected():
    registered = register(np.full((48, 64), 2.0, np.float32), CAMERA, translation(z=-3.0), CAMERA)
    assert np.isnan(registered).all()


def test_depth_of_a_fisheye_lens_is_along_the_ray_behind_the_camera():
    wide = Camera(101, 101, 25.0, 25.0, 50.0, 50.0, 'equidistant', (0.0,) * 4)
    z = wide.directions()[:, 2].reshape(101, 101)
    sphere = np.where(z > 0, 2 * z, 2.0).astype(np.float32)  # 2 m away, in all directions
    registered = register(sphere, wide, np.eye(4), wide)
    inside = wide.has_rays().reshape(101, 101)
    assert (z[inside] < -0.5).any()
    np.testing.assert_allclose(registered[inside], sphere[inside], atol=1e-4)
