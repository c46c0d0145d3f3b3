"""Scene bounds: they enclose what is seen, and are proportional to the unit of the poses."""
import dataclasses

import numpy as np
import pytest
from randomness import generator
from scenes import BALL, RADIUS, look_at, poses, view
from test_alpha import CAMERA as BALL_CAMERA
from test_alpha import DISTANCE, ball_views
from test_plane_sweep import CAMERA, NORMAL, POINT, pose, render_plane

from instant_nerf_ros.nerf import Camera, Config, replace, scene_bounds
from instant_nerf_ros.nerf.bounds import USUAL_DISTANCE
from instant_nerf_ros.nerf.motion.sparse_points import sparse_points
from instant_nerf_ros.nerf.visual_hull import visual_hull

ROOM_CAMERA = Camera(64, 48, 48.0, 48.0, 31.5, 23.5)
ROOM = poses(12)
PLANE = [pose(0.1 * x, 0.08 * y, 0.0, 0.03 * x) for x in range(-2, 3) for y in range(-1, 2)]


def plane_images():
    """Return color images of the textured plane."""
    return [np.repeat(render_plane(T)[0][..., None], 3, axis=-1) for T in PLANE]


def scaled(T_world_cameras, scale):
    """Return poses with all translations multiplied."""
    return [np.block([[T[:3, :3], scale * T[:3, 3:]], [T[3:]]]) for T in T_world_cameras]


def of_features(scale):
    return scene_bounds(plane_images(), [CAMERA] * len(PLANE), scaled(PLANE, scale))


def of_depth(scale):
    images, depths = zip(*(view(ROOM_CAMERA, T) for T in ROOM))
    return scene_bounds(
        images, [ROOM_CAMERA] * 12, scaled(ROOM, scale), [scale * depth for depth in depths])


def of_alpha(scale):
    images, alphas, T_world_cameras = zip(*ball_views(16))
    return scene_bounds(
        images, [BALL_CAMERA] * 16, scaled(T_world_cameras, scale), alphas=alphas)


def of_cameras(scale):
    blank = np.zeros((48, 64, 3), np.uint8)
    return scene_bounds([blank] * 12, [ROOM_CAMERA] * 12, scaled(ROOM, scale))


@pytest.mark.parametrize('bounds_of', [of_features, of_depth, of_alpha, of_cameras])
@pytest.mark.parametrize('scale', [0.01, 3.7])
def test_all_lengths_are_proportional_to_the_scale_of_the_poses(bounds_of, scale):
    one, other = bounds_of(1.0), bounds_of(scale)
    expected, actual = (dataclasses.asdict(bounds) for bounds in (one.scaled(scale), other))
    for name, value in expected.items():
        assert actual[name] == pytest.approx(value, rel=1e-3), name
    assert other.scale() * scale == pytest.approx(one.scale(), rel=1e-3)
    assert other.scaled(other.scale()).distance == pytest.approx(USUAL_DISTANCE)


def test_what_walls_hide_from_a_camera_is_not_what_it_sees():
    depth, views = np.full((48, 64), 3.0, np.float32), [np.eye(4) for _ in range(4)]
    for number, T in enumerate(views):
        T[2, 3] = 200.0 * number  # rooms, one behind the other
    image = np.zeros((48, 64, 3), np.uint8)
    rooms, room = (
        scene_bounds([image] * count, [ROOM_CAMERA] * count, views[:count], [depth] * count)
        for count in (4, 1))
    assert (rooms.near, rooms.far, rooms.distance, rooms.pixel) == pytest.approx(
        (room.near, room.far, room.distance, room.pixel), rel=1e-3)


def test_all_that_depth_images_measure_is_between_near_and_far():
    bounds = of_depth(1.0)
    assert not bounds.bounded
    for T in ROOM:
        depth = view(ROOM_CAMERA, T)[1]
        distances = depth.ravel() / ROOM_CAMERA.directions()[:, 2]
        assert bounds.near < distances.min() and distances.max() < bounds.far
    assert bounds.pixel == pytest.approx(bounds.distance / 48, rel=0.2)


def test_an_object_with_alpha_is_between_near_and_far_closely():
    bounds = of_alpha(1.0)
    assert bounds.bounded
    assert DISTANCE - RADIUS - 0.15 < bounds.near <= DISTANCE - RADIUS
    assert DISTANCE + RADIUS <= bounds.far < DISTANCE + RADIUS + 0.25


def test_the_visual_hull_is_the_object_within_a_cell_or_two():
    _, alphas, T_world_cameras = zip(*ball_views(32))
    hull = visual_hull(alphas, [BALL_CAMERA] * 32, np.array(T_world_cameras))
    distances = np.linalg.norm(hull - BALL, axis=-1)
    # Silhouettes from around leave cones above and below.
    assert np.percentile(distances, 90) < 1.3 * RADIUS
    for axis in range(3):
        assert hull[:, axis].min() <= BALL[axis] - 0.97 * RADIUS
        assert hull[:, axis].max() >= BALL[axis] + 0.97 * RADIUS


def test_sparse_points_lie_on_the_surface_that_images_share():
    points = sparse_points(plane_images(), [CAMERA] * len(PLANE), PLANE)
    assert len(points) > 200
    assert np.median(np.abs((points - POINT) @ NORMAL)) < 0.01


def test_points_that_are_given_replace_features():
    points = np.array([5.0, 0.0, 0.0]) + generator().uniform(-1, 1, (500, 3))
    T = [look_at([0.0, 0.1 * k, 0.0], [5.0, 0.0, 0.0]) for k in range(4)]
    bounds = scene_bounds([np.zeros((48, 64, 3), np.uint8)] * 4, [ROOM_CAMERA] * 4, T,
                          points=points)
    assert 1.5 < bounds.near < 4 and 6 < bounds.far < 14 and 4.5 < bounds.distance < 5.5


@pytest.mark.parametrize('bounds_of', [of_features, of_depth, of_alpha, of_cameras])
@pytest.mark.parametrize('scale', [1e-6, 1.0, 1e5])
def test_settings_are_in_the_ranges_of_a_config_whatever_the_scale(bounds_of, scale):
    bounds = bounds_of(1.0).scaled(scale)
    replace(Config(), bounds.settings())
    usual = bounds.scaled(bounds.scale())
    replaced = replace(Config(), usual.settings())
    assert replaced.sampling.near == pytest.approx(usual.near)
    assert replaced.sampling.far == pytest.approx(usual.far)


def test_a_horizon_makes_the_voxels_coarse_and_no_grid_too_large():
    bounds = of_features(1.0)
    distant = dataclasses.replace(bounds, far=90 * bounds.distance,
                                  reach=(90 * bounds.distance,) * 3)
    usual = distant.scaled(distant.scale())
    config = replace(Config(), usual.settings())
    assert config.sampling.far == pytest.approx(usual.far)
    assert config.occupancy.voxel_size > usual.distance / 48


def test_without_an_image_nothing_is_known():
    with pytest.raises(ValueError, match='no image'):
        scene_bounds([], [], [])
