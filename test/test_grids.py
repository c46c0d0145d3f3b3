"""Grids: voxels, map and points at the right positions, and as Nav2 expects them."""
import numpy as np
import pytest
import torch

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import MapConfig, OccupancyConfig
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.products import grids
from instant_nerf_ros.nerf.products.map_projection import project

BAND = MapConfig(min_height=0.1, max_height=1.5)


def make_occupancy(center=(0.0, 0.0, 1.0), voxel_size=0.05):
    config = OccupancyConfig(voxel_size=voxel_size, length=4.0, width=3.0, height=5.0)
    occupancy = OccupancyGrid(config, center, backends.select('reference'))
    # The tests set votes anywhere in the grid.
    occupancy.content.add_votes(occupancy.first, occupancy.first + occupancy.shape)
    return occupancy


def voxel_at(occupancy, *position):
    """Return the index of the voxel at a position [m, world]."""
    index = (np.array(position) - occupancy.corner) / occupancy.voxel_size
    return tuple(np.floor(index + 1e-6).astype(int))


def put(occupancy, state, *position, color=(0, 0, 0)):
    """Set the state of the voxel at a position [m, world]."""
    index = voxel_at(occupancy, *position)
    if state != UNKNOWN:
        (occupancy.hits if state == OCCUPIED else occupancy.misses)[index] = 100
    occupancy.colors[index] = torch.tensor(color, dtype=torch.uint8)


def clear(occupancy, x, y, low=0.1, high=1.5):
    """Set the column at a position to free between two heights [m]."""
    for z in np.arange(low + 0.02, high, 0.05):
        put(occupancy, FREE, x, y, z)


def cell_of(grid, x, y):
    """Return the cell of a map at a position, like a user of nav_msgs/OccupancyGrid."""
    column = int((x - grid.origin[0]) // grid.resolution)
    row = int((y - grid.origin[1]) // grid.resolution)
    return grid.cells[row, column]


@pytest.mark.parametrize('center', [(0, 0, 1), (12.34, -7.89, 0.5)])
def test_a_map_has_every_voxel_at_its_position(center):
    occupancy = make_occupancy(center)
    x, y, _ = center
    put(occupancy, OCCUPIED, x + 1.02, y - 0.52, 0.52)
    clear(occupancy, x + 0.22, y + 0.67)
    grid = project(occupancy, BAND)
    assert all(size % 100 == 0 for size in grid.cells.shape)  # whole blocks of 5 m
    assert grid.cells.dtype == np.int8
    assert cell_of(grid, x + 1.02, y - 0.52) == OCCUPIED
    assert cell_of(grid, x + 0.22, y + 0.67) == FREE
    assert (grid.cells == UNKNOWN).sum() == grid.cells.size - 2


def test_row_zero_has_the_lowest_y_and_column_zero_the_lowest_x():
    occupancy = make_occupancy()
    put(occupancy, OCCUPIED, -1.98, -1.48, 0.5)
    clear(occupancy, 1.98, -1.48)
    cells = project(occupancy, BAND).cells
    assert cells.shape == (200, 200)  # blocks from -5 m to 5 m
    assert cells[70, 60] == OCCUPIED and cells[70, 139] == FREE
    assert (cells == UNKNOWN).sum() == cells.size - 2


def test_one_occupied_voxel_outweighs_free_ones_and_these_outweigh_unknown_ones():
    occupancy = make_occupancy()
    for x in (0.02, 0.52):
        clear(occupancy, x, 0.02)
    put(occupancy, OCCUPIED, 0.02, 0.02, 0.8)
    put(occupancy, OCCUPIED, 1.02, 0.02, 0.8)
    grid = project(occupancy, BAND)
    assert [cell_of(grid, x, 0.02) for x in (0.02, 0.52, 1.02, 1.52)] == [
        OCCUPIED, FREE, OCCUPIED, UNKNOWN]  # fmt: skip


def test_a_column_is_free_only_if_its_lower_half_is_visible_and_nothing_is_in_it():
    occupancy = make_occupancy()
    for x, low, high in ((0.02, 0.1, 1.5), (0.22, 0.5, 1.5), (0.42, 0.9, 1.5), (0.62, 0.1, 0.2),
                         (0.82, 0.1, 1.5), (1.02, 0.1, 1.5)):  # fmt: skip
        clear(occupancy, x, 0.02, low, high)
    for x, hits, misses in ((0.82, 9, 9), (1.02, 9, 10)):  # a voxel that rays end in and cross
        index = voxel_at(occupancy, x, 0.02, 0.6)
        occupancy.hits[index], occupancy.misses[index] = hits, misses
    grid = project(occupancy, BAND)
    # Free in all layers; from below the middle on; only above the middle; in too few layers;
    # a voxel that is occupied by half of its votes; one that is not, by one of them.
    assert [cell_of(grid, x, 0.02) for x in (0.02, 0.22, 0.42, 0.62, 0.82, 1.02)] == [
        FREE, FREE, UNKNOWN, UNKNOWN, OCCUPIED, FREE]  # fmt: skip


@pytest.mark.parametrize('height', np.linspace(0.0, 1.7, 18))
def test_the_band_contains_the_layers_whose_middle_is_in_it_for_any_first_pose(height):
    # With voxels of 5 cm, the middles are multiples of 5 cm. The band is from 0.1 m, inclusive, to
    # 1.5 m, exclusive.
    occupancy = make_occupancy((0.0, 0.0, height))
    for x, z in ((0.02, 0.05), (0.22, 0.1), (0.42, 1.45), (0.62, 1.5), (0.82, -0.4), (1.02, 1.7)):
        put(occupancy, OCCUPIED, x, 0.02, z)
    grid = project(occupancy, BAND)
    assert [cell_of(grid, x, 0.02) for x in (0.02, 0.22, 0.42, 0.62, 0.82, 1.02)] == [
        UNKNOWN, OCCUPIED, OCCUPIED, UNKNOWN, UNKNOWN, UNKNOWN]  # fmt: skip


def test_a_band_is_cropped_to_the_grid():
    occupancy = make_occupancy()
    put(occupancy, OCCUPIED, 0.02, 0.02, 0.5)
    assert cell_of(project(occupancy, MapConfig(-40.0, 40.0)), 0.02, 0.02) == OCCUPIED
    above = project(occupancy, MapConfig(20.0, 30.0))
    assert (above.cells == UNKNOWN).all() and above.cells.size


@pytest.mark.parametrize('voxel_size', [0.05, 0.03, 0.1, 0.07])
@pytest.mark.parametrize('center', [(0, 0, 1), (12.34, -7.89, 0.5), (-431.7, 998.3, 0.0)])
def test_the_origin_is_a_multiple_of_the_resolution_in_float32_as_for_nav2(center, voxel_size):
    occupancy = make_occupancy(center, voxel_size)
    occupancy.grow_to(np.array(center) + [-5.0, 7.0, 0.0])
    grid = project(occupancy, BAND)
    resolution = float(np.float32(voxel_size))
    assert grid.resolution == resolution  # the message has a float32
    for origin in grid.origin:
        remainder = abs(np.fmod(origin, resolution))
        assert min(remainder, resolution - remainder) < 1e-5


def test_a_floor_at_zero_fills_one_layer_of_voxels():
    random = np.random.default_rng(0)
    occupancy = make_occupancy()
    count = 30000
    origin = torch.tensor([0.01, 0.02, 1.0])
    # Ends of rays on the floor, with errors of up to 2 cm.
    ends = torch.from_numpy(np.stack([
        *random.uniform(-0.5, 0.5, (2, count)), random.uniform(-0.02, 0.02, count)],
        axis=-1).astype(np.float32))  # fmt: skip
    lengths = (ends - origin).norm(dim=1)
    occupancy.backend = backends.select('cpu')
    rays = Rays(
        origin.expand(count, 3).contiguous(), (ends - origin) / lengths[:, None], lengths,
        torch.zeros(count, 3, dtype=torch.uint8))  # fmt: skip
    for keyframe in range(3):
        occupancy.integrate_rays(rays, lengths, lengths - 0.05, True, keyframe)
    voxels = grids.voxels(occupancy)
    [layer] = np.unique(np.argwhere(voxels.states == OCCUPIED)[:, 2])
    middle = voxels.origin[2] + (layer + 0.5) * voxels.voxel_size
    assert middle == pytest.approx(0.0, abs=1e-9)
    # A band from 0.1 m on does not contain it.
    assert not (project(occupancy, BAND).cells == OCCUPIED).any()


def test_voxels_are_at_their_positions():
    occupancy = make_occupancy((12.34, -7.89, 0.5))
    put(occupancy, OCCUPIED, 12.02, -7.53, 0.71)
    put(occupancy, FREE, 12.52, -7.03, 1.21)
    grid = grids.voxels(occupancy)
    assert grid.states.shape == occupancy.shape and grid.states.dtype == np.int8
    for state, position in ((OCCUPIED, (12.02, -7.53, 0.71)), (FREE, (12.52, -7.03, 1.21))):
        [index] = np.argwhere(grid.states == state)
        low = grid.origin + index * grid.voxel_size
        assert (low <= position).all() and (position < low + grid.voxel_size).all()
    assert (grid.states == UNKNOWN).sum() == grid.states.size - 2


def test_points_are_the_centers_of_occupied_voxels_with_their_colors():
    occupancy = make_occupancy((12.34, -7.89, 0.5))
    put(occupancy, OCCUPIED, 12.02, -7.53, 0.71, color=(10, 20, 30))
    put(occupancy, OCCUPIED, 13.02, -7.03, 0.11, color=(200, 100, 0))
    put(occupancy, FREE, 12.52, -7.03, 1.21, color=(1, 1, 1))
    positions, colors = grids.points(occupancy)
    assert positions.dtype == np.float64 and colors.dtype == np.uint8
    np.testing.assert_allclose(
        positions, [[12.025, -7.525, 0.7], [13.025, -7.025, 0.1]], atol=1e-5)
    np.testing.assert_array_equal(colors, [[10, 20, 30], [200, 100, 0]])


def test_without_occupied_voxels_there_are_no_points():
    positions, colors = grids.points(make_occupancy())
    assert positions.shape == (0, 3) and colors.shape == (0, 3)


def scene(ground, solid=lambda x, y, z: False):
    """Return the votes on a scene of 4 x 3 m with ground at z = ground(x, y) and solids on it."""
    occupancy = make_occupancy()
    hits, misses = occupancy.hits.numpy(), occupancy.misses.numpy()
    x, y, z = np.moveaxis(
        occupancy.corner + (np.moveaxis(np.indices(hits.shape), 0, -1) + 0.5) * 0.05, -1, 0)
    z = np.round(z, 3)
    height = np.round(ground(x, y) / 0.05) * 0.05
    full = (np.abs(z - height) < 0.01) | ((z > height) & solid(x, y, z))
    hits[full], misses[~full & (z > height)] = 100, 100
    return occupancy


def flat(x, y):
    return 0.0 * x


def test_a_ramp_is_free_and_a_wall_on_it_is_not():
    def ramp(x, y):
        return 0.2 * np.clip(x, 0, 1.5)  # 20 %

    def wall(x, y, z):
        return (np.abs(x - 1.22) < 0.04) & (z < 0.2 * x + 0.6)

    grid = project(scene(ramp, wall), BAND)
    assert [cell_of(grid, x, 0.02) for x in (-1.0, 0.3, 0.7, 1.02, 1.22, 1.7)] == [
        FREE, FREE, FREE, FREE, OCCUPIED, FREE]  # fmt: skip


@pytest.mark.parametrize('max_step', [0.0, 0.05, 0.1, 0.15])
@pytest.mark.parametrize('height', [0.05, 0.1, 0.15, 0.2])
def test_a_higher_step_than_the_robot_climbs_is_an_obstacle(max_step, height):
    def threshold(x, y):
        return np.where(np.abs(x - 0.5) < 0.15, height, 0.0)

    config = MapConfig(max_step=max_step)
    grid = project(scene(threshold), config)
    climbs = height <= max_step + 1e-6 or height < config.min_height
    assert cell_of(grid, 0.52, 0.02) == (FREE if climbs else OCCUPIED)
    assert cell_of(grid, 0.0, 0.02) == cell_of(grid, 1.0, 0.02) == FREE


def test_a_table_with_unknown_space_below_is_no_floor():
    def table(x, y, z):
        return (np.abs(x) < 0.6) & (np.abs(y) < 0.6) & (np.abs(z - 0.7) < 0.03)

    occupancy = scene(flat, table)
    x, y, z = np.indices(occupancy.shape) * 0.05 + np.reshape(occupancy.corner, (3, 1, 1, 1))
    below = (np.abs(x) < 0.6) & (np.abs(y) < 0.6) & (z < 0.65)
    occupancy.hits[below], occupancy.misses[below] = 0, 0
    grid = project(occupancy, BAND)
    assert grid.floor == pytest.approx(0.0, abs=1e-6) and grid.floor_found
    assert cell_of(grid, 0.02, 0.02) == OCCUPIED and cell_of(grid, 1.2, 0.02) == FREE


@pytest.mark.parametrize('height', [-0.8, 0.0, 0.3])
def test_the_band_is_above_the_floor_at_any_height(height):
    def box(x, y, z):
        return (np.abs(x - 1) < 0.1) & (z < height + 0.4)

    for floor in (None, height):
        grid = project(scene(lambda x, y: 0.0 * x + height, box), BAND, floor)
        assert grid.floor == pytest.approx(height, abs=1e-6)
        assert cell_of(grid, 1.02, 0.02) == OCCUPIED and cell_of(grid, 0.0, 0.02) == FREE


def test_a_table_above_furniture_on_an_invisible_floor_is_no_floor():
    table = scene(lambda x, y: 0.0 * x + 0.7)
    _, y, z = np.indices(table.shape) * 0.05 + np.reshape(table.corner, (3, 1, 1, 1))
    cupboards = (y > 0.5) & (z > 0.1) & (z < 0.5)
    table.hits[torch.from_numpy(cupboards)] = 100
    grid = project(table, BAND)
    assert not grid.floor_found and grid.floor == pytest.approx(0.0, abs=1e-6)
    assert cell_of(grid, 0.02, 0.02) == OCCUPIED  # the table; as the floor it would be free
    assert project(table, BAND, 0.7).floor == pytest.approx(0.7, abs=1e-6)  # if it is given


def test_a_few_voxels_below_the_floor_are_noise():
    noisy = scene(lambda x, y: 0.0 * x)
    for x in np.arange(-1.0, 1.0, 0.2):
        put(noisy, OCCUPIED, x, 0.02, -0.4)
    grid = project(noisy, BAND)
    assert grid.floor_found and grid.floor == pytest.approx(0.0, abs=1e-6)


def test_floor_found_is_false_if_there_is_no_floor():
    occupancy = make_occupancy()
    put(occupancy, OCCUPIED, 0.5, 0.5, 0.5)
    grid = project(occupancy, BAND)
    assert not grid.floor_found and grid.floor == pytest.approx(0.0, abs=1e-6)


def test_the_thresholds_of_map_server_give_the_map_from_the_probabilities():
    random = np.random.default_rng(1)
    occupancy = make_occupancy()
    shape = tuple(occupancy.shape)
    hits = random.integers(0, 30, shape) * (random.random(shape) < 0.02)
    occupancy.hits[:] = torch.from_numpy(hits)
    occupancy.misses[:] = torch.from_numpy(random.integers(0, 60, shape))
    grid = project(occupancy, BAND)
    known = grid.cells != UNKNOWN
    assert len(np.unique(grid.cells)) == 3 and len(np.unique(grid.probabilities)) > 20
    assert (grid.probabilities[grid.cells == OCCUPIED] >= 65).all()
    assert (grid.probabilities[grid.cells == FREE] < 19.6).all()
    assert (grid.probabilities[known] >= 0).all() and (grid.probabilities <= 100).all()
    assert (grid.probabilities[~known] == UNKNOWN).all()


@pytest.mark.parametrize('hits', range(1, 16))
@pytest.mark.parametrize('misses', [2, 10, 11, 12, 16, 40, 200])
def test_cells_and_probabilities_agree_for_the_same_votes(hits, misses):
    occupancy = make_occupancy()
    occupancy.hits[:], occupancy.misses[:] = hits, misses
    grid = project(occupancy, BAND, 0.0)
    [cell] = set(grid.cells.ravel().tolist()) - {UNKNOWN} or [UNKNOWN]
    [probability] = set(grid.probabilities.ravel().tolist()) - {UNKNOWN} or [UNKNOWN]
    # Percentages are rounded down.
    low, high = {FREE: (0, 19), UNKNOWN: (UNKNOWN, UNKNOWN), OCCUPIED: (65, 100)}[cell]
    assert low <= probability <= high
