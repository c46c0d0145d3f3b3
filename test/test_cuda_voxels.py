"""The occupancy grid on a GPU: updates by samples and rays are those of the reference."""
import numpy as np
import pytest
import torch
from randomness import floats, generator, unit

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.constants import EMPTY, MAX_VOTES, MISS_WEIGHT, SOLID, UNVISITED

pytestmark = pytest.mark.triton

SHAPE, VOXEL = (8, 10, 11), 0.5  # a number of voxels that is no multiple of four


@pytest.fixture(scope='module')
def cuda():
    return backends.select('triton')


def updated(backend, positions, densities, density, state, threshold=1.0):
    density, state = (x.clone().to(backend.DEVICE) for x in (density, state))
    backend.update_density(
        positions.to(backend.DEVICE), densities.to(backend.DEVICE), density, state,
        torch.zeros(3, device=backend.DEVICE), VOXEL, 0.8, threshold)
    return density.cpu(), state.cpu()


def test_densities_are_those_of_the_reference_also_where_many_share_a_voxel(cuda):
    random = generator()
    density = floats(random.exponential(1.0, SHAPE))
    state = torch.from_numpy(random.choice(
        np.array([UNVISITED, EMPTY, SOLID], dtype=np.uint8), SHAPE))
    density[state == UNVISITED] = 0
    positions = floats(random.uniform(-0.5, 5.5, (900, 3)))
    # The same density in the same voxel: then their order makes no difference.
    densities = (positions / VOXEL).floor().sum(-1).abs() * 0.1
    found = updated(cuda, positions, densities, density, state)
    expected = updated(reference, positions, densities, density, state)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=0)
    assert torch.equal(found[1], expected[1])
    assert (expected[1] == EMPTY).any() and (expected[1] == SOLID).any()


def test_positions_outside_of_the_grid_none_and_nan_change_nothing(cuda):
    density, state = torch.zeros(SHAPE), torch.zeros(SHAPE, dtype=torch.uint8)
    outside = torch.tensor([[-0.01, 1.0, 1.0], [4.01, 1.0, 1.0], [1.0, 5.01, 1.0],
                            [1.0, 1.0, 6.01], [torch.nan, 1.0, 1.0], [1e30, 1.0, 1.0]])
    for positions in (outside, outside[:0]):
        found = updated(cuda, positions, torch.full((len(positions),), 9.0), density, state)
        assert not found[0].any() and not found[1].any()


def integrated(backend, *votes):
    """Return hits, misses, state, last_keyframe, colors after (rays, measured, keyframe) each."""
    hits, misses, state, last_keyframe = (
        torch.zeros(SHAPE, dtype=torch.uint8, device=backend.DEVICE) for _ in range(4))
    colors = torch.zeros(*SHAPE, 3, dtype=torch.uint8, device=backend.DEVICE)
    for rays, measured, keyframe in votes:
        *lines, pixels = (values.to(backend.DEVICE) for values in rays)
        backend.integrate_rays(
            *lines, measured, 3, pixels, keyframe, hits, misses, last_keyframe, colors, state,
            torch.zeros(3, device=backend.DEVICE), VOXEL)
    return [grid.cpu() for grid in (hits, misses, state, last_keyframe, colors)]


def random_votes(random, count):
    """Return rays: origins, directions, distances, clear distances, pixels."""
    distances = random.uniform(-1, 5, count)
    clear_distances = np.clip(distances - 0.5, 0, None) * (random.random(count) < 0.8)
    return (floats(random.uniform(-1, 6, (count, 3))), unit(random, count), floats(distances),
            floats(clear_distances),
            torch.from_numpy(random.integers(0, 256, (count, 3), dtype=np.uint8)))


def test_votes_of_keyframes_are_those_of_the_reference(cuda):
    random = generator()
    votes = [(random_votes(random, 90), keyframe % 2 == 0, keyframe)
             for keyframe in (1, 2, 255, 4, 6)]
    found, expected = (integrated(backend, *votes) for backend in (cuda, reference))
    assert expected[0].any() and expected[1].any() and (expected[2] == EMPTY).any()
    # In float32 a ray through an edge may pass on the other side of it.
    for ours, theirs in zip(found[:4], expected[:4]):
        assert (ours != theirs).float().mean() < 0.01
    assert found[4].any()


def test_one_ray_sets_the_color_of_its_voxel_and_others_move_it(cuda):
    def ray(value):
        return (torch.tensor([[0.2, 1.2, 1.2]]), torch.tensor([[1.0, 0.0, 0.0]]),
                torch.tensor([2.0]), torch.tensor([1.5]),
                torch.tensor([[value, 0, 255]], dtype=torch.uint8))

    votes = [(ray(value), True, 1 + k) for k, value in enumerate((200, 0, 40))]
    found, expected = (integrated(backend, *votes) for backend in (cuda, reference))
    for ours, theirs in zip(found, expected):
        assert torch.equal(ours, theirs)
    assert expected[0].max() == 9 and expected[1].max() == 3 * MISS_WEIGHT


def test_many_rays_of_a_keyframe_have_one_vote_and_old_votes_fade(cuda):
    count = 200
    rays = (
        torch.tensor([[0.2, 1.2, 1.2]]).repeat(count, 1),
        torch.tensor([[1.0, 0.0, 0.0]]).repeat(count, 1), torch.full((count,), 2.0),
        torch.full((count,), 1.0), torch.full((count, 3), 77, dtype=torch.uint8))
    once = integrated(cuda, (rays, True, 9), (rays, True, 9))
    assert once[0].max() == 3 and once[0].sum() == 3 and once[1].sum() == 3 * MISS_WEIGHT
    few = tuple(values[:20] for values in rays)
    votes = [(few, True, 1 + k % 2) for k in range(50)]  # more than MAX_VOTES
    found, expected = (integrated(backend, *votes) for backend in (cuda, reference))
    for ours, theirs in zip(found, expected):
        assert torch.equal(ours, theirs)
    assert expected[0].max() < MAX_VOTES + 3


def test_no_rays_and_rays_without_a_distance_have_no_votes(cuda):
    for count in (0, 3):
        rays = (torch.ones(count, 3), torch.eye(3)[:count], torch.zeros(count),
                torch.zeros(count), torch.zeros(count, 3, dtype=torch.uint8))
        assert not any(grid.any() for grid in integrated(cuda, (rays, True, 1)))
