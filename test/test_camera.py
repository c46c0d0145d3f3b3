"""Camera: directions of pixels, checked with the projection of OpenCV."""
import dataclasses
import math

import cv2
import numpy as np
import pytest

from instant_nerf_ros.nerf.camera import Camera

PINHOLE = Camera(64, 48, 50.0, 52.0, 30.0, 25.0)
MODELS = {
    'none': (),
    'plumb_bob': (-0.2, 0.06, 0.002, -0.001, 0.01),
    'rational_polynomial': (0.3, -0.1, 0.001, -0.002, 0.02, 0.5, -0.05, 0.01),
    'equidistant': (0.05, -0.01, 0.004, -0.001),
}


def camera_of(model):
    return dataclasses.replace(PINHOLE, distortion_model=model, distortion=MODELS[model])


@pytest.mark.parametrize('model', MODELS)
def test_the_principal_point_is_on_the_optical_axis(model):
    directions = camera_of(model).directions().reshape(48, 64, 3)
    np.testing.assert_allclose(directions[25, 30], [0, 0, 1], atol=1e-6)


@pytest.mark.parametrize('model', MODELS)
def test_directions_are_unit_vectors_with_x_to_the_right_and_y_down(model):
    directions = camera_of(model).directions()
    assert directions.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1, rtol=1e-6)
    image_plane = (directions / directions[:, 2:]).reshape(48, 64, 3)
    assert (np.diff(image_plane[..., 0], axis=1) > 0).all()
    assert (np.diff(image_plane[..., 1], axis=0) > 0).all()


def test_directions_of_a_pinhole_camera_in_closed_form():
    column, row = 7, 41
    direction = PINHOLE.directions()[row * 64 + column].astype(float)
    np.testing.assert_allclose(
        direction / direction[2], [(column - 30) / 50, (row - 25) / 52, 1], rtol=1e-6)


@pytest.mark.parametrize('camera', [
    *map(camera_of, MODELS),
    # The camera of the EuRoC MAV data set, one with strong barrel distortion, an Azure Kinect.
    Camera(752, 480, 458.6, 457.3, 367.2, 248.4, 'plumb_bob',
           (-0.28340811, 0.07395907, 0.00019359, 1.76187e-05)),
    Camera(640, 480, 380.0, 380.0, 320.0, 240.0, 'plumb_bob', (-0.3, 0.09, 0.0, 0.0, -0.01)),
    Camera(640, 576, 504.0, 504.0, 326.0, 332.0, 'rational_polynomial',
           (4.6, 3.0, 2e-05, 8e-05, 0.155, 4.94, 4.46, 0.81)),
], ids=lambda camera: f'{camera.distortion_model}-{camera.width}')  # fmt: skip
def test_directions_project_back_to_their_pixels(camera):
    points = camera.directions().astype(float)[:, None] * 3.0
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    project = cv2.fisheye.projectPoints if camera.distortion_model == 'equidistant' else (
        cv2.projectPoints)
    pixels, _ = project(points, np.zeros(3), np.zeros(3), matrix, np.array(camera.distortion))
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    expected = np.stack([column.ravel(), row.ravel()], axis=-1)
    np.testing.assert_allclose(pixels[:, 0], expected, atol=0.01)


def test_plumb_bob_with_four_coefficients_has_zero_for_the_fifth():
    four = dataclasses.replace(
        PINHOLE, distortion_model='plumb_bob', distortion=(-0.2, 0.06, 0.002, -0.001))
    five = dataclasses.replace(four, distortion=(*four.distortion, 0.0))
    np.testing.assert_array_equal(four.directions(), five.directions())


@pytest.mark.parametrize('model', ['plumb_bob', 'rational_polynomial'])
def test_zero_coefficients_are_a_pinhole_camera(model):
    zeros = (0.0,) * len(MODELS[model])
    camera = dataclasses.replace(PINHOLE, distortion_model=model, distortion=zeros)
    np.testing.assert_allclose(camera.directions(), PINHOLE.directions(), atol=1e-6)


def test_equidistant_without_coefficients_has_angles_proportional_to_the_radius():
    camera = Camera(101, 101, 40.0, 40.0, 50.0, 50.0, 'equidistant', (0.0,) * 4)
    along_row = camera.directions().reshape(101, 101, 3)[50]
    angles = np.arctan2(along_row[:, 0], along_row[:, 2])
    np.testing.assert_allclose(angles, (np.arange(101) - 50) / 40, atol=1e-5)


@pytest.mark.parametrize('width, height', [(32, 24), (128, 96), (64, 96)])
def test_scaled_keeps_the_field_of_view(width, height):
    scaled = PINHOLE.scaled(width, height)

    def edges(camera):
        # The image extends half a pixel beyond the centers of its first and last pixels.
        return [(-0.5 - camera.cx) / camera.fx, (camera.width - 0.5 - camera.cx) / camera.fx,
                (-0.5 - camera.cy) / camera.fy, (camera.height - 0.5 - camera.cy) / camera.fy]

    assert (scaled.width, scaled.height) == (width, height)
    np.testing.assert_allclose(edges(scaled), edges(PINHOLE), rtol=1e-12)


def test_scaling_back_gives_the_same_camera():
    camera = camera_of('plumb_bob')
    again = camera.scaled(640, 480).scaled(64, 48)
    assert again.distortion == camera.distortion
    np.testing.assert_allclose(again.directions(), camera.directions(), atol=1e-6)


def test_equal_cameras_have_equal_hashes_and_directions_are_read_only():
    assert hash(PINHOLE) == hash(dataclasses.replace(PINHOLE))
    with pytest.raises(ValueError, match='read-only'):
        PINHOLE.directions()[0] = 0


@pytest.mark.parametrize('change, message', [
    ({'width': 0}, 'size'),
    ({'height': -1}, 'size'),
    ({'fx': 0.0}, 'not calibrated'),
    ({'fy': -50.0}, 'not calibrated'),
    ({'cx': math.nan}, 'finite'),
    ({'fx': math.inf}, 'finite'),
    ({'distortion_model': 'thin_prism'}, 'thin_prism'),
    ({'distortion_model': 'plumb_bob', 'distortion': (0.1, 0.2)}, 'plumb_bob'),
    ({'distortion_model': 'equidistant', 'distortion': (0.1, 0.0, math.nan, 0.0)}, 'finite'),
    ({'distortion': (0.1,)}, 'none'),
])
def test_invalid_intrinsics_raise_an_error_with_the_reason(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PINHOLE, **change)


# A stereo fisheye camera of 163 degrees; a quarter of its pixels is beside or behind it.
FISHEYE = Camera(
    848, 800, 286.0, 286.0, 421.0, 397.0, 'equidistant', (-0.0057, 0.0415, -0.0389, 0.0064))


def test_fisheye_rays_reach_behind_the_camera():
    directions = FISHEYE.directions().astype(float)
    angles = np.arccos(directions[:, 2].clip(-1, 1))
    squares = angles**2
    k1, k2, k3, k4 = FISHEYE.distortion
    radii = angles * (1 + squares * (k1 + squares * (k2 + squares * (k3 + squares * k4))))
    column, row = np.meshgrid(np.arange(848), np.arange(800))
    plane = np.stack([(column.ravel() - 421) / 286, (row.ravel() - 397) / 286], axis=-1)
    np.testing.assert_allclose(radii, np.linalg.norm(plane, axis=-1), atol=1e-4)
    assert 0.15 < (directions[:, 2] < 0).mean() < 0.3
    # Rays point to the side of the image on which their pixel is: none is mirrored.
    assert (directions[:, :2] * plane).sum(-1).min() >= 0
    assert FISHEYE.has_rays().all() and FISHEYE.nearest() is None


def test_fisheye_rays_project_back_to_their_pixels():
    points = FISHEYE.directions().astype(float) * 3.0
    column, row = np.meshgrid(np.arange(848), np.arange(800))
    expected = np.stack([column.ravel(), row.ravel()], axis=-1)
    np.testing.assert_allclose(FISHEYE.project(points), expected, atol=0.01)


def test_pixels_outside_the_circle_of_a_fisheye_image_have_no_ray():
    """Without coefficients, the circle of 180 degrees off axis has a radius of 10 pi pixels."""
    camera = Camera(81, 81, 10.0, 10.0, 40.0, 40.0, 'equidistant', (0.0,) * 4)
    column, row = np.meshgrid(np.arange(81), np.arange(81))
    radius = np.hypot(column - 40, row - 40).ravel()
    np.testing.assert_array_equal(camera.has_rays(), radius <= 10 * np.pi)
    assert np.isfinite(camera.directions()).all()  # those of the nearest pixel in the circle
    image = radius.reshape(81, 81)
    assert camera.filled(image).max() <= 10 * np.pi
    np.testing.assert_array_equal(camera.filled(image)[40, 10:70], image[40, 10:70])


def test_a_fisheye_polynomial_ends_where_it_decreases():
    """With k1 = -0.1, the radius is largest at an angle of 1 / sqrt(0.3)."""
    camera = Camera(201, 201, 50.0, 50.0, 100.0, 100.0, 'equidistant', (-0.1, 0.0, 0.0, 0.0))
    end = 1 / np.sqrt(0.3)
    reach = end * (1 - 0.1 * end**2) * 50
    column, row = np.meshgrid(np.arange(201), np.arange(201))
    radius = np.hypot(column - 100, row - 100).ravel()
    has_rays = camera.has_rays()
    assert has_rays[radius < reach - 0.1].all() and not has_rays[radius > reach + 0.1].any()
    assert np.isnan(camera.project(np.array([[0.0, 1.0, -0.5]]))).all()  # beyond the end


def test_pixels_that_a_barrel_distortion_does_not_reach_have_no_ray():
    """With k1 = -0.3, the largest radius is 0.703 focal lengths."""
    camera = Camera(101, 101, 50.0, 50.0, 50.0, 50.0, 'plumb_bob', (-0.3, 0.0, 0.0, 0.0, 0.0))
    column, row = np.meshgrid(np.arange(101), np.arange(101))
    radius = np.hypot(column - 50, row - 50).ravel() / 50
    assert camera.has_rays()[radius < 0.68].all()
    assert not camera.has_rays()[radius > 0.75].any()


@pytest.mark.parametrize('further', [
    (0.01, -0.02, 0.005, 0.003), (0.01, -0.02, 0.005, 0.003, 0.02, -0.01)])
def test_rational_polynomials_with_12_and_14_coefficients(further):
    coefficients = MODELS['rational_polynomial'] + further
    camera = dataclasses.replace(
        PINHOLE, distortion_model='rational_polynomial', distortion=coefficients)
    points = camera.directions().astype(float)[:, None]
    pixels, _ = cv2.projectPoints(
        points, np.zeros(3), np.zeros(3), camera.matrix(), np.array(coefficients))
    column, row = np.meshgrid(np.arange(64), np.arange(48))
    np.testing.assert_allclose(
        pixels[:, 0], np.stack([column.ravel(), row.ravel()], axis=-1), atol=0.01)
    without = dataclasses.replace(camera, distortion=MODELS['rational_polynomial'])
    assert np.abs(camera.directions() - without.directions()).max() > 1e-3
