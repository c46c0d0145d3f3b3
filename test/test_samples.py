"""Samples: the intervals along a ray, in closed form, and the same on every backend."""
import numpy as np
import pytest
import torch
from randomness import floats, generator, unit

from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.backends.cpu.bricks import bricks_of
from instant_nerf_ros.nerf.backends.cpu.kernels import marching
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import OccupancyConfig, SamplingConfig
from instant_nerf_ros.nerf.constants import EMPTY, MAX_SAMPLES, SOLID, UNVISITED
from instant_nerf_ros.nerf.field.samples import sample
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

SHAPE = 8, 10, 12  # voxels of 0.5 m, from the origin
VOXEL = 0.5


def kernel_march(
    origins, directions, near, far, limits, jitter, surfaces, density_state, grid_origin,
    voxel_size, min_step, cone, band, band_samples, visited_only,
):  # fmt: skip
    """Do what reference.march does, except for the limits, with the kernels: in waves of three."""
    rays = marching.Rays(*(x.numpy() for x in (origins, directions, jitter, surfaces)))
    number = np.float32
    space = marching.Space(
        density_state.numpy(), bricks_of(density_state), grid_origin.numpy(), number(voxel_size),
        number(0), number(0), number(min_step), number(cone), number(band), band_samples,
        visited_only)
    state = marching.MarchState(
        *np.zeros((3, 1), dtype=np.float32), *np.zeros((2, 1), dtype=np.int32))
    starts, ends, offsets = [], [], [0]
    for ray in range(len(origins)):
        marching.begin(0, ray, number(near[ray]), number(far[ray]), rays, space, state)
        follow = True
        while follow:
            wave = np.zeros((2, 3), dtype=np.float32)
            count, follow = marching.advance(0, ray, rays, space, state, *wave)
            starts += wave[0, :count].tolist()
            ends += wave[1, :count].tolist()
        offsets.append(len(starts))
    return torch.tensor(offsets), torch.tensor(starts), torch.tensor(ends)


@pytest.fixture(params=[kernel_march, reference.march], ids=['cpu', 'reference'])
def function(request):
    return request.param


def march(function, origins, directions, voxels, near=0.0, far=3.0, jitter=0.5, surfaces=0.0,
          limit=MAX_SAMPLES, min_step=0.1, cone=0.0, band=0.2, band_samples=4,
          visited_only=False):  # fmt: skip
    """Return a list of (t_starts, t_ends) per ray; numbers serve for all rays."""
    count = len(origins)
    near, far, jitter, surfaces = (
        x if torch.is_tensor(x) else torch.full((count,), float(x))
        for x in (near, far, jitter, surfaces))
    offsets, t_starts, t_ends = function(
        origins, directions, near, far, torch.full((count,), limit, dtype=torch.int32), jitter,
        surfaces, voxels, torch.zeros(3), VOXEL, min_step, cone, band, band_samples,
        visited_only)  # fmt: skip
    assert offsets.dtype == torch.int64 and offsets[0] == 0 and len(offsets) == count + 1
    assert offsets[-1] == len(t_starts) == len(t_ends)
    return [(t_starts[a:b], t_ends[a:b]) for a, b in zip(offsets[:-1], offsets[1:])]


def filled(state):
    return torch.full(SHAPE, state, dtype=torch.uint8)


def one_ray(*direction, origin=(2.1, 2.6, 3.1)):
    direction = torch.tensor([direction], dtype=torch.float32)
    return torch.tensor([origin]), direction / direction.norm()


def close(actual, expected):
    torch.testing.assert_close(
        actual, torch.as_tensor(expected, dtype=torch.float32), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('state', [SOLID, UNVISITED])
def test_equal_steps_tile_the_ray_from_the_jittered_start_to_the_end(function, state):
    [(t_starts, t_ends)] = march(
        function, *one_ray(1, 0, 0), filled(state), near=0.3, far=1.04, jitter=0.25)
    close(t_starts, [0.325 + 0.1 * k for k in range(8)])
    close(t_ends, [*(0.425 + 0.1 * k for k in range(7)), 1.04])


def test_steps_grow_with_the_distance(function):
    [(t_starts, t_ends)] = march(
        function, *one_ray(0, 1, 0), filled(SOLID), near=0.5, far=2.0, jitter=0.5, cone=0.2)
    expected = [0.5 + 0.5 * 0.1]  # step(0.5) is the smallest step of 0.1 = 0.2 * 0.5
    while expected[-1] < 2.0:
        expected.append(expected[-1] + max(0.1, 0.2 * expected[-1]))
    close(t_starts, expected[:-1])
    close(t_ends, [*expected[1:-1], 2.0])


def test_empty_voxels_have_no_samples_and_unvisited_ones_if_requested(function):
    ray = one_ray(0, 0, 1)
    for state, visited_only, some in ((EMPTY, False, False), (EMPTY, True, False),
                                      (UNVISITED, True, False), (UNVISITED, False, True),
                                      (SOLID, True, True), (SOLID, False, True)):
        [(t_starts, _)] = march(function, *ray, filled(state), visited_only=visited_only)
        assert bool(len(t_starts)) == some


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('sign', [1, -1])
def test_samples_fill_the_one_layer_that_is_solid(function, axis, sign):
    voxels = filled(EMPTY)
    voxels.select(axis, 5).fill_(SOLID)  # from 2.5 to 3 m
    origin = [1.7, 2.2, 2.7]
    origin[axis] = 0.5 if sign > 0 else 3.9
    direction = [0.0, 0.0, 0.0]
    direction[axis] = sign
    [(t_starts, t_ends)] = march(
        function, *one_ray(*direction, origin=origin), voxels, min_step=0.02, jitter=0.3)
    enter = 2.5 - 0.5 if sign > 0 else 3.9 - 3.0
    close(t_starts[1:], t_ends[:-1])
    assert abs(t_starts[0] - enter) < 0.011 and abs(t_ends[-1] - (enter + 0.5)) < 0.011


def test_a_measured_surface_ends_the_ray_in_a_band(function):
    # Also in empty voxels; and steps end where the band begins.
    edges = [1.3, 1.4, 1.5, 1.6, 1.7]
    for state, before in ((EMPTY, []), (SOLID, [0.05, 0.45, 0.85, 1.25])):
        [(t_starts, t_ends)] = march(
            function, *one_ray(1, 0, 0), filled(state), surfaces=1.5, min_step=0.4, jitter=0.125)
        close(t_starts, [*before, *edges[:-1]])
        close(t_ends, [*before[1:], *([1.3] if before else []), *edges[1:]])


def test_a_surface_behind_the_end_keeps_the_end_and_adds_its_band(function):
    [(t_starts, t_ends)] = march(
        function, *one_ray(1, 0, 0), filled(SOLID), far=0.4, surfaces=1.5, min_step=0.2, jitter=0)
    close(t_starts, [0.0, 0.2, 1.3, 1.4, 1.5, 1.6])
    close(t_ends, [0.2, 0.4, 1.4, 1.5, 1.6, 1.7])


def test_a_surface_at_the_camera_has_no_samples_behind_it(function):
    [(t_starts, t_ends)] = march(function, *one_ray(1, 0, 0), filled(SOLID), surfaces=0.1)
    assert (t_starts >= 0).all() and (t_ends >= t_starts).all()
    close(t_ends[-1], 0.3)


def test_rays_without_an_interval_have_no_samples(function):
    origins, directions = torch.tensor([[2.0, 2.0, 2.0], [9.0, 9, 9], [-1, -1, -1]]), torch.tensor(
        [[1.0, 0.0, 0.0]] * 3)
    rays = march(function, origins, directions, filled(SOLID), near=torch.tensor([2.0, 0, 0]),
                 far=torch.tensor([1.0, 1.0, 0.5]))  # fmt: skip
    assert [len(t_starts) for t_starts, _ in rays] == [0, 0, 0]


def test_a_limit_keeps_the_first_samples_and_the_band():
    function = reference.march  # the kernels follow rays in waves instead
    arguments = {'surfaces': 2.5, 'min_step': 0.05}
    [(all_starts, all_ends)] = march(function, *one_ray(1, 0, 0), filled(SOLID), **arguments)
    [(t_starts, t_ends)] = march(
        function, *one_ray(1, 0, 0), filled(SOLID), limit=5, **arguments)  # fmt: skip
    close(t_starts, torch.cat([all_starts[:5], all_starts[-4:]]))
    close(t_ends, torch.cat([all_ends[:5], all_ends[-4:]]))


def random_batch(random, count):
    origins = floats(random.uniform(0, 4, (count, 3)))
    surfaces = floats(random.uniform(0.2, 4, count) * random.integers(0, 2, count))
    near = floats(random.uniform(0, 0.5, count))
    return {
        'origins': origins, 'directions': unit(random, count), 'near': near,
        'far': near + floats(random.uniform(-0.2, 5, count)), 'surfaces': surfaces,
        'jitter': floats(random.random(count)), 'min_step': 0.07, 'cone': 0.05,
        'voxels': torch.from_numpy(random.integers(0, 3, SHAPE).astype('uint8')),
    }  # fmt: skip


@pytest.mark.parametrize('visited_only', [False, True])
def test_samples_are_in_order_within_limits_and_in_voxels_that_count(function, visited_only):
    batch = random_batch(generator(), 500)
    rays = march(function, **batch, visited_only=visited_only)
    counted = torch.tensor([not visited_only, False, True])
    for ray, (t_starts, t_ends) in enumerate(rays):
        surface = batch['surfaces'][ray]
        assert (t_ends > t_starts).all() or surface < 0.2
        assert (t_starts[1:] >= t_ends[:-1] - 1e-6).all()
        if surface > 0:
            close(t_starts[-4:], (surface + torch.tensor([-0.2, -0.1, 0, 0.1])).clamp(min=0))
            close(t_ends[-1], surface + 0.2)
            t_starts, t_ends = t_starts[:-4], t_ends[:-4]
        assert (t_starts >= batch['near'][ray]).all()
        assert (t_ends <= batch['far'][ray] + 1e-6).all()
        steps = (t_starts * 0.05).clamp(min=0.07)
        assert (t_ends - t_starts <= steps + 1e-5).all()
        middles = (t_starts + t_ends)[:, None].double() / 2
        points = (batch['origins'][ray] + middles * batch['directions'][ray]) / VOXEL
        points = points[(points - points.round()).abs().min(-1).values > 1e-4]
        cells = points.floor().long()
        assert (cells >= 0).all() and (cells < torch.tensor(SHAPE)).all()
        assert counted[batch['voxels'][tuple(cells.T)].long()].all()


@pytest.mark.parametrize('visited_only', [False, True])
def test_cpu_places_the_samples_of_the_reference(visited_only):
    batch = random_batch(generator(), 2000)
    cpu, other = (march(place, **batch, visited_only=visited_only)
                  for place in (kernel_march, reference.march))
    # A middle on the face of a voxel may fall on either side: then the number differs.
    same = [len(a[0]) == len(b[0]) for a, b in zip(cpu, other)]
    assert sum(same) > 0.99 * len(same)
    off = 0
    for equal, actual, expected in zip(same, cpu, other):
        if equal and len(actual[0]):
            off += max((a - b).abs().max() for a, b in zip(actual, expected)) > 1e-4
    assert off < 0.005 * len(same)


@pytest.fixture
def occupancy():
    """Return a grid from -2 to 2 m in x, -1 to 1 m in y and in z."""
    config = OccupancyConfig(voxel_size=0.1, length=4.0, width=2.0, height=2.0)
    return OccupancyGrid(config, [0.0, 0.0, 0.0], reference)


def rays_of(origins, directions, surfaces=0.0):
    directions = torch.tensor(directions, dtype=torch.float32)
    return Rays(
        torch.tensor(origins, dtype=torch.float32), directions / directions.norm(dim=1)[:, None],
        torch.full((len(origins),), surfaces), torch.zeros(len(origins), 3, dtype=torch.uint8))


def take(rays, occupancy, config, jitter=None, stride=1.0):
    """Return samples of all places that may be solid."""
    jitter = torch.zeros(len(rays)) if jitter is None else jitter
    limits = torch.full((len(rays),), MAX_SAMPLES, dtype=torch.int32)
    return sample(rays, occupancy, config, reference.march, jitter, stride, limits,
                  visited_only=False)  # fmt: skip


def test_samples_end_where_the_grid_does(occupancy):
    rays = rays_of([[0, 0.5, 0], [-5, 0.5, 0], [0, 5, 0]], [[1, 0, 0]] * 3)
    samples = take(
        rays, occupancy, SamplingConfig(near=0.1, far=6.0, min_step=0.06, cone=0.0))
    inside, outside, missing = (
        samples.positions[a:b, 0] for a, b in zip(samples.offsets[:-1], samples.offsets[1:]))
    close(inside[:-1], 0.13 + 0.06 * torch.arange(31))  # from near
    close(inside[-1], (0.1 + 31 * 0.06 + 2) / 2)  # to the face at 2 m
    assert len(missing) == 0 and outside.min() > -2 and outside.max() < 1.0
    assert outside.min() < -1.94 and outside.max() > 0.94  # from the face to far
    far_away = rays_of([[0, 0, 0]], [[1, 0, 0]])
    cut = take(far_away, occupancy, SamplingConfig(near=0.5, far=1.0))
    close(cut.t_starts[0], 0.5)
    close(cut.t_ends[-1], 1.0)


def test_positions_are_the_middles_of_the_intervals_of_their_rays(occupancy):
    random = generator()
    rays = rays_of(random.uniform(-1, 1, (50, 3)).tolist(), random.normal(size=(50, 3)).tolist())
    config = SamplingConfig(near=0.2, far=10.0)
    samples = take(rays, occupancy, config, floats(random.random(50)))
    assert len(samples) == len(samples.positions) == samples.offsets[-1] > 500
    for ray, (a, b) in enumerate(zip(samples.offsets[:-1], samples.offsets[1:])):
        assert (samples.ray_indices[a:b] == ray).all()
        middles = (samples.t_starts[a:b] + samples.t_ends[a:b])[:, None] / 2
        close(samples.positions[a:b], rays.origins[ray] + middles * rays.directions[ray])


def test_stride_multiplies_the_steps(occupancy):
    config = SamplingConfig(near=0.2, far=10.0, min_step=0.03, cone=0.02)
    double = SamplingConfig(near=0.2, far=10.0, min_step=0.06, cone=0.04)
    rays = rays_of([[0, 0, 0]], [[1, 0.2, 0.1]])
    strided = take(rays, occupancy, config, stride=2.0)
    doubled = take(rays, occupancy, double)
    close(strided.t_starts, doubled.t_starts)
    assert len(strided) > 10


def test_the_kernels_clip_rays_as_the_grid_does(occupancy):
    random = generator()
    rays = rays_of(random.uniform(-4, 4, (500, 3)).tolist(), random.normal(size=(500, 3)).tolist())
    number = np.float32
    space = marching.Space(
        occupancy.density_state.numpy(), bricks_of(occupancy.density_state),
        occupancy.origin.numpy(), number(0.1), number(0.3), number(6), number(0), number(0),
        number(0), 0, False)
    near, far = occupancy.clip(rays, 0.3, 6.0)
    for ray in range(len(rays)):
        low, high = marching.clip(
            rays.origins[ray].numpy(), rays.directions[ray].numpy(), space)
        close(torch.tensor([low, high]), [near[ray], far[ray]])
    assert (near < far).sum() > 20 and (near > far).sum() > 20


def test_a_ray_has_at_most_max_samples(function):
    [(t_starts, _)] = march(function, *one_ray(0, 0, 1), filled(SOLID), min_step=0.002)
    assert len(t_starts) == MAX_SAMPLES
