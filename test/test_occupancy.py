"""Occupancy grid: votes of rays and densities of the field, in closed form, on every backend."""
import itertools
import math

import numpy as np
import pytest
import torch
from randomness import floats, generator, unit

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends.reference.voxels import state
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import OccupancyConfig
from instant_nerf_ros.nerf.constants import (
    EMPTY,
    EMPTY_MISSES,
    FREE,
    MAX_MISSES,
    MAX_VOTES,
    MIN_HITS,
    MISS_WEIGHT,
    OCCUPIED,
    SOLID,
    SURFACE_WEIGHT,
    THIN_WEIGHT,
    UNKNOWN,
    UNVISITED,
)
from instant_nerf_ros.nerf.occupancy import sparse_memory
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.occupancy.voxel_states import voxel_states
from instant_nerf_ros.nerf.products import grids

SHAPE = 8, 10, 12  # voxels of 0.5 m, from the origin
VOXEL = 0.5


@pytest.fixture(params=['cpu', 'reference'])
def backend(request):
    return backends.select(request.param)


class Grids:
    """The arrays that integrate_rays writes, all zero."""

    def __init__(self):
        self.hits, self.misses, self.last_keyframe, self.density_state = torch.zeros(
            4, *SHAPE, dtype=torch.uint8)
        self.colors = torch.zeros(*SHAPE, 3, dtype=torch.uint8)

    def integrate_rays(
        self, backend, origins, directions, distances, clear_distances=None, measured=True,
        pixel=(0, 0, 0), keyframe=1, weight=MIN_HITS,
    ):  # fmt: skip
        """Integrate rays of one color, clear up to a voxel before their ends; return self."""
        origins, directions = torch.as_tensor(origins), torch.as_tensor(directions)
        distances = torch.as_tensor(distances).float()
        if clear_distances is None:
            clear_distances = distances - VOXEL
        clear_distances = torch.as_tensor(clear_distances).float()
        backend.integrate_rays(
            origins.float(), directions.float(), distances, clear_distances, measured, weight,
            torch.tensor([pixel] * len(origins), dtype=torch.int16), keyframe, self.hits,
            self.misses, self.last_keyframe, self.colors, self.density_state, torch.zeros(3),
            VOXEL)
        return self

    def integrate_often(self, backend, count, *rays, **options):
        """Integrate the same rays of so many keyframes."""
        for keyframe in range(count):
            self.integrate_rays(backend, *rays, keyframe=keyframe % 255 + 1, **options)
        return self

    def cells(self, name):
        """Return {cell: votes} of what is not zero, in units of one vote."""
        array = getattr(self, name)
        one = {'hits': MIN_HITS, 'misses': MISS_WEIGHT}[name]
        return {tuple(cell): array[tuple(cell)].item() / one for cell in array.nonzero().tolist()}

    def state(self, backend, cell):
        """Return the state of a voxel."""
        return backend.states(self.hits, self.misses)[cell].item()


def update_density(
    backend, positions, densities, density, density_state, decay=0.5, threshold=1.0,
):  # fmt: skip
    backend.update_density(
        torch.tensor(positions), torch.tensor(densities), density, density_state, torch.zeros(3),
        VOXEL, decay, threshold)


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('sign', [1, -1])
def test_a_ray_passes_what_it_crosses_and_hits_where_it_ends(backend, axis, sign):
    origin, direction = [1.2, 1.2, 1.2], [0.0, 0.0, 0.0]
    origin[axis] = 0.2 if sign > 0 else 3.8
    direction[axis] = float(sign)
    grids = Grids().integrate_rays(backend, [origin], [direction], [2.0])

    def cell(index):
        cell = [2, 2, 2]
        cell[axis] = index if sign > 0 else 7 - index
        return tuple(cell)

    # From 0.2 to 2.2 m; passes end one voxel edge earlier, at 1.7 m.
    assert grids.cells('misses') == {cell(index): 1 for index in range(4)}
    assert grids.cells('hits') == {cell(4): 1}


def test_a_short_ray_only_hits_and_no_distance_is_no_ray(backend):
    grids = Grids().integrate_rays(
        backend, [[1.2, 1.2, 1.2]] * 3, [[0, 0, 1.0]] * 3, [0.4, 0.0, -1.0])
    assert grids.cells('hits') == {(2, 2, 3): 1} and not grids.cells('misses')


def test_rays_from_and_to_the_outside_count_inside(backend):
    grids = Grids().integrate_rays(backend, [[-1.7, 1.2, 1.2], [1.2, 4.8, 1.2]],
                          [[1.0, 0, 0], [0, 1.0, 0]], [30.0, 9.0])  # fmt: skip
    through = {(index, 2, 2): 1 for index in range(8)}
    assert grids.cells('misses') == {**through, (2, 9, 2): 1} and not grids.cells('hits')
    grids = Grids().integrate_rays(backend, [[9.0, 9.0, 9.0]], [[1.0, 0, 0]], [5.0])
    assert not grids.cells('misses') and not grids.cells('hits')


def test_a_diagonal_ray_crosses_the_faces_in_order(backend):
    # From (0.1, 0.3, 0.2) along (1, 1, 0): the face y = 0.5 comes first, then x = 0.5, and so on.
    direction = [math.sqrt(0.5), math.sqrt(0.5), 0.0]
    grids = Grids().integrate_rays(backend, [[0.1, 0.3, 0.2]], [direction], [math.sqrt(2) * 1.25])
    # It ends at (1.35, 1.55), and passes up to (0.996, 1.196).
    assert grids.cells('misses') == {
        (0, 0, 0): 1, (0, 1, 0): 1, (1, 1, 0): 1, (1, 2, 0): 1}  # fmt: skip
    assert grids.cells('hits') == {(2, 3, 0): 1}


def test_a_ray_that_starts_on_a_face_does_not_pass_what_it_only_touches(backend):
    for sign, cells in ((1, (2, 3, 4)), (-1, (1,))):
        grids = Grids().integrate_rays(
            backend, [[1.0, 1.2, 1.2]], [[float(sign), 0, 0]], [0.0], clear_distances=[1.4])
        passed = {(cell, 2, 2): 1 for cell in cells if 0.5 * cell < 2.4}
        if sign < 0:
            passed[0, 2, 2] = 1
        assert grids.cells('misses') == passed and not grids.cells('hits')


def test_a_keyframe_has_one_vote_on_a_voxel_and_a_hit_comes_before_a_pass(backend):
    # Two rays end in voxel 4, a third crosses it and ends in voxel 6.
    grids = Grids().integrate_rays(
        backend, [[0.2, 1.2, 1.2]] * 3, [[1.0, 0, 0]] * 3, [2.0, 2.1, 3.2])
    assert grids.cells('hits') == {(4, 2, 2): 1, (6, 2, 2): 1}
    assert grids.cells('misses') == {(index, 2, 2): 1 for index in (0, 1, 2, 3, 5)}


@pytest.mark.parametrize('measured, needed', [(True, 1), (False, 2)])
def test_a_keyframe_has_one_vote_however_often_it_is_integrated(backend, measured, needed):
    rays = [[0.2, 1.2, 1.2]] * 50, [[1.0, 0, 0]] * 50, [2.0] * 50
    grids = Grids()
    for keyframe in range(1, needed + 1):  # what is not measured needs a second viewpoint
        assert grids.state(backend, (4, 2, 2)) == grids.state(backend, (1, 2, 2)) == UNKNOWN
        for _ in range(20):
            grids.integrate_rays(backend, *rays, keyframe=keyframe, measured=measured)
    assert grids.state(backend, (4, 2, 2)) == OCCUPIED
    assert grids.state(backend, (1, 2, 2)) == FREE
    assert set(grids.cells('hits').values()) == {1} == set(grids.cells('misses').values())


@pytest.mark.parametrize('weight', [SURFACE_WEIGHT, THIN_WEIGHT])
def test_weights_of_hits_and_misses_decide_between_them(backend, weight):
    """Of a thin thing most rays see past, of a smooth surface fewer: see the weights."""
    grids, cell = Grids(), (4, 2, 2)
    line = [[0.2, 1.2, 1.2]], [[1.0, 0, 0]]
    grids.integrate_rays(backend, *line, [2.0], keyframe=1, weight=weight)
    for keyframe in range(2, 2 + weight // MISS_WEIGHT):
        grids.integrate_rays(backend, *line, [0.0], clear_distances=[3.6], keyframe=keyframe)
        assert grids.state(backend, cell) == OCCUPIED
    grids.integrate_rays(backend, *line, [0.0], clear_distances=[3.6], keyframe=200)
    assert grids.state(backend, cell) == FREE


def test_a_ray_whose_end_nobody_knows_tells_of_its_reach_only(backend):
    grids = Grids().integrate_rays(
        backend, [[0.2, 1.2, 1.2]], [[1.0, 0, 0]], [0.0], clear_distances=[1.0])
    assert grids.cells('misses') == {(index, 2, 2): 1 for index in range(3)}
    assert not grids.cells('hits')


@pytest.mark.parametrize('rays', [1, 40])
@pytest.mark.parametrize('weight', [SURFACE_WEIGHT, THIN_WEIGHT])
def test_an_obstacle_that_is_gone_clears_as_documented(backend, rays, weight):
    """From full memory it is free after at most 20 keyframes that see through, as docs say."""
    grids, cell = Grids(), (4, 2, 2)
    through = [[0.2, 1.2, 1.2]] * rays, [[1.0, 0, 0]] * rays, [0.0] * rays
    grids.integrate_often(backend, 200, *through[:2], [2.0] * rays, weight=weight)
    assert grids.hits[cell] > MAX_VOTES // 2 and grids.state(backend, cell) == OCCUPIED
    states = []
    for keyframe in range(40):
        grids.integrate_rays(
            backend, *through, clear_distances=[3.6] * rays, keyframe=keyframe + 1)
        states.append(grids.state(backend, cell))
    assert states == sorted(states, reverse=True)  # it does not flicker
    assert states[4] == OCCUPIED and states[20:] == [FREE] * 20


@pytest.mark.parametrize('before', range(200, 209))  # however often it was seen through
def test_an_obstacle_that_comes_is_seen_after_four_keyframes(backend, before):
    grids, cell = Grids(), (4, 2, 2)
    rays = [[0.2, 1.2, 1.2]], [[1.0, 0, 0]]
    grids.integrate_often(backend, before, *rays, [0.0], clear_distances=[3.6])
    assert grids.state(backend, cell) == FREE and grids.misses[cell] == MAX_MISSES
    for keyframe in range(4):
        grids.integrate_rays(
            backend, *rays, [2.0], keyframe=keyframe + 220, weight=SURFACE_WEIGHT)
    assert grids.state(backend, cell) == OCCUPIED


def test_full_counts_are_halved_together(backend):
    for name, other, cell, added in (
            ('misses', 'hits', (1, 2, 2), MISS_WEIGHT), ('hits', 'misses', (4, 2, 2), MIN_HITS)):
        grids = Grids()
        getattr(grids, name)[cell] = 43
        getattr(grids, other)[cell] = MAX_VOTES - 43
        grids.integrate_rays(backend, [[0.7, 1.2, 1.2]], [[1.0, 0, 0]], [1.6])
        assert getattr(grids, name)[cell] == 43 // 2 + added
        assert getattr(grids, other)[cell] == (MAX_VOTES - 43) // 2
    grids = Grids().integrate_often(
        backend, 300, [[0.2, 1.2, 1.2]], [[1.0, 0, 0]], [2.0], weight=THIN_WEIGHT)
    assert grids.misses.max() == MAX_MISSES
    assert MAX_VOTES // 2 <= grids.hits.max() < MAX_VOTES + THIN_WEIGHT


def test_the_first_hit_colours_a_voxel_and_later_ones_move_it_by_a_quarter(backend):
    grids = Grids()
    for keyframe, (pixel, expected) in enumerate((
            ((200, 0, 100), (200, 0, 100)), ((100, 200, 100), (175, 50, 100)),
            ((0, 50, 255), (131, 50, 139)))):  # fmt: skip
        grids.integrate_rays(
            backend, [[0.2, 1.2, 1.2]], [[1.0, 0, 0]], [2.0], pixel=pixel, keyframe=keyframe + 1)
        np.testing.assert_allclose(grids.colors[4, 2, 2].tolist(), expected, atol=1)
    assert (grids.colors != 0).any(-1).sum() == 1


def test_a_ray_without_colour_votes_but_colours_nothing(backend):
    grids, none = Grids(), (-1, -1, -1)
    for keyframe, (pixel, expected) in enumerate((
            (none, (0, 0, 0)), ((200, 0, 100), (200, 0, 100)), (none, (200, 0, 100)),
            ((100, 200, 100), (175, 50, 100)))):  # fmt: skip
        grids.integrate_rays(
            backend, [[0.2, 1.2, 1.2]], [[1.0, 0, 0]], [2.0], pixel=pixel, keyframe=keyframe + 1)
        np.testing.assert_allclose(grids.colors[4, 2, 2].tolist(), expected, atol=1)
    assert grids.hits[4, 2, 2] == 4 * MIN_HITS


def test_only_measured_rays_clear_the_voxels_of_the_field(backend):
    for measured in (True, False):
        grids = Grids()
        grids.density_state.fill_(SOLID)
        grids.integrate_often(
            backend, 30, [[0.2, 1.2, 1.2]], [[1.0, 0, 0]], [2.0], measured=measured)
        cleared = {tuple(cell) for cell in (grids.density_state == EMPTY).nonzero().tolist()}
        assert cleared == ({(index, 2, 2) for index in range(4)} if measured else set())
        assert ((grids.density_state == EMPTY) | (grids.density_state == SOLID)).all()


def test_what_was_hit_often_is_not_cleared_by_a_passing_ray(backend):
    grids = Grids()
    grids.density_state.fill_(SOLID)
    grids.hits[2, 2, 2] = MAX_VOTES
    grids.integrate_often(backend, EMPTY_MISSES, [[0.2, 1.2, 1.2]], [[1.0, 0, 0]], [2.0])
    assert grids.density_state[2, 2, 2] == SOLID and grids.density_state[1, 2, 2] == EMPTY


def test_cpu_carves_as_the_reference_does():
    random = generator()
    count = 400
    origins, directions = floats(random.uniform(-1, 7, (count, 3))), unit(random, count)
    distances = floats(random.uniform(-0.5, 6, count))
    cpu, other = Grids(), Grids()
    for k in range(8):
        part = slice(50 * k, 50 * k + 50)
        for made, name in ((cpu, 'cpu'), (other, 'reference')):
            made.integrate_rays(
                backends.select(name), origins[part], directions[part], distances[part],
                keyframe=k + 1)
    for name in ('hits', 'misses', 'density_state'):
        actual, expected = getattr(cpu, name), getattr(other, name)
        assert (actual != expected).sum() < 0.005 * expected.numel() and expected.any()
    for axis in range(3):  # no axis is like another
        sums = [grid.misses.sum(dim=[a for a in range(3) if a != axis]) for grid in (cpu, other)]
        assert (sums[0] - sums[1]).abs().max() <= 3


def test_states_of_the_extremes(backend):
    hits, misses = torch.tensor([
        [0, 0], [0, 255], [255, 0], [255, 255], [0, 1], [MIN_HITS, 0], [7, 7], [7, 8], [8, 7],
        [MIN_HITS - 1, 0], [MIN_HITS - 1, 1], [MIN_HITS - 1, MIN_HITS],
    ], dtype=torch.uint8).T.contiguous()[:, :, None, None]  # fmt: skip
    states = backend.states(hits, misses).flatten().tolist()
    assert states == [
        UNKNOWN, FREE, OCCUPIED, OCCUPIED, FREE, OCCUPIED, OCCUPIED, FREE, OCCUPIED,
        UNKNOWN, UNKNOWN, FREE]


def test_states_agree_for_all_counts_and_only_sink_as_rays_pass():
    counts = torch.arange(256).byte()
    hits, misses = counts[:, None, None].expand(256, 256, 1), counts[None, :, None].expand(
        256, 256, 1)
    cpu, other = (backends.select(name).states(hits.contiguous(), misses.contiguous())[..., 0]
                  for name in ('cpu', 'reference'))  # fmt: skip
    assert torch.equal(cpu, other) and cpu.dtype == torch.int8
    order = {OCCUPIED: 2, UNKNOWN: 1, FREE: 0}
    rank = torch.tensor([[order[value] for value in row] for row in cpu[:, 10:].tolist()])
    assert (rank.diff(dim=1) <= 0).all() and (rank.diff(dim=0) >= 0).all()
    for h, p in itertools.product((0, 2, 5, 40, 200), repeat=2):
        assert cpu[h, p] == state(h, p)


def test_a_voxel_is_empty_after_enough_visits_without_density_and_solid_after_one_with(backend):
    stored, voxels = torch.zeros(SHAPE), torch.zeros(SHAPE, dtype=torch.uint8)
    position = [[0.7, 2.2, 5.9]]  # voxel (1, 4, 11)
    cell = 1, 4, 11
    # It starts at twice the threshold: 2, then 2 * 0.6 = 1.2, then 0.72.
    for expected_value, expected in ((1.2, SOLID), (0.72, EMPTY)):
        update_density(backend, position, [0.0], stored, voxels, decay=0.6)
        assert voxels[cell] == expected
        assert stored[cell].item() == pytest.approx(expected_value, rel=1e-5)
    update_density(backend, position, [5.0], stored, voxels, decay=0.6)
    assert voxels[cell] == SOLID and stored[cell] == 5.0
    update_density(backend, position, [3.5], stored, voxels, decay=0.6)  # more than 0.6 * 5
    assert stored[cell] == 3.5
    assert (voxels != UNVISITED).sum() == 1 and (stored != 0).sum() == 1


def test_visits_outside_of_the_grid_and_none_at_all_change_nothing(backend):
    stored, voxels = torch.zeros(SHAPE), torch.zeros(SHAPE, dtype=torch.uint8)
    outside = [[-0.01, 1.0, 1.0], [4.01, 1.0, 1.0], [1.0, 5.01, 1.0], [1.0, 1.0, 6.01],
               [1.0, -9.0, 1.0], [1.0, 1.0, -0.3]]  # fmt: skip
    update_density(backend, outside, [9.0] * 6, stored, voxels)
    backend.update_density(
        torch.empty(0, 3), torch.empty(0), stored, voxels, torch.zeros(3), VOXEL, 0.5, 1)
    assert not voxels.any() and not stored.any()


def test_cpu_visits_as_the_reference_does():
    random = generator()
    positions = floats(random.uniform(-0.5, 6, (20000, 3)))  # some 20 to a voxel, in their order
    densities = floats(random.exponential(1.0, 20000))
    found = []
    for name in ('cpu', 'reference'):
        stored, voxels = torch.zeros(SHAPE), torch.zeros(SHAPE, dtype=torch.uint8)
        backends.select(name).update_density(
            positions, densities, stored, voxels, torch.zeros(3), VOXEL, 0.8, 1.5)
        found.append((stored, voxels))
    (cpu_stored, cpu_voxels), (stored, voxels) = found
    assert (~torch.isclose(cpu_stored, stored, rtol=1e-5)).sum() < 0.005 * stored.numel()
    assert (cpu_voxels != voxels).sum() < 0.005 * stored.numel()
    assert (voxels == EMPTY).any() and (voxels == SOLID).any()


def make(backend, center=(0.0, 0.0, 0.0), **settings):
    config = {'voxel_size': 0.1, 'length': 2.0, 'width': 1.5, 'height': 1.0, **settings}
    return OccupancyGrid(OccupancyConfig(**config), center, backend)


def test_the_grid_is_centred_on_the_first_camera_and_on_the_lattice_of_the_world(backend):
    for center in ([0.0, 0.0, 0.0], [3.14, -2.72, 1.41], [-100.03, 55.55, 0.38]):
        occupancy = make(backend, center)
        assert occupancy.shape == (20, 15, 10)
        middle = occupancy.corner + np.array(occupancy.shape) * 0.1 / 2
        assert np.abs(middle - center).max() <= 0.1
        # Corners on multiples of the voxel size in x and y, in z between two of them.
        cells = occupancy.corner / 0.1 + [0.0, 0.0, 0.5]
        np.testing.assert_allclose(cells, np.round(cells), atol=1e-6)


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('sign', [1, -1])
def test_include_grows_by_doubling_and_leaves_all_in_its_place(backend, axis, sign):
    random = generator()
    occupancy = make(backend)
    names = 'density', 'density_state', 'hits', 'misses', 'last_keyframe', 'colors'
    for name in names:
        grid = getattr(occupancy, name)
        grid.copy_(torch.from_numpy(random.integers(1, 200, grid.shape)))
    before = {name: getattr(occupancy, name).clone() for name in names}
    shape, corner = occupancy.shape, occupancy.corner
    occupancy.grow_to(corner + 0.05)
    assert occupancy.shape == shape
    position = np.zeros(3)
    position[axis] = sign * 5.0
    occupancy.grow_to(position)
    factor = occupancy.shape[axis] / shape[axis]
    assert math.log2(factor) % 1 == 0 and factor > 1
    assert [a == b for a, b in zip(occupancy.shape, shape)] == [a != axis for a in range(3)]
    inside = (position - occupancy.corner) / 0.1
    assert (inside >= 0).all() and (inside < occupancy.shape).all()
    # It is not larger than it has to be: half of it would not have held both.
    assert factor / 2 * shape[axis] * 0.1 < 5.0 + shape[axis] * 0.1
    first = np.round((corner - occupancy.corner) / 0.1).astype(int)
    old = tuple(slice(f, f + n) for f, n in zip(first, shape))
    for name in names:
        grid = getattr(occupancy, name)
        assert grid.shape[:3] == occupancy.shape
        assert torch.equal(grid[old], before[name])
        assert (grid != 0).sum() == before[name].count_nonzero()  # and nothing elsewhere
        np.testing.assert_allclose(occupancy.origin, occupancy.corner, rtol=1e-6)


def test_where_the_gpu_has_no_memory_to_grow_nothing_changes(backend, monkeypatch):
    occupancy = make(backend)
    before = occupancy.shape, occupancy.density_state, occupancy.colors
    made, zeros = [], sparse_memory.zeros

    def until_memory_ends(*arguments):
        if len(made) == 3:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')
        made.append(zeros(*arguments))
        return made[-1]

    monkeypatch.setattr(sparse_memory, 'zeros', until_memory_ends)
    with pytest.raises(ValueError, match="no memory .* enlarge 'occupancy.voxel_size'"):
        occupancy.grow_to(np.array([5.0, 0.0, 0.0]))
    assert before[0] == occupancy.shape
    assert before[1] is occupancy.density_state and before[2] is occupancy.colors


def test_a_wall_before_a_depth_camera(backend):
    # The camera is at x = 0 and looks along x at a wall at x = 1.23, in the layer from 1.2 to 1.3.
    random = generator()
    occupancy = make(backend, (1.0, 0.0, 0.0), length=3.0)
    count = 5000
    directions = floats(np.stack(
        [np.ones(count), *random.uniform(-0.35, 0.35, (2, count))], axis=-1))  # fmt: skip
    length = directions.norm(dim=1)
    origins = torch.zeros(count, 3) + torch.tensor([0.0, 0.01, 0.01])
    surfaces = 1.23 * length
    rays = Rays(origins, directions / length[:, None], surfaces,
                torch.full((count, 3), 80, dtype=torch.uint8))  # fmt: skip
    for keyframe in range(2):
        occupancy.integrate_rays(rays, surfaces, surfaces - 0.1, True, keyframe)
    grid = grids.voxels(occupancy)
    states = grid.states
    x, y, z = (grid.origin + (np.indices(states.shape).reshape(3, -1).T + 0.5) * 0.1).T
    states = states.flatten()
    # Cells that the cone of the rays fills.
    seen = (np.abs(y - 0.01) < 0.35 * x - 0.15) & (np.abs(z - 0.01) < 0.35 * x - 0.15)
    wall = np.abs(x - 1.25) < 0.01
    assert (states[wall & seen] == OCCUPIED).all() and (wall & seen).sum() > 20
    front = seen & (x < 1.1)
    assert (states[front] == FREE).all() and front.sum() > 20
    assert (states[x > 1.3] == UNKNOWN).all()
    aside = (np.abs(y - 0.01) > 0.35 * x + 0.15) | (x < -0.1)
    assert (states[aside] == UNKNOWN).all()
    assert (states[x < 1.15] != OCCUPIED).all()
    hit = occupancy.colors[occupancy.hits > 0]
    assert len(hit) and (hit == 80).all()


def test_visits_reach_the_voxel_that_holds_the_position(backend):
    occupancy = make(backend, (3.0, -2.0, 1.0))
    position = np.array([3.42, -2.31, 1.27])
    occupancy.update_density(floats(position[None]), torch.tensor([1e4]))
    index = tuple(np.floor((position - occupancy.corner) / 0.1).astype(int))
    assert occupancy.density_state[index] == SOLID
    assert (occupancy.density_state != UNVISITED).sum() == 1
    assert (grids.voxels(occupancy).states == UNKNOWN).all()  # the field alone makes no map


def test_all_that_rays_tell_of_lies_in_the_window_also_after_growth(backend):
    random = generator()
    occupancy = make(backend, (3.0, -2.0, 1.0), length=8.0)
    for center in ((3.0, -2.0, 1.0), (-2.0, -2.0, 1.0)):
        occupancy.grow_to(center)
        count = 200
        origins = floats(center + random.uniform(-0.3, 0.3, (count, 3)))
        distances = floats(random.uniform(-0.2, 1.0, count))
        rays = Rays(origins, unit(random, count), distances.clamp(min=0),
                    torch.zeros(count, 3, dtype=torch.uint8))  # fmt: skip
        occupancy.integrate_rays(rays, distances, distances - 0.1, True, 0)
        told = (occupancy.hits > 0) | (occupancy.misses > 0)
        inside = torch.zeros_like(told)
        inside[occupancy.window()] = True
        assert told.sum() > 100 and not (told & ~inside).any()
        assert inside.any(2).any(1).sum() < len(inside)


def test_a_voxel_that_one_image_alone_has_hit_is_a_speck_unless_it_is_part_of_something(backend):
    hits, misses = torch.zeros(2, *SHAPE, dtype=torch.uint8)
    misses += 4
    lone, crossed_never, seen_twice = (1, 1, 1), (1, 5, 1), (1, 8, 1)
    leg, wall = (4, 7, slice(1, 9)), (7, slice(1, 6), slice(1, 6))
    for cell, votes in ((lone, 1), (crossed_never, 1), (seen_twice, 2), (leg, 2), (wall, 1)):
        hits[cell] = votes * THIN_WEIGHT
    misses[crossed_never] = 0
    states = voxel_states(backend, hits, misses)
    assert (backend.states(hits, misses)[leg] == OCCUPIED).all()
    assert states[lone] == FREE and states[crossed_never] == UNKNOWN
    assert states[seen_twice] == OCCUPIED and (states[leg] == OCCUPIED).all()
    corners = np.zeros((5, 5), bool)
    corners[::4, ::4] = True  # of the wall, with three neighbors
    np.testing.assert_array_equal(states[wall] == OCCUPIED, ~corners)
    misses[wall] = 0
    assert (voxel_states(backend, hits, misses)[wall] == OCCUPIED).all()
