"""Volume rendering: closed forms of absorption. The backends are compared in test_train_step."""
import functools
import math

import pytest
import torch
from randomness import floats, generator

from instant_nerf_ros.nerf.field.composite import composite, median_distances, visible
from instant_nerf_ros.nerf.field.samples import Samples

close = functools.partial(torch.testing.assert_close, rtol=1e-4, atol=1e-6)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float32)


def intervals(t_starts, t_ends, offsets):
    """Return Samples at intervals of rays."""
    rays = torch.repeat_interleave(torch.arange(len(offsets) - 1), offsets.diff())
    return Samples(offsets, rays, t_starts, t_ends, torch.zeros(len(t_starts), 3))


def render(densities, colors, t_starts, t_ends, offsets):
    """Return colors, distances, opacities and weights of samples on rays."""
    pixels = composite(densities, colors, intervals(t_starts, t_ends, offsets))
    return pixels.colors, pixels.distances, pixels.opacities, pixels.weights


def random_rays(random, counts, thickness):
    """Return densities, colors, t_starts, t_ends, offsets of rays with gaps between samples."""
    steps = random.uniform(0.01, 0.1, (sum(counts), 2))
    offsets = torch.tensor([0, *counts]).cumsum(0)
    edges = torch.cat([
        floats(part.flatten()).cumsum(0) for part in
        [steps[a:b] for a, b in zip(offsets[:-1], offsets[1:])]])  # fmt: skip
    densities = floats(random.exponential(thickness, sum(counts)) / 0.05)
    return densities, floats(random.random((sum(counts), 3))), edges[::2].contiguous(), (
        edges[1::2].contiguous()), offsets


def test_two_samples_that_each_absorb_half_of_the_light():
    # The example of the documentation: ln 2 per metre, two samples of one metre.
    colors = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
    color, distance, opacity, weights = render(
        tensor(math.log(2), math.log(2)), colors, tensor(3, 4), tensor(4, 5),
        torch.tensor([0, 2]))  # fmt: skip
    close(weights, tensor(0.5, 0.25))
    close(color, torch.tensor([[0.5, 0.25, 0.375]]))
    close(distance, tensor(0.5 * 3.5 + 0.25 * 4.5))
    close(opacity, tensor(0.75))


@pytest.mark.parametrize('samples', [1, 7, 100])
def test_a_homogeneous_medium_follows_the_beer_lambert_law(samples):
    edges = torch.linspace(1, 3, samples + 1)
    colors = torch.tensor([0.2, 0.4, 0.6]).repeat(samples, 1)
    color, _, opacity, _ = render(
        torch.full((samples,), 0.7), colors, edges[:-1].contiguous(), edges[1:].contiguous(),
        torch.tensor([0, samples]))  # fmt: skip
    close(opacity, tensor(1 - math.exp(-0.7 * 2)))
    close(color[0], (1 - math.exp(-0.7 * 2)) * colors[0])


def test_other_units_of_length_give_the_same_weights():
    densities, colors, t_starts, t_ends, offsets = random_rays(generator(), [5, 9, 3], 0.3)
    metres = render(densities, colors, t_starts, t_ends, offsets)
    feet = render(densities / 3.28, colors, t_starts * 3.28, t_ends * 3.28, offsets)
    close(feet[3], metres[3])
    close(feet[1], metres[1] * 3.28)


def test_rays_are_independent_and_may_be_empty():
    random = generator()
    counts = [0, 4, 0, 0, 7, 1, 0]
    batch = random_rays(random, counts, 0.5)
    together = render(*batch)
    for ray, (a, b) in enumerate(zip(batch[4][:-1], batch[4][1:])):
        alone = render(*(part[a:b].contiguous() for part in batch[:4]), torch.tensor([0, b - a]))
        for actual, expected in zip(together[:3], alone[:3]):
            close(actual[ray], expected[0])
        close(together[3][a:b], alone[3])
        if a == b:
            assert not any(part[ray].any() for part in together[:3])
    nothing = render(
        torch.empty(0), torch.empty(0, 3), torch.empty(0), torch.empty(0), torch.zeros(3).long())
    assert nothing[0].shape == (2, 3) and not nothing[0].any() and not nothing[2].any()


def test_weights_sum_to_the_opacity_and_average_the_colors():
    densities, colors, t_starts, t_ends, offsets = random_rays(generator(), [8] * 50, 0.4)
    color, distance, opacity, weights = render(densities, colors, t_starts, t_ends, offsets)
    assert (weights >= 0).all() and (opacity <= 1 + 1e-6).all()
    by_ray = weights.reshape(50, 8)
    close(by_ray.sum(-1), opacity)
    close((by_ray[..., None] * colors.reshape(50, 8, 3)).sum(1), color)
    close((by_ray * ((t_starts + t_ends) / 2).reshape(50, 8)).sum(-1), distance)


def test_a_wall_occludes_all_samples_behind_it_on_its_own_ray():
    densities = tensor(0, 0, 1e30, 1e30, 5, 0)
    colors = floats(generator().random((6, 3)))
    t_starts = torch.arange(6.0)
    # The wall must not affect the second ray, of thin fog.
    color, distance, opacity, weights = render(
        torch.cat([densities, tensor(0.5)]), torch.cat([colors, colors[:1]]),
        torch.cat([t_starts, tensor(2)]), torch.cat([t_starts + 1, tensor(3)]),
        torch.tensor([0, 6, 7]))  # fmt: skip
    close(weights, tensor(0, 0, 1, 0, 0, 0, 1 - math.exp(-0.5)))
    close(color[0], colors[2])
    close(distance[0], torch.tensor(2.5))
    close(opacity, tensor(1, 1 - math.exp(-0.5)))


def test_values_and_gradients_are_finite_for_all_densities():
    random = generator()
    _, colors, t_starts, t_ends, offsets = random_rays(random, [16] * 64, 1.0)
    densities = floats(10 ** random.uniform(-30, 30, 1024) * random.integers(0, 2, 1024))
    densities.requires_grad_()
    colors.requires_grad_()
    results = render(densities, colors, t_starts, t_ends, offsets)
    sum(result.sum() for result in results).backward()
    for result in (*results, densities.grad, colors.grad):
        assert result.isfinite().all()
    assert (results[2] <= 1 + 1e-5).all() and (results[3] >= 0).all()


def test_gradients_are_finite_differences():
    batch = [part.double() for part in random_rays(generator(), [3, 0, 5], 0.3)[:4]]
    offsets = torch.tensor([0, 3, 3, 8])
    for part in batch[:2]:
        part.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda densities, colors: render(densities, colors, *batch[2:], offsets), batch[:2])


def test_occluded_samples_are_not_visible():
    samples = intervals(tensor(0, 1, 2), tensor(1, 2, 3), torch.tensor([0, 3]))
    assert visible(tensor(0.1, 100, 0.1), samples).tolist() == [True, True, False]


def test_the_fields_of_pixels():
    samples = intervals(tensor(3, 4), tensor(4, 5), torch.tensor([0, 2]))
    pixels = composite(tensor(math.log(2), math.log(2)), torch.ones(2, 3), samples)
    close(pixels.colors, torch.full((1, 3), 0.75))
    close(pixels.distances, tensor(2.875))
    close(pixels.opacities, tensor(0.75))
    close(pixels.weights, tensor(0.5, 0.25))


@pytest.mark.parametrize('weights, expected', [
    ((1.0, 0.0, 0.0), 1.5),  # in the middle of the only sample with a weight
    ((0.0, 0.0, 1.0), 7.0),
    ((0.25, 0.5, 0.25), 4.0),  # half of the second sample raises the sum from 1/4 to 1/2
    ((0.5, 0.5, 0.0), 2.0),  # at the end of the first sample
    ((0.0, 0.625, 0.0), 4.6),
    ((0.25, 0.125, 0.125), 8.0),  # at the end of the last sample
    ((0.2, 0.2, 0.09), 0.0),  # less than half is absorbed
    ((0.0, 0.0, 0.0), 0.0),
])
def test_the_median_is_where_half_of_the_light_is_absorbed(weights, expected):
    # Samples from 1 to 2, from 3 to 5 and from 6 to 8; there are other rays before and after.
    samples = Samples(
        torch.tensor([0, 0, 1, 4, 5]), torch.tensor([1, 2, 2, 2, 3]),
        tensor(1, 1, 3, 6, 1), tensor(2, 2, 5, 8, 2), torch.zeros(5, 3))
    medians = median_distances(tensor(0.75, *weights, 0.9), samples)
    close(medians, tensor(0, 1 + 0.5 / 0.75, expected, 1 + 0.5 / 0.9))
