"""The projection to a map: what is kept from the last time is as if it was computed again."""
import dataclasses

import numpy as np
import pytest
from test_content import look_around

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.config import MapConfig, OccupancyConfig
from instant_nerf_ros.nerf.occupancy import grid_state
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.products.map_projection import MapProjection, project

CONFIG = MapConfig()


def empty(voxel_size=0.1):
    config = OccupancyConfig(voxel_size=voxel_size, length=10.0, width=10.0, height=5.0)
    return OccupancyGrid(config, np.zeros(3), backends.select('cpu'))


def assert_equal(one, other):
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@pytest.mark.parametrize('seed', range(3))
def test_a_map_after_changes_is_that_of_all_votes(seed):
    random = np.random.default_rng(seed)
    occupancy, projection, maps = empty(), MapProjection(), []
    config, floor = CONFIG, None
    for number in range(30):
        measured = bool(number % 5)
        match random.integers(7):
            case 0 | 1 | 2:  # the grid grows now and then
                place = np.append(random.uniform(-25, 25, 2), random.uniform(0.5, 1.5))
                look_around(occupancy, place, 2 * number, 3000)
            case 3:  # something goes
                occupied = np.argwhere(occupancy.hits.numpy())
                if len(occupied):
                    middle = occupied[random.integers(len(occupied))]
                    occupancy.forget(occupied[abs(occupied - middle).max(1) < 6])
            case 4:  # all votes anew
                arrays = grid_state.to_arrays(occupancy)
                order = np.arange(len(arrays['places'])) % 9 != 0
                arrays |= {name: arrays[name][order] for name in ('places', *grid_state.ALL)}
                occupancy = grid_state.from_arrays(
                    occupancy.config, arrays, occupancy.backend, occupancy.frame)
            case 5:
                config = MapConfig(
                    max_height=random.uniform(0.5, 2.0), max_area=random.choice([100.0, 1e4]))
            case 6:
                floor = random.choice([None, 0.0, 0.1, -0.2])
                projection.set_floor(floor)
        maps.append(projection.project(occupancy, config, measured))
        assert_equal(maps[-1], project(occupancy, config, floor, measured))
    assert len({grid.cells.tobytes() for grid in maps}) > 15
    assert (maps[-1].cells == 0).any() and (maps[-1].cells == 100).any()


def test_only_what_has_changed_is_computed(monkeypatch):
    occupancy, projection, computed = empty(), MapProjection(), []
    for number, x in enumerate(np.arange(0, 100, 4.0)):
        look_around(occupancy, np.array([x, 0, 1.0]), 2 * number, 3000)
    for name in ('survey_columns', 'classify_columns'):
        method = getattr(occupancy.backend, name)
        monkeypatch.setattr(occupancy.backend, name, lambda *arguments, name=name, method=method: (
            computed.append(name), method(*arguments))[1])
    projection.project(occupancy, CONFIG, True)
    all_tiles = len(computed)
    assert all_tiles > 2 * 100 / 6.4
    computed.clear()
    projection.project(occupancy, CONFIG, True)
    assert not computed
    look_around(occupancy, np.array([50, 0.5, 1.0]), 1000, 3000)
    assert_equal(projection.project(occupancy, CONFIG, True), project(occupancy, CONFIG))
    assert 0 < len(computed) - all_tiles <= 2 * 3 * 3  # it sees 6.5 m; a tile has 6.4 m
