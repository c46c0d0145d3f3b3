"""The GPU backend's voxels: what samples and rays say of them is what the reference notes."""
import numpy as np
import pytest
import torch
from randomness import floats, generator, unit

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.backends.reference.voxels import EMPTY, SOLID, UNVISITED

pytestmark = pytest.mark.triton

SHAPE, VOXEL = (8, 10, 11), 0.5  # a number of voxels that is no multiple of four


@pytest.fixture(scope='module')
def cuda():
    return backends.select('cuda')


def visited(engine, positions, densities, stored, voxels, threshold=1.0):
    stored, voxels = (x.clone().to(engine.DEVICE) for x in (stored, voxels))
    engine.update_density(
        positions.to(engine.DEVICE), densities.to(engine.DEVICE), stored, voxels,
        torch.zeros(3, device=engine.DEVICE), VOXEL, 0.8, threshold)
    return stored.cpu(), voxels.cpu()


def test_visits_are_those_of_the_reference_also_where_many_share_a_voxel(cuda):
    random = generator()
    stored = floats(random.exponential(1.0, SHAPE))
    voxels = torch.from_numpy(random.choice(
        np.array([UNVISITED, EMPTY, SOLID], dtype=np.uint8), SHAPE))
    stored[voxels == UNVISITED] = 0
    positions = floats(random.uniform(-0.5, 5.5, (900, 3)))
    # The same density in the same voxel: then their order makes no difference.
    densities = (positions / VOXEL).floor().sum(-1).abs() * 0.1
    found = visited(cuda, positions, densities, stored, voxels)
    expected = visited(reference, positions, densities, stored, voxels)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=0)
    assert torch.equal(found[1], expected[1])
    assert (expected[1] == EMPTY).any() and (expected[1] == SOLID).any()


def test_visits_outside_of_the_grid_of_nothing_and_of_no_number_change_nothing(cuda):
    stored, voxels = torch.zeros(SHAPE), torch.zeros(SHAPE, dtype=torch.uint8)
    outside = torch.tensor([[-0.01, 1.0, 1.0], [4.01, 1.0, 1.0], [1.0, 5.01, 1.0],
                            [1.0, 1.0, 6.01], [torch.nan, 1.0, 1.0], [1e30, 1.0, 1.0]])
    for positions in (outside, outside[:0]):
        found = visited(cuda, positions, torch.full((len(positions),), 9.0), stored, voxels)
        assert not found[0].any() and not found[1].any()


def carved(engine, *votes):
    """Return hits, passes, voxels, colours and stamps after (rays, measured, stamp) each."""
    hits, misses, voxels, last_keyframe = (
        torch.zeros(SHAPE, dtype=torch.uint8, device=engine.DEVICE) for _ in range(4))
    colors = torch.zeros(*SHAPE, 3, dtype=torch.uint8, device=engine.DEVICE)
    for rays, measured, keyframe in votes:
        *lines, pixels = (values.to(engine.DEVICE) for values in rays)
        engine.integrate_rays(*lines, measured, pixels, keyframe, hits, misses, last_keyframe, colors, voxels,
                     torch.zeros(3, device=engine.DEVICE), VOXEL)  # fmt: skip
    return [grid.cpu() for grid in (hits, misses, voxels, last_keyframe, colors)]


def random_votes(random, count):
    """Return rays: origins, directions, distances, reaches, pixels."""
    distances = random.uniform(-1, 5, count)
    clear_distances = np.clip(distances - 0.5, 0, None) * (random.random(count) < 0.8)
    return (floats(random.uniform(-1, 6, (count, 3))), unit(random, count), floats(distances),
            floats(clear_distances), torch.from_numpy(random.integers(0, 256, (count, 3), dtype=np.uint8)))


def test_keyframes_vote_as_the_reference_lets_them(cuda):
    random = generator()
    votes = [(random_votes(random, 90), keyframe % 2 == 0, keyframe) for keyframe in (1, 2, 255, 4, 6)]
    found, expected = (carved(engine, *votes) for engine in (cuda, reference))
    assert expected[0].any() and expected[1].any() and (expected[2] == EMPTY).any()
    # In float32 a ray through an edge may pass on the other side of it.
    for ours, theirs in zip(found[:4], expected[:4]):
        assert (ours != theirs).float().mean() < 0.01
    assert found[4].any()


def test_one_ray_gives_its_voxel_its_colour_and_others_move_it(cuda):
    def ray(value):
        return (torch.tensor([[0.2, 1.2, 1.2]]), torch.tensor([[1.0, 0.0, 0.0]]),
                torch.tensor([2.0]), torch.tensor([1.5]),
                torch.tensor([[value, 0, 255]], dtype=torch.uint8))

    votes = [(ray(value), True, 1 + k) for k, value in enumerate((200, 0, 40))]
    found, expected = (carved(engine, *votes) for engine in (cuda, reference))
    for ours, theirs in zip(found, expected):
        assert torch.equal(ours, theirs)
    assert expected[0].max() == 3 and expected[1].max() == 3


def test_many_rays_of_a_keyframe_have_one_vote_and_old_votes_fade(cuda):
    count = 200
    rays = (
        torch.tensor([[0.2, 1.2, 1.2]]).repeat(count, 1),
        torch.tensor([[1.0, 0.0, 0.0]]).repeat(count, 1), torch.full((count,), 2.0),
        torch.full((count,), 1.0), torch.full((count, 3), 77, dtype=torch.uint8))
    once = carved(cuda, (rays, True, 9), (rays, True, 9))
    assert once[0].max() == 1 and once[0].sum() == 1 and once[1].sum() == 3
    few = tuple(values[:20] for values in rays)
    votes = [(few, True, 1 + k % 2) for k in range(20)]  # more than a voxel remembers
    found, expected = (carved(engine, *votes) for engine in (cuda, reference))
    for ours, theirs in zip(found, expected):
        assert torch.equal(ours, theirs)
    assert expected[0].max() < 20


def test_no_rays_and_rays_that_end_nowhere_carve_nothing(cuda):
    for count in (0, 3):
        rays = (torch.ones(count, 3), torch.eye(3)[:count], torch.zeros(count),
                torch.zeros(count), torch.zeros(count, 3, dtype=torch.uint8))
        assert not any(grid.any() for grid in carved(cuda, (rays, True, 1)))
