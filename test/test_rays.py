"""Rays: a pixel, its colour and its depth end up on one line in the world."""
import copy
import dataclasses

import numpy as np
import pytest
import torch
from randomness import floats, generator
from scenes import CAMERA, distances, look_at, view

from instant_nerf_ros.nerf import backends, constants
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture import batches, error_map
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.ranges import Ranges, point_rays
from instant_nerf_ros.nerf.capture.rays import NO_COLOR, camera_rays, image_rays
from instant_nerf_ros.nerf.config import KeyframeConfig

FISHEYE = Camera(40, 56, 20.0, 22.0, 19.0, 28.0, 'equidistant', (0.05, 0.0, 0.0, 0.0))
POSES = [look_at([-1.0, 0.3, 1.2], [1.0, 0.0, 0.8]), look_at([0.9, -1.0, 0.4], [0.5, 1.0, 1.5])]


def coordinates(camera):
    """Return an image whose colour is column, row, and the width of the camera."""
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return np.stack([columns, rows, np.full_like(rows, camera.width)], -1).astype(np.uint8)


ERROR_SHARE = 0.5


@pytest.fixture(params=['reference', 'cpu'])
def engine(request):
    return backends.select(request.param)


@pytest.fixture
def sample_rays(engine):
    """Return a function that draws rays as the backend does."""
    return lambda keyframes, *how: batches.sample_batch(keyframes, (), (), engine, *how)


@pytest.fixture
def keyframes():
    """Return a store with a pinhole and a fisheye that see the scene."""
    store = Keyframes(KeyframeConfig(budget_mb=16))
    for camera, T_world_camera in zip((CAMERA, FISHEYE), POSES):
        store.add(coordinates(camera), camera, T_world_camera, view(camera, T_world_camera)[1])
    return store


def test_every_ray_has_origin_direction_and_surface_of_its_pixel(sample_rays, keyframes):
    rays, sources = sample_rays(keyframes, 4000, generator(), ERROR_SHARE)
    assert len(rays) == 4000
    column, row, width = rays.pixels.numpy().astype(int).T
    assert (sources.pixels == rays.pixels.numpy()).all()
    for camera, T_world_camera in zip((CAMERA, FISHEYE), POSES):
        own = width == camera.width
        assert own.sum() > 1000
        np.testing.assert_allclose(rays.origins[own], np.broadcast_to(
            T_world_camera[:3, 3], (own.sum(), 3)), atol=1e-6)
        in_camera = camera.directions()[row[own] * camera.width + column[own]]
        expected = in_camera @ T_world_camera[:3, :3].T
        np.testing.assert_allclose(rays.directions[own], expected, atol=1e-6)
        # Along the ray it is farther than along the axis: the point is on the surface.
        origins = np.broadcast_to(T_world_camera[:3, 3], expected.shape)
        along = distances(origins, expected)
        oblique = in_camera[:, 2].min()
        np.testing.assert_allclose(rays.surfaces[own], along, atol=1e-3 / oblique)
        assert oblique < 0.8  # or the test above would say little


def test_all_pixels_are_drawn(sample_rays, keyframes):
    rays, _ = sample_rays(keyframes, 100_000, generator(), ERROR_SHARE)
    column, row, width = rays.pixels.numpy().astype(int).T
    for camera in (CAMERA, FISHEYE):
        own = width == camera.width
        counts = np.zeros((camera.height, camera.width))
        np.add.at(counts, (row[own], column[own]), 1)
        assert (counts > 0).all() and counts.max() < 5 * counts.mean()


def stored(count, distance):
    """Return Ranges with rays of one length."""
    store = Ranges()
    store.add(along_x(distance, count), 1, generator())
    return store


def along_x(distance, count):
    """Return Rays from the origin to points on the x axis."""
    return point_rays(np.zeros((count, 3)), np.tile([distance, 0.0, 0.0], (count, 1)), generator())


@pytest.mark.parametrize('enough', [1.0, 2.0, 0.1])
def test_measured_rays_are_half_and_guessed_ones_as_many_as_there_are(keyframes, enough):
    engine = backends.select('cpu')
    measured = stored(3, 1.0)
    guessed = stored(int(enough * batches.PSEUDO_DEPTH_RAYS * len(keyframes)), 2.0)

    def shares(*stores):
        rays, sources = batches.sample_batch(
            keyframes, *stores, engine, 1200, generator(), ERROR_SHARE)
        count = len(sources.keyframes)
        assert len(rays) == 1200 and (rays.pixels[:count] != NO_COLOR).all()
        assert (rays.pixels[count:] == NO_COLOR).all()
        return [count, *((rays.surfaces[count:] == length).sum() for length in (1.0, 2.0))]

    third = min(enough, 1.0) / batches.PSEUDO_DEPTH_EVERY
    assert shares(measured, ()) == [600, 600, 0]
    assert shares((), guessed) == [1200 - int(1200 * third), 0, int(1200 * third)]
    assert shares(measured, guessed) == [600 - int(600 * third), 600, int(600 * third)]


def test_guesses_of_a_keyframe_have_their_say_while_it_is_learnt(keyframes):
    first, second = keyframes.ids[:2]
    guessed = Ranges()
    for number, length in ((first, 1.0), (second, 2.0), (99, 3.0)):  # 99 had to make room
        guessed.add(along_x(length, 3000), number, generator())
    third = 1200 // batches.PSEUDO_DEPTH_EVERY
    for ray_counts, expected in (
            ((0, 0), (third / 3, third / 3)), ((batches.PSEUDO_DEPTH_UNTIL, 0), (0, third / 3)),
            ((0, batches.PSEUDO_DEPTH_UNTIL - 1), (third / 3, third / 3)),
            ((batches.PSEUDO_DEPTH_UNTIL, 9e9), (0, 0))):
        keyframes.ray_counts[:2] = ray_counts
        rays, sources = batches.sample_batch(
            keyframes, (), guessed, backends.select('cpu'), 1200, generator(), ERROR_SHARE)
        assert len(rays) == 1200  # what no guess takes is of the keyframes
        lengths = rays.surfaces[len(sources.keyframes):].numpy()
        assert [(lengths == length).sum() for length in (1.0, 2.0)] == pytest.approx(
            expected, rel=0.4)
        assert len(lengths) == sum((lengths == length).sum() for length in (1.0, 2.0))


def test_where_the_field_is_wrong_more_rays_are_drawn(sample_rays, keyframes):
    # Wrong in the left half of the second image, right everywhere else.
    _, sources = sample_rays(keyframes, 50_000, generator(), 0.0)
    columns = sources.tiles % constants.TILE_COLUMNS
    wrong = (sources.keyframes == 1) & (columns < constants.TILE_COLUMNS / 2)
    keyframes.error_map.update(sources.keyframes, sources.tiles, wrong.astype(float))
    for share, expected in ((0.0, 0.5), (0.5, 0.75), (1.0, 1.0)):
        rays, sources = sample_rays(keyframes, 40_000, generator(), share)
        column, _, width = rays.pixels.numpy().astype(int).T
        # As many rays from each keyframe as before, and in the other one they are everywhere.
        second = width == FISHEYE.width
        assert second.mean() == pytest.approx(0.5, abs=0.02)
        assert (column[second] < FISHEYE.width / 2).mean() == pytest.approx(expected, abs=0.06)
        assert (column[~second] < CAMERA.width / 2).mean() == pytest.approx(0.5, abs=0.03)


def test_pixels_lie_in_their_tiles_and_all_of_them_are_found():
    random = generator()
    for width, height in ((64, 48), (37, 29), (5, 3)):
        widths, heights = np.full(50_000, width), np.full(50_000, height)
        tiles = random.integers(0, constants.TILES, 50_000)
        pixels = error_map.pixel_in(tiles, widths, heights, random)
        assert set(pixels) == set(range(width * height))
        if width >= constants.TILE_COLUMNS and width % constants.TILE_COLUMNS == 0:
            assert (error_map.tile_of(pixels, widths, heights) == tiles).all()


def test_the_same_generator_draws_the_same_rays(sample_rays, keyframes):
    first = sample_rays(keyframes, 100, np.random.default_rng(1), ERROR_SHARE)[0].pixels.clone()
    keyframes.ray_counts[:] = 0
    again = sample_rays(keyframes, 100, np.random.default_rng(1), ERROR_SHARE)[0].pixels
    other = sample_rays(keyframes, 100, np.random.default_rng(2), ERROR_SHARE)[0].pixels
    assert (first == again).all() and (first != other).any()


def test_pixels_without_depth_have_no_surface(sample_rays):
    store = Keyframes(KeyframeConfig(budget_mb=16))
    depth = view(CAMERA, POSES[0])[1]
    depth[:, 32:] = np.nan
    store.add(coordinates(CAMERA), CAMERA, POSES[0], depth)
    rays, _ = sample_rays(store, 1000, generator(), ERROR_SHARE)
    assert ((rays.surfaces > 0) == (rays.pixels[:, 0] < 32)).all()


@pytest.mark.parametrize('camera', [CAMERA, FISHEYE])
def test_rays_of_a_camera_are_its_pixels_row_by_row_and_turn_with_it(camera):
    rays = camera_rays(camera, POSES[0], 'cpu')
    assert len(rays) == camera.width * camera.height
    assert not rays.surfaces.any()
    np.testing.assert_allclose(
        rays.directions, camera.directions() @ POSES[0][:3, :3].T, atol=1e-6)
    assert (rays.origins.numpy() == POSES[0][:3, 3].astype(np.float32)).all()
    image = rays.directions.numpy().reshape(camera.height, camera.width, 3)
    # The camera is upright: its top row looks higher than its bottom row.
    right, down = POSES[0][:3, 0], POSES[0][:3, 1]
    assert (np.diff(image @ right, axis=1) > 0).all() and (np.diff(image @ down, axis=0) > 0).all()
    assert image[0, :, 2].min() > image[-1, :, 2].max()


def test_errors_are_taken_in_alike(keyframes):
    random = generator()
    rays, sources = batches.sample_batch(
        keyframes, (), (), backends.select('cpu'), 800, random, 0.5)
    pixels = floats(random.integers(0, 256, (800, 3))).byte()
    rays = dataclasses.replace(rays, pixels=pixels)
    shown = floats(random.random((800, 3))), floats(random.random(800))
    twin = copy.deepcopy(keyframes)
    for _ in range(2):
        for name, store in (('cpu', keyframes), ('reference', twin)):
            batches.update_error_map(store, backends.select(name), sources, rays, *shown)
    errors = keyframes.error_map.errors
    assert (errors != 1).mean() > 0.5
    np.testing.assert_allclose(errors, twin.error_map.errors, rtol=1e-5)


def test_rays_have_the_colours_of_one_exposure(sample_rays, keyframes):
    keyframes.exposure.gains = np.array([[1.2, 0.8, 1.0], [0.9, 1.0, 1.1]], dtype=np.float32)
    keyframes.exposure.offsets = np.array([[0.1, 0.0, -0.2], [0.1, -0.4, 0.0]], dtype=np.float32)
    rays, sources = sample_rays(keyframes, 2000, generator(), ERROR_SHARE)
    expected = keyframes.exposure.apply(sources.keyframes, sources.pixels)
    assert (expected != sources.pixels).mean() > 0.5
    difference = rays.pixels.numpy().astype(int) - expected
    assert abs(difference).max() <= 1 and (difference == 0).mean() > 0.99


def test_the_rays_of_a_draw_outlive_the_next_one(sample_rays, keyframes):
    random = generator()
    rays, sources = sample_rays(keyframes, 500, random, ERROR_SHARE)
    before = [values.clone() for values in rays.tensors()], sources.keyframes.copy()
    sample_rays(keyframes, 700, random, ERROR_SHARE)
    assert all(map(torch.equal, before[0], rays.tensors()))
    assert (before[1] == sources.keyframes).all()


def test_a_depth_behind_a_fisheye_camera_is_the_distance_along_the_ray(sample_rays):
    wide = Camera(80, 60, 20.0, 20.0, 39.5, 29.5, 'equidistant', (0.0,) * 4)
    z = wide.directions()[:, 2].reshape(60, 80)
    sphere = np.where(z > 0, 2 * z, 2.0).astype(np.float32)  # 2 m away, in all directions
    store = Keyframes(KeyframeConfig(budget_mb=16))
    store.add(coordinates(wide), wide, POSES[0], sphere)
    rays, _ = sample_rays(store, 4000, generator(), ERROR_SHARE)
    column, row, _ = rays.pixels.numpy().astype(int).T
    cosines = z[row, column]
    assert (cosines < -0.2).sum() > 100
    measured = (cosines > constants.MIN_COSINE) | (cosines <= 0)
    np.testing.assert_allclose(rays.surfaces[measured], 2.0, atol=0.02)
    assert (rays.surfaces.numpy()[~measured] == 0).all()
    pixels = generator().permutation(wide.width * wide.height)
    still = image_rays(coordinates(wide), wide, POSES[0], sphere, pixels)
    column, row, _ = still.pixels.numpy().astype(int).T
    behind = z[row, column] < 0
    np.testing.assert_allclose(still.surfaces[behind], 2.0, atol=1e-5)
