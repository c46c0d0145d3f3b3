"""Render: an analytic scene looks as its closed form says."""
import numpy as np
import pytest
import torch
from scenes import BALL, CAMERA, HIGH, LOW, RADIUS, look_at, paint, view

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.config import OccupancyConfig, SamplingConfig
from instant_nerf_ros.nerf.constants import EMPTY, SOLID
from instant_nerf_ros.nerf.field.render import render_view
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

POSE = look_at([-1.2, -0.4, 1.3], [1.0, 0.3, 0.8])
FISHEYE = Camera(40, 56, 20.0, 22.0, 19.0, 28.0, 'equidistant', (0.05, 0.0, 0.0, 0.0))
SAMPLING = SamplingConfig(near=0.05, far=10.0, min_step=0.01, cone=0.0)


@pytest.fixture
def backend():
    return backends.select('reference')  # that the others show the same: test_lesson


def scene(samples, directions, visible):
    """Answer as the Field does: dense behind the surfaces, painted as they are."""
    points = samples.positions.numpy().astype(float)
    in_room = ((points > LOW) & (points < HIGH)).all(-1)
    solid = ~in_room | (np.linalg.norm(points - BALL, axis=-1) < RADIUS)
    return (torch.from_numpy(np.where(solid, 2e4, 0.0).astype(np.float32)),
            torch.from_numpy(paint(points).astype(np.float32)))  # fmt: skip


def fog(density):
    def field(samples, directions, visible):
        count = len(samples)
        return torch.full((count,), density), torch.tensor([1.0, 0.5, 0.0]).repeat(count, 1)
    return field


def solid_grid(backend):
    occupancy = OccupancyGrid(
        OccupancyConfig(voxel_size=0.1, length=6.0, width=6.0, height=6.0), [0, 0, 1], backend)
    occupancy.density_state.fill_(SOLID)
    return occupancy


@pytest.mark.parametrize('camera', [CAMERA, FISHEYE])
def test_a_view_is_the_closed_form(backend, camera):
    image, depth = view(camera, POSE)
    seen = render_view(scene, solid_grid(backend), camera, POSE, SAMPLING, backend, 1.0)
    assert seen.color.shape == image.shape and seen.color.dtype == np.uint8
    assert seen.depth.dtype == seen.opacity.dtype == np.float32
    # A sample is a centimetre long, and more along the axis where a wall is grazed.
    error = np.abs(seen.depth - depth)
    assert np.median(error) < 0.01 and np.quantile(error, 0.97) < 0.03
    np.testing.assert_allclose(seen.opacity, 1.0, atol=1e-3)
    color_error = np.abs(seen.color.astype(int) - image)
    assert np.median(color_error) <= 3 and np.quantile(color_error, 0.95) <= 12


def test_fog_has_the_opacity_of_its_length(backend):
    # The grid ends where the ray does: 2 m of fog of 0.25 per metre, seen over black.
    config = SamplingConfig(near=1.0, far=3.0, min_step=0.01, cone=0.0)
    seen = render_view(fog(0.25), solid_grid(backend), CAMERA, POSE, config, backend, 1.0)
    inside = seen.opacity[20:28, 28:36]
    np.testing.assert_allclose(inside, 1 - np.exp(-0.25 * 2), atol=2e-3)
    np.testing.assert_allclose(
        seen.color[24, 32] / 255, inside[4, 4] * np.array([1, 0.5, 0]), atol=4e-3)
    assert np.isnan(seen.depth).all()  # less than half of the light
    thick = render_view(fog(1.0), solid_grid(backend), CAMERA, POSE, config, backend, 1.0)
    along = 1 + np.log(2)  # where half of it is absorbed, along the ray
    expected = along * CAMERA.directions().reshape(48, 64, 3)[20:28, 28:36, 2]
    np.testing.assert_allclose(thick.depth[20:28, 28:36], expected, atol=0.02)


def test_where_nothing_is_it_is_black_transparent_and_without_depth(backend):
    grids = solid_grid(backend), solid_grid(backend), solid_grid(backend)
    grids[1].density_state.fill_(EMPTY)
    grids[2].density_state.zero_()  # never visited: what the field dreams there is not shown
    for grid, field in zip(grids, (fog(0.0), fog(1e4), fog(1e4))):
        seen = render_view(field, grid, CAMERA, POSE, SAMPLING, backend, 1.0)
        assert not seen.color.any() and not seen.opacity.any() and np.isnan(seen.depth).all()


def test_a_view_from_outside_of_the_grid_sees_into_it(backend):
    outside = look_at([-6.0, 0.0, 1.0], [0.0, 0.0, 1.0])
    seen = render_view(fog(1e4), solid_grid(backend), CAMERA, outside, SAMPLING, backend, 1.0)
    assert seen.depth[24, 32] == pytest.approx(3.0, abs=0.02)  # its face is at x = -3
    away = look_at([-6.0, 0.0, 1.0], [-9.0, 0.0, 1.0])
    assert not render_view(
        fog(1e4), solid_grid(backend), CAMERA, away, SAMPLING, backend, 1.0).opacity.any()


def test_large_views_have_no_seams_where_their_parts_meet(backend):
    large, small = (
        render_view(fog(0.3), solid_grid(backend), CAMERA.scaled(*size), POSE, SAMPLING, backend,
               1.0).opacity for size in ((96, 72), (32, 24)))  # fmt: skip
    assert (large > 0.2).all()
    np.testing.assert_allclose(large.reshape(24, 3, 32, 3).mean((1, 3)), small, atol=0.01)
