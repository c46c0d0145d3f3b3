"""Hole votes: what pixels without depth tell, if the field knows what they see."""
from types import SimpleNamespace

import numba
import numpy as np
import pytest
import torch

from instant_nerf_ros.nerf import Camera, Config, Mapper, backends, replace
from instant_nerf_ros.nerf.capture.error_map import tile_of
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.rays import RaySources, image_rays, pixel_rays
from instant_nerf_ros.nerf.config import KeyframeConfig, OccupancyConfig
from instant_nerf_ros.nerf.constants import (
    FREE,
    MASKED_ALPHA,
    MISS_WEIGHT,
    OCCUPIED,
    OPAQUE_ALPHA,
    UNKNOWN,
)
from instant_nerf_ros.nerf.occupancy import hole_votes
from instant_nerf_ros.nerf.occupancy.hole_edges import HoleEdges, tile_edges
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

CAMERA = Camera(32, 24, 24.0, 24.0, 15.5, 11.5)
R_WORLD_CAMERA = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # sees along x
IMAGE = np.full((24, 32, 3), 100, np.uint8)
VOXEL, RANGE, WALL = 0.1, 1.5, 2.6  # m; the wall is beyond the range
LEFT = np.s_[:, :16]  # pixels without depth
HERE, CLOSE, ASIDE = 0.0, -0.4, -0.7  # m along y: viewpoints, the second too close
SEEN = np.array([1.55, 0.15, 0.05])  # a point that only holes see


@pytest.fixture(params=['reference', 'cpu'])
def occupancy(request):
    config = OccupancyConfig(voxel_size=VOXEL, length=8.0, width=8.0, height=4.0)
    return OccupancyGrid(config, np.zeros(3), backends.select(request.param))


def holes(value=0.0, edge=RANGE):
    """Return a depth image without depth on the left, above an edge of a certain depth [m]."""
    depth = np.full((24, 32), RANGE, np.float32)
    depth[LEFT] = value
    depth[-1] = edge
    return depth


def pose(y):
    """Return T_world_camera of a camera that sees along x."""
    result = np.eye(4)
    result[:3, :3], result[1, 3] = R_WORLD_CAMERA, y
    return result


def keyframes_of(*places, depth=None, alpha=None, trained=hole_votes.MIN_TRAINED_RAYS):
    """Return keyframes with an image from each place."""
    keyframes = Keyframes(KeyframeConfig(budget_mb=16))
    for y in places:
        keyframes.add(IMAGE, CAMERA, pose(y), holes() if depth is None else depth, alpha)
    keyframes.count_rays(np.full(len(places), trained))
    return keyframes


def vote(occupancy, keyframes, k, end=WALL, color=100, opacity=1.0, masked=None):
    """Let all pixels of keyframe k vote, of which the field renders the same distance."""
    pixels = np.arange(24 * 32)
    rays, count = pixel_rays(keyframes, k, pixels), len(pixels)
    alphas = keyframes.alphas[keyframes.first[k] + pixels] if keyframes.with_alpha[k] else None
    tiles = tile_of(pixels, np.full(count, 32), np.full(count, 24))
    sources = RaySources(np.full(count, k), tiles, rays.pixels.numpy(), alphas, masked)
    result = SimpleNamespace(
        colors=torch.full((count, 3), color / 255), opacities=torch.full((count,), opacity))

    def density(positions):
        distances = (positions - rays.origins[0]).norm(dim=-1)
        return 1e3 * (distances > end - 0.01)

    hole_votes.integrate_holes(
        keyframes, HoleEdges(keyframes), rays, sources, result, torch.full((count,), end), density,
        occupancy)


@pytest.fixture(autouse=True)
def every_ray_votes(monkeypatch):
    monkeypatch.setattr(hole_votes, 'RAYS_PER_VOTE', 1)


def state(occupancy, point=SEEN):
    window = tuple(slice(0, size) for size in occupancy.shape)
    cell = np.floor((np.asarray(point) - occupancy.corner) / VOXEL).astype(int)
    return occupancy.states(window)[tuple(cell)]


def test_two_viewpoints_free_the_way_to_what_is_beyond_the_range(occupancy):
    keyframes = keyframes_of(HERE, ASIDE)
    vote(occupancy, keyframes, 0)
    assert not occupancy.misses.any() and state(occupancy) == UNKNOWN
    vote(occupancy, keyframes, 1)
    assert state(occupancy) == FREE and not occupancy.hits.any()
    assert set(occupancy.misses.unique().tolist()) == {0, 2}
    assert state(occupancy, [1.55, -0.95, 0.05]) == UNKNOWN  # where pixels have depth
    free = np.argwhere((occupancy.misses > 0).numpy())
    x, y, z = (occupancy.corner + (free + 0.5) * VOXEL).T
    from_both = [np.sqrt(x**2 + (y - place) ** 2 + z**2) for place in (HERE, ASIDE)]
    assert np.max(from_both) < hole_votes.CLEAR_SHARE * WALL + VOXEL  # of both of them
    assert x.max() > hole_votes.CLEAR_SHARE * WALL - 4 * VOXEL
    window = occupancy.window()  # the map contains it
    assert all((free[:, axis] < window[axis].stop).all() for axis in range(3))


@pytest.mark.parametrize('places', [(HERE,), (HERE, CLOSE)])
def test_one_viewpoint_frees_nothing_however_often_it_votes(occupancy, places):
    keyframes = keyframes_of(*places)
    for _ in range(3):
        for k in range(len(places)):
            vote(occupancy, keyframes, k)
    assert not occupancy.misses.any()


def test_a_close_viewpoint_does_not_take_the_place_of_the_first(occupancy):
    keyframes = keyframes_of(HERE, CLOSE, 0.12)  # the last one is far enough from the second
    for k in range(3):
        vote(occupancy, keyframes, k)
    assert state(occupancy) == UNKNOWN


def test_ids_with_the_same_tag_are_told_apart_by_where_they_are(occupancy):
    keyframes = keyframes_of(HERE, ASIDE, CLOSE)
    keyframes.ids[2] = keyframes.ids[1] + 255
    vote(occupancy, keyframes, 1)
    vote(occupancy, keyframes, 0)  # it is far from one of the two, and close to the other
    assert not occupancy.misses.any()


@pytest.mark.parametrize(('end', 'color', 'opacity'), [
    (0.9 * RANGE, 100, 1.0),  # what is within the range would have been measured
    (WALL, 180, 1.0),  # the pixel looks different
    (WALL, 100, 0.5),  # fog
])  # fmt: skip
def test_what_the_field_does_not_explain_frees_nothing(occupancy, end, color, opacity):
    keyframes = keyframes_of(HERE, ASIDE)
    for k in range(2):
        vote(occupancy, keyframes, k, end, color, opacity)
    assert not occupancy.misses.any() and not occupancy.last_keyframe.any()


def test_nothing_is_freed_far_beyond_the_range(occupancy):
    keyframes = keyframes_of(HERE, ASIDE)
    for k in range(2):
        vote(occupancy, keyframes, k, 3.9)
    free = np.argwhere((occupancy.misses > 0).numpy())
    x = (occupancy.corner + (free + 0.5) * VOXEL)[:, 0]
    assert RANGE < x.max() < hole_votes.RANGE_SHARE * RANGE + VOXEL


@pytest.mark.parametrize('keyframes', [
    keyframes_of(HERE, ASIDE, depth=np.zeros((24, 32), np.float32)),  # without any depth
    keyframes_of(HERE, ASIDE, depth=holes(RANGE)),  # without holes
    keyframes_of(HERE, ASIDE, depth=holes(edge=0.8 * RANGE)),  # they stand on something near
    keyframes_of(HERE, ASIDE, depth=holes(edge=0.0)),  # nothing is known of what is below them
    keyframes_of(HERE, ASIDE, trained=hole_votes.MIN_TRAINED_RAYS - 1),
])  # fmt: skip
def test_other_images_have_no_such_vote(occupancy, keyframes):
    for k in range(2):
        vote(occupancy, keyframes, k)
    assert not occupancy.misses.any() and not occupancy.last_keyframe.any()


def test_frozen_keyframes_and_masked_pixels_have_no_such_vote(occupancy):
    alpha = np.full((24, 32), OPAQUE_ALPHA, np.uint8)
    alpha[LEFT] = MASKED_ALPHA
    masked, frozen = keyframes_of(HERE, ASIDE, alpha=alpha), keyframes_of(HERE, ASIDE)
    frozen.freeze()
    frozen.count_rays(np.full(2, hole_votes.MIN_TRAINED_RAYS))
    for k in range(2):
        vote(occupancy, masked, k)
        vote(occupancy, frozen, k)
        vote(occupancy, keyframes_of(HERE, ASIDE), k, masked=np.ones(24 * 32, bool))
    assert not occupancy.misses.any() and not occupancy.last_keyframe.any()


def measured(occupancy, x, ends):
    """Let a depth image vote that ends x metres ahead, or that crosses everything up to there."""
    rays = image_rays(
        IMAGE, CAMERA, pose(HERE), np.full((24, 32), x, np.float32), np.arange(24 * 32))
    nowhere = torch.zeros_like(rays.surfaces)
    distances, clear = (rays.surfaces, nowhere) if ends else (nowhere, rays.surfaces - VOXEL)
    occupancy.integrate_rays(rays, distances, clear, True, 7)


@pytest.mark.parametrize('before', [True, False])
@pytest.mark.parametrize(('ends', 'expected'), [(True, OCCUPIED), (False, FREE)])
def test_what_is_measured_wins(occupancy, before, ends, expected):
    keyframes = keyframes_of(HERE, ASIDE)
    x = SEEN[0] if ends else SEEN[0] + 4 * VOXEL
    if before:
        measured(occupancy, x, ends)
    for _ in range(20):
        for k in range(2):
            vote(occupancy, keyframes, k)
    if not before:
        assert state(occupancy) == FREE
        measured(occupancy, x, ends)
    assert state(occupancy) == expected


def test_a_ray_that_crosses_something_occupied_is_wrong(occupancy):
    keyframes = keyframes_of(HERE, ASIDE)
    measured(occupancy, SEEN[0] - 4 * VOXEL, True)
    for k in range(2):
        vote(occupancy, keyframes, k)
    assert state(occupancy) == UNKNOWN


def test_what_has_gone_or_was_looked_at_leaves_no_viewpoint(occupancy):
    occupancy.last_keyframe[:] = 200  # of a scan, or of an image that was not kept
    keyframes = keyframes_of(HERE, ASIDE)
    vote(occupancy, keyframes, 0)
    assert not occupancy.misses.any()
    vote(occupancy, keyframes, 1)
    assert state(occupancy) == FREE


def wall(x, y):
    """Return an image from x, y [m] of the wall, which has a pattern."""
    v, u = np.mgrid[:24, :32]
    across, up = y - (WALL - x) * (u - 15.5) / 24, -(WALL - x) * (v - 11.5) / 24
    waves = [np.sin(9 * across), np.sin(9 * up), np.cos(7 * (across + up))]
    return (127 + 90 * np.stack(waves, -1)).astype(np.uint8)


@pytest.fixture
def one_thread():
    """Let training sum gradients in one order."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(threads)


def trained(steps):
    """Return a mapper of a wall that only a third viewpoint measures, and of something near."""
    mapper = Mapper(replace(Config(), {
        'device': 'cpu', 'field.levels': 6, 'field.finest_cell': 0.1, 'field.log2_table': 14,
        'occupancy.voxel_size': VOXEL, 'occupancy.length': 8.0, 'occupancy.width': 8.0,
        'occupancy.height': 4.0, 'keyframes.budget_mb': 16, 'keyframes.held_out_every': 0}))
    nearer = pose(-0.3)
    nearer[0, 3] = 1.2
    mapper.add(wall(1.2, -0.3), CAMERA, nearer, np.full((24, 32), WALL - 1.2, np.float32))
    for y in (HERE, ASIDE):
        image = np.where(holes()[..., None] > 0, np.uint8(30), wall(0.0, y))
        mapper.add(image, CAMERA, pose(y), holes())
    for _ in range(steps):
        mapper.step()
    return mapper


def test_training_frees_voxels_the_same_ones_each_time(one_thread):
    untrained, first, second = (trained(steps) for steps in (0, 600, 600))
    for name in ('hits', 'misses', 'last_keyframe'):
        assert torch.equal(getattr(first.occupancy, name), getattr(second.occupancy, name))
    before, after = untrained.occupancy, first.occupancy
    freed = after.misses != before.misses
    assert freed.sum() > 20 and (after.misses[freed] == MISS_WEIGHT).all()
    assert not (before.hits | before.misses)[freed].any() and torch.equal(before.hits, after.hits)


def test_rays_of_other_sensors_follow_those_with_sources(occupancy):
    keyframes = keyframes_of(HERE, ASIDE)
    rays = pixel_rays(keyframes, 0, np.arange(24 * 32))
    sources = RaySources(np.zeros(10, int), np.zeros(10, int), rays.pixels.numpy()[:10])
    result = SimpleNamespace(colors=rays.pixels / 255, opacities=torch.ones(len(rays)))
    hole_votes.integrate_holes(
        keyframes, HoleEdges(keyframes), rays, sources, result, torch.full((len(rays),), WALL),
        lambda positions: 1e3 * (positions.norm(dim=-1) > WALL), occupancy)
    tagged = np.argwhere((occupancy.last_keyframe > 0).numpy())
    z = occupancy.corner[2] + (tagged[:, 2] + 0.5) * VOXEL
    assert len(tagged) and (z > -VOXEL).all()  # of the first row of pixels


def test_edges_are_means_of_the_holes_in_a_tile_of_each_keyframe():
    depths = np.full((24, 32), 3000, np.uint16)
    depths[4:12, 4:8] = 0
    depths[12, 5] = 2000
    depths[20:, 10] = 0
    edges = tile_edges(depths).reshape(12, 16)
    assert (edges[2:6, 2] == 2500).all() and (edges[2:6, 3] == 3000).all()
    assert (edges > 0).sum() == 8  # nothing is below the other holes
    keyframes = keyframes_of(HERE)
    table = HoleEdges(keyframes)
    assert len(table.table()) == 1
    keyframes.add(IMAGE, CAMERA, pose(ASIDE), depths / 1000.0)
    np.testing.assert_array_equal(table.table()[1], edges.ravel())
    keyframes.keep(keyframes.ids[1:])
    np.testing.assert_array_equal(table.table(), edges.reshape(1, -1))


@pytest.mark.parametrize('shape', [(12, 16), (37, 100), (240, 320)])
def test_edges_of_images_of_any_size(shape):
    depths = np.random.default_rng(1).integers(0, 3, shape).astype(np.uint16) * 1000
    pixels = np.arange(depths.size)
    tiles = tile_of(pixels, np.full(len(pixels), shape[1]), np.full(len(pixels), shape[0]))
    expected, counts = np.zeros((2, 192))
    for tile, (row, column) in zip(tiles, np.argwhere(depths >= 0)):
        if depths[row, column] == 0:
            below = depths[row:, column]
            expected[tile] += below[below > 0][0] if below.any() else 0
            counts[tile] += 1
    np.testing.assert_allclose(tile_edges(depths), expected / counts.clip(min=1), rtol=1e-5)
    assert tile_edges(depths[:5, :7]).shape == (192,)
