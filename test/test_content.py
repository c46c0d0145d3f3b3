"""Content: a grid that is much larger than its content costs what the content costs."""
import time

import numpy as np
import pytest
import torch
from test_sparse_memory import resident

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import Config, MapConfig, OccupancyConfig
from instant_nerf_ros.nerf.local_frame import LocalFrame
from instant_nerf_ros.nerf.occupancy import content, grid_state, lattice
from instant_nerf_ros.nerf.occupancy.blocks import ALL
from instant_nerf_ros.nerf.occupancy.occupancy_grid import GRIDS, OccupancyGrid
from instant_nerf_ros.nerf.products import grids
from instant_nerf_ros.nerf.products.map_projection import project

FAR = np.array([245.0, 245.0, 5.0])  # m


def look_around(occupancy, place, keyframe, count=20_000):
    """Let a sensor at a place see a floor, and walls 3 m away; also the field learns of them."""
    random = np.random.default_rng(keyframe)
    occupancy.follow(place)
    directions = random.normal(size=(count, 3)) * [1, 1, 0.3]
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    lengths = 3 / abs(directions[:, :2]).max(-1)
    down = directions[:, 2] < 0
    lengths[down] = np.minimum(lengths[down], -1 / directions[down, 2])
    origins = np.broadcast_to(place, directions.shape)
    origins, directions, distances = (
        torch.from_numpy(values.astype(np.float32)) for values in (origins, directions, lengths))
    rays = Rays(origins, directions, distances, torch.full((count, 3), 90, dtype=torch.uint8))
    for each in (keyframe, keyframe + 1):
        occupancy.integrate_rays(rays, distances, (distances - 0.1).clamp(min=0), True, each)
    occupancy.update_density(
        origins + distances[:, None] * directions, torch.full((count,), 40.0))


def visited(voxel_size=0.2, ends=FAR / 8):
    """Return a grid in which a sensor was at its middle, and at two ends of a diagonal."""
    config = OccupancyConfig(voxel_size=voxel_size, length=20.0, width=20.0, height=5.0)
    occupancy = OccupancyGrid(config, np.zeros(3), backends.select('cpu'))
    places = np.array([0, 0, 1.0]), ends, [0.7, 2.2, 1.0] - ends * [1, 1, 0]
    for number, place in enumerate(places):
        look_around(occupancy, place, 10 * number)
    return occupancy


def test_in_pieces_everything_is_as_if_the_grid_was_visited_as_a_whole(monkeypatch):
    whole = visited()
    monkeypatch.setattr(content, 'WHOLE_VOXELS', 0)
    tiled = visited()
    assert len(tiled.content.pieces()) >= 3 and whole.shape == tiled.shape
    assert sum(np.prod(np.subtract(*lattice.corners(each)[::-1])) for each in
               tiled.content.pieces()) < np.prod(tiled.shape) / 4
    for name in GRIDS:
        assert torch.equal(getattr(whole, name), getattr(tiled, name))
    maps, clouds, saved = [], [], []
    for limit, occupancy in ((2**40, whole), (0, tiled)):
        monkeypatch.setattr(content, 'WHOLE_VOXELS', limit)
        maps.append(project(occupancy, MapConfig()))
        clouds.append(set(map(tuple, np.hstack(grids.points(occupancy)).round(6).tolist())))
        saved.append(grid_state.to_arrays(occupancy))
    assert (maps[0].cells == 0).sum() > 500 and (maps[0].cells == 100).sum() > 50
    np.testing.assert_array_equal(maps[0].cells, maps[1].cells)
    np.testing.assert_array_equal(maps[0].probabilities, maps[1].probabilities)
    assert maps[0].floor == maps[1].floor and maps[0].floor_found
    assert clouds[0] == clouds[1] and len(clouds[0]) > 500
    orders = [np.lexsort(each['places'].T) for each in saved]
    for name in ('places', *ALL):
        np.testing.assert_array_equal(*(each[name][order] for each, order in zip(saved, orders)))


def test_half_a_kilometre_of_five_centimetres_takes_the_memory_of_what_was_seen():
    visited(0.05)  # so that all is compiled and loaded
    before, begin = resident(), time.perf_counter()
    occupancy = visited(0.05, ends=FAR)
    assert np.prod(1.0 * np.array(occupancy.shape)) >= 500 * 500 * 10 / 0.05**3
    voxels = sum(np.prod(np.subtract(*lattice.corners(each)[::-1]))
                 for each in occupancy.content.pieces())
    assert resident() - before < 11 * voxels / 2**20 < 600
    grid = project(occupancy, MapConfig())
    assert grid.cells.size * 0.05**2 < 1.3 * Config().map.max_area
    middle = ((occupancy.sensor[:2] - grid.origin) / 0.05).astype(int)
    around = grid.cells[middle[1] - 70 : middle[1] + 70, middle[0] - 70 : middle[0] + 70]
    assert (around == 0).sum() > 5000 and (around == 100).sum() > 300
    positions, _ = grids.points(occupancy)
    assert (np.ptp(positions, axis=0)[:2] > 480).all()
    arrays = grid_state.to_arrays(occupancy)
    loaded = grid_state.from_arrays(
        occupancy.config, arrays, occupancy.backend, LocalFrame((0, 0, 0), 0.05))
    assert loaded.shape == occupancy.shape and loaded.window() == occupancy.window()
    for name in GRIDS:
        for piece in occupancy.content.pieces():
            assert torch.equal(getattr(loaded, name)[piece], getattr(occupancy, name)[piece])
    assert len(grids.points(loaded)[0]) == len(positions)
    assert time.perf_counter() - begin < 120  # all voxels would take hours


@pytest.mark.parametrize(('size', 'columns', 'expected'), [
    ((100, 50), 5000, (100, 50)), ((10_000, 100), 40_000, (400, 100)),
    ((10_000, 8_000), 40_000, (200, 200)), ((50, 10_000), 40_000, (50, 800))])
def test_the_part_around_a_place_has_so_many_columns_and_the_place_in_it(size, columns, expected):
    low = np.array([-30, 17, 2])
    high = low + [*size, 9]
    for share in np.linspace(-0.2, 1.2, 15):
        center = low + share * (high - low)
        start, stop = lattice.part_around(low, high, center, columns)
        assert (start >= low).all() and (stop <= high).all() and (start[2], stop[2]) == (2, 11)
        assert np.prod((stop - start)[:2]) <= columns
        inside = np.clip(center, low, high - 1)[:2]
        assert (inside >= start[:2]).all() and (inside <= stop[:2]).all()
    start, stop = lattice.part_around(low, high, (low + high) / 2, columns)
    assert (stop - start)[:2].tolist() == list(expected)
    # It does not move with each step of the robot.
    parts = {tuple(np.concatenate(lattice.part_around(low, high, low + [each, 20, 3], columns)))
             for each in range(min(1000, size[0]))}
    assert len(parts) <= 1 + 5 * 1000 / expected[0]
