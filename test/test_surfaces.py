"""Surfaces of depth images: planes in closed form, noise, edges, and which pixels vote."""
import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.nerf import Camera
from instant_nerf_ros.nerf.backends.cpu.kernels import surfaces as compiled
from instant_nerf_ros.nerf.backends.reference import surfaces as reference
from instant_nerf_ros.nerf.constants import EDGE_WEIGHT, SURFACE_WEIGHT, THIN_WEIGHT

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
DIRECTIONS = CAMERA.directions().reshape(48, 64, 3).astype(np.float32)
ORIGIN = np.array([100.3, 100.6, 100.2])  # in voxels
SIZE = 0.05
MIDDLE = slice(2, -2), slice(2, -2)


@pytest.fixture(params=[reference, compiled], ids=['reference', 'cpu'])
def find_surfaces(request):
    return request.param.find_surfaces


def plane(normal, distance):
    """Return the distances of a plane normal . p = distance along all rays."""
    return (distance / (DIRECTIONS @ np.array(normal, np.float32))).astype(np.float32)


def with_noise(distances, random):
    """Return distances with the noise that is expected of a sensor."""
    noise = reference.NOISE * random.standard_normal(distances.shape)
    return (1 / (1 / distances + noise)).astype(np.float32)


@pytest.mark.parametrize('normal', [(0, 0, 1), (0.6, 0, 0.8), (0.3, -0.5, 0.81)])
def test_a_plane_is_smooth_and_stays_where_it_is(find_surfaces, normal):
    exact = plane(normal, 2.0)
    ends, _, weights, _ = find_surfaces(exact, DIRECTIONS, ORIGIN, SIZE)
    smooth = weights == SURFACE_WEIGHT
    assert smooth[1:-1, 1:-1].all() and not smooth[0].any() and not smooth[:, -1].any()
    np.testing.assert_allclose(ends, exact, rtol=2e-4)


def test_the_noise_of_a_plane_is_a_third_of_that_of_a_pixel_far_away_and_untouched_near(
        find_surfaces):  # fmt: skip
    """The share of the mean is 1 where the noise is far more than half a voxel, 0 where less."""
    random = generator()
    for distance, expected in ((60.0, 1 / 3), (0.8, 1.0)):  # noise of 6 m and of 1 mm
        exact = plane((0, 0, 1), distance)
        noisy = with_noise(exact, random)
        ends, _, weights, _ = find_surfaces(noisy, DIRECTIONS, ORIGIN, SIZE)
        smooth = weights == SURFACE_WEIGHT
        assert smooth.mean() > 0.5
        error = (1 / ends - 1 / exact)[smooth].std() / reference.NOISE
        single = (1 / noisy - 1 / exact)[smooth].std() / reference.NOISE
        assert error == pytest.approx(expected * (1 if expected < 1 else single), rel=0.15)


@pytest.mark.parametrize('tangent', [0.0, 1.0, 1.8])
def test_a_ray_is_clear_up_to_the_voxels_that_the_plane_may_cut(find_surfaces, tangent):
    """Half a voxel diagonal on both sides of the plane: |n|_1 SIZE, over the cosine."""
    normal = np.array([tangent, 0, 1]) / np.hypot(tangent, 1)
    exact = plane(normal, 2.0)
    _, clear, weights, _ = find_surfaces(exact, DIRECTIONS, ORIGIN, SIZE)
    cosine = DIRECTIONS @ normal
    expected = exact - SIZE * np.abs(normal).sum() / cosine - reference.NOISE * exact**2
    inside = (weights == SURFACE_WEIGHT) & (cosine > 0.3)
    assert inside.any()
    np.testing.assert_allclose(clear[inside], expected[inside], atol=2e-3)
    # The end of the clear part is a voxel's height in front of the plane.
    height = 2.0 - (DIRECTIONS * clear[..., None]) @ normal
    assert (height[inside] >= SIZE * np.abs(normal).sum() - 1e-3).all()


def test_what_is_at_an_edge_is_not_smooth_and_a_lone_pixel_does_not_vote(find_surfaces):
    distances = plane((0, 0, 1), 3.0)
    distances[:, 32:] = plane((0, 0, 1), 1.5)[:, 32:]
    distances[10, 10] = 2.2  # flies between both
    distances[20, 20] = 0  # not measured
    ends, clear, weights, votes = find_surfaces(distances, DIRECTIONS, ORIGIN, SIZE)
    edge = np.zeros(distances.shape, bool)
    edge[:, 31:33] = edge[9:12, 9:12] = edge[19:22, 19:22] = edge[[0, -1]] = True
    edge[:, [0, -1]] = True
    assert ((weights == SURFACE_WEIGHT) == ~edge).all()
    assert (weights[11:19, 31:33] == EDGE_WEIGHT).all()  # five of eight neighbors are beside it
    assert not votes[10, 10] and clear[10, 10] == 0
    assert not votes[20, 20] and ends[20, 20] == 0 == clear[20, 20]
    np.testing.assert_allclose(ends[edge], distances[edge], rtol=1e-6)


@pytest.mark.parametrize(('width', 'weight'), [(1, THIN_WEIGHT), (2, EDGE_WEIGHT)])
def test_a_line_of_a_pixel_is_thin_and_one_of_two_has_edges(find_surfaces, width, weight):
    distances = plane((0, 0, 1), 3.0)
    distances[:, 30 : 30 + width] = plane((0, 0, 1), 1.5)[:, 30 : 30 + width]
    _, _, weights, votes = find_surfaces(distances, DIRECTIONS, ORIGIN, SIZE)
    assert (weights[1:-1, 30 : 30 + width] == weight).all()
    assert votes[1:-1, 30 : 30 + width].any()


def test_the_pixels_that_vote_end_in_all_voxels_in_which_any_pixel_ends(find_surfaces):
    distances = plane((0.3, -0.5, 0.81), 0.5)
    ends, _, weights, votes = find_surfaces(distances, DIRECTIONS, ORIGIN, SIZE)
    cells = np.floor(ORIGIN + DIRECTIONS * ends[..., None] / SIZE).astype(int)
    for weight in np.unique(weights):
        every = {tuple(cell) for cell in cells[weights == weight]}
        assert every == {tuple(cell) for cell in cells[votes & (weights == weight)]}
    assert votes.sum() < votes.size / 2


def test_nothing_measured_and_tiny_images_give_nothing(find_surfaces):
    for shape in ((48, 64), (1, 1), (1, 5), (2, 2)):
        nothing = np.zeros(shape, np.float32)
        directions = DIRECTIONS[: shape[0], : shape[1]]
        ends, clear, weights, votes = find_surfaces(nothing, directions, ORIGIN, SIZE)
        assert not (ends.any() or clear.any() or weights.any() or votes.any())


def test_the_kernel_is_like_the_reference_on_rooms_with_noise_and_holes():
    random = generator()
    distances = np.minimum.reduce([
        np.where(values > 0, values, np.inf).astype(np.float32)
        for values in (plane((0, 0, 1), 3.0), plane((0, 1, 0), 1.0), plane((0.8, 0, 0.6), 1.7))])
    distances = with_noise(distances, random)
    distances[10:20, 30:40] = 1.2
    distances[random.random(distances.shape) < 0.03] = 0
    expected = reference.find_surfaces(distances, DIRECTIONS, ORIGIN, SIZE)
    found = compiled.find_surfaces(distances, DIRECTIONS, ORIGIN, SIZE)
    assert expected[2].mean() > 0.2 and expected[3].mean() > 0.1
    for actual, other in zip(found[:2], expected[:2]):
        np.testing.assert_allclose(actual, other, atol=2e-4)
    for actual, other in zip(found[2:], expected[2:]):
        assert (actual != other).mean() < 2e-3  # where a rounding decides
