"""Bricks: a march that crosses them at once has the samples of one that visits all voxels."""
import numpy as np
import pytest
import torch
from randomness import generator

from instant_nerf_ros.nerf.backends import cpu
from instant_nerf_ros.nerf.backends.cpu.bricks import bricks_of
from instant_nerf_ros.nerf.backends.cpu.kernels import marching
from instant_nerf_ros.nerf.backends.cpu.kernels.bricks import BRICK
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import jit
from instant_nerf_ros.nerf.constants import EMPTY, SOLID, UNVISITED

WAVE = 5
number = np.float32


@jit
def all_samples(rays, near, far, space, state, intervals, counts):
    """Write the intervals (2, N) of all rays, and the number of each ray."""
    total = 0
    for ray in range(len(near)):
        enter, leave = marching.clip(rays.origins[ray], rays.directions[ray], space)
        marching.begin(
            0, ray, max(enter, near[ray]), min(leave, far[ray]), rays, space, state)
        follow, first = True, total
        while follow:
            count, follow = marching.advance(
                0, ray, rays, space, state, intervals[0, total : total + WAVE],
                intervals[1, total : total + WAVE])
            total += count
        counts[ray] = total - first
    return total


def march(rays, near, far, space):
    """Return the bits of all intervals (2, N), and the number of each ray."""
    state = marching.MarchState(
        *np.zeros((3, 1), dtype=number), *np.zeros((2, 1), dtype=np.int32))
    intervals = np.zeros((2, 1100 * len(near)), dtype=number)
    counts = np.zeros(len(near), dtype=np.int64)
    total = all_samples(rays, near, far, space, state, intervals, counts)
    return intervals[:, :total].view(np.int32), counts


def assert_same_samples(rays, near, far, space):
    """Compare the bits with those of a march that visits all; return the number of samples."""
    visiting = space._replace(bricks=np.full_like(space.bricks, SOLID))
    for actual, expected in zip(march(rays, near, far, space), march(rays, near, far, visiting)):
        np.testing.assert_array_equal(actual, expected)
    return int(march(rays, near, far, space)[1].sum())


def space_of(voxels, corner, voxel_size, min_step, cone=0.0, visited_only=False):
    return marching.Space(
        voxels.numpy(), bricks_of(voxels), corner, number(voxel_size), number(0), number(1e9),
        number(min_step), number(cone), number(voxel_size), 4, visited_only)


def random_rays(random, corner, voxel_size, shape, count=1500):
    """Return rays from in and around a grid: any, along axes and diagonals, beside edges."""
    size, brick = np.array(shape) * voxel_size, BRICK * voxel_size
    origins = corner + random.uniform(-0.3, 1.3, (count, 3)) * size
    directions = random.normal(size=(count, 3))
    part = count // 5
    directions[:part] = np.eye(3)[random.integers(0, 3, part)] * random.choice([-1, 1], (part, 1))
    directions[part : 2 * part] = random.choice([-1, 1], (part, 3)) * [1, 1, 0]
    directions[2 * part : 3 * part] *= [1, 1e-6, 1e-4]
    snapped = random.random(count) < 0.5  # to corners of bricks
    origins[snapped] = corner + brick * np.round((origins[snapped] - corner) / brick)
    targets = corner + brick * np.round(random.uniform(0, 1, (count, 3)) * size / brick)
    aimed = (random.random(count) < 0.2) & (np.linalg.norm(targets - origins, axis=1) > 1e-6)
    directions[aimed] = (targets - origins)[aimed]
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    near = random.uniform(0, 0.2, count) * size.max()
    far = near + random.uniform(-0.1, 2, count) * size.max()
    surfaces = random.uniform(0.1, 2, count) * size.max() * random.integers(0, 2, count)
    return marching.Rays(*(x.astype(number) for x in (
        origins, directions, random.random(count), surfaces))), near.astype(number), far.astype(
            number)


def random_voxels(random, shape, fill):
    """Return voxels of one state, or EMPTY ones with a few boxes in them."""
    if fill is not None:
        return torch.full(shape, fill, dtype=torch.uint8)
    voxels = torch.full(shape, EMPTY, dtype=torch.uint8)
    for _ in range(random.integers(1, 6)):
        low = random.integers(0, shape)
        box = tuple(map(slice, low, low + random.integers(1, 12, 3)))
        voxels[box] = int(random.choice([UNVISITED, SOLID]))
    return voxels


@pytest.mark.parametrize('fill', [EMPTY, UNVISITED, SOLID, None])
@pytest.mark.parametrize('shape', [(60, 75, 52), (3, 1, 9), (8, 16, 24), (1400, 5, 1100)])
def test_the_samples_are_those_without_bricks(shape, fill):
    random = generator()
    for cone, visited_only in ((0.0, False), (0.02, True), (0.1, False)):
        voxel_size = float(10 ** random.uniform(-2, 0))
        corner = (random.uniform(-50, 50, 3) * voxel_size).astype(number)
        voxels = random_voxels(random, shape, fill)
        space = space_of(
            voxels, corner, voxel_size, voxel_size * random.choice([0.3, 1.7]), cone, visited_only)
        assert_same_samples(*random_rays(random, corner, voxel_size, shape), space)


def test_bricks_follow_the_voxels():
    random, shape, size = generator(), (40, 33, 50), 0.1
    voxels, density = torch.full(shape, EMPTY, dtype=torch.uint8), torch.zeros(shape)
    corner, counts = np.zeros(3, number), []
    others = [torch.zeros(shape, dtype=torch.uint8) for _ in range(3)]
    rays = random_rays(random, corner, size, shape)

    def check():
        counts.append(assert_same_samples(*rays, space_of(voxels, corner, size, 0.04)))

    def update(value):
        positions = torch.from_numpy(random.uniform(0, 3, (20, 3)).astype(number))
        cpu.update_density(
            positions, torch.full((20,), value), density, voxels, torch.from_numpy(corner), size,
            0.0, 1.0)

    check()
    for _ in range(3):
        update(5.0)  # SOLID
        check()
    assert counts == sorted(set(counts))
    update(0.0)
    check()
    voxels[10:20, 10:20, 10:20] = SOLID  # by others than the kernels
    check()
    assert counts[-1] > counts[-2]
    origins, directions = torch.tensor([[1.5, 1.5, -1.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    for keyframe in range(1, 5):  # rays of several keyframes clear a column
        cpu.integrate_rays(
            origins, directions, torch.zeros(1), torch.full((1,), 9.0), True, 3,
            torch.zeros(1, 3, dtype=torch.int16), keyframe, *others,
            torch.zeros(*shape, 3, dtype=torch.uint8), voxels, torch.from_numpy(corner), size)
    assert (voxels[15, 15] == EMPTY).all()
    check()
    assert counts[-1] < counts[-2]


def test_a_ray_begins_and_ends_at_the_bricks_that_are_not_empty():
    voxels = torch.full((80, 8, 8), EMPTY, dtype=torch.uint8)
    voxels[44, 4, 4] = SOLID  # in the brick from voxel 40 to 48
    space = space_of(voxels, np.zeros(3, number), 1.0, 0.5)
    origins = np.full((2, 3), [0.0, 4.5, 4.5], number)
    directions = np.array([[1, 0, 0], [0.1, 0.995, 0]], number)
    rays = marching.Rays(origins, directions, np.zeros(2, number), np.zeros(2, number))
    state = marching.MarchState(
        *np.zeros((3, 2), dtype=number), *np.zeros((2, 2), dtype=np.int32))
    for ray, far in enumerate((80, 3)):
        marching.begin(ray, ray, number(0), number(far), rays, space, state)
    assert 39 <= state.t[0] <= 40 and 48 <= state.last[0] <= 49
    assert state.t[1] == state.end[1] == 3  # it meets nothing
