"""Loss: zero for correct values, quadratic for small errors, linear for large ones."""
import pytest
import torch

from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import LossConfig
from instant_nerf_ros.nerf.field import loss
from instant_nerf_ros.nerf.field.composite import Pixels
from instant_nerf_ros.nerf.field.samples import Samples

CONFIG = LossConfig(huber_delta=0.1)
BAND = 0.1  # metres
BLACK, WHITE = torch.zeros(2, 3), torch.ones(2, 3)


def terms(color=0.4, opacity=1.0, distance=2.0, measured=2.0, background=BLACK, weights=(0, 1),
          config=CONFIG):  # fmt: skip
    """Return the terms of two equal rays with two samples each: at 1 m, and around 2 m."""
    rays = Rays(torch.zeros(2, 3), torch.zeros(2, 3), torch.full((2,), float(measured)),
                torch.full((2, 3), 102, dtype=torch.uint8))  # 102 / 255 = 0.4
    t_starts, t_ends = torch.tensor([0.9, 1.95] * 2), torch.tensor([1.1, 2.05] * 2)
    samples = Samples(
        torch.tensor([0, 2, 4]), torch.tensor([0, 0, 1, 1]), t_starts, t_ends, torch.zeros(4, 3))
    pixels = Pixels(torch.full((2, 3), color), torch.full((2,), distance),
                    torch.full((2,), opacity), torch.tensor(weights * 2, dtype=torch.float32))
    return loss.loss_terms(pixels, samples, rays, background, config, BAND)


def test_correct_values_have_no_loss():
    # Except for the distortion, which is the length of the only sample with a weight.
    assert all(abs(term) < 1e-12 for name, term in terms().items() if name != 'distortion')
    assert loss.total(terms()).item() == pytest.approx(terms()['distortion'].item())


@pytest.mark.parametrize('name, error', [
    ('color', lambda e: terms(color=0.4 + e)), ('depth', lambda e: terms(distance=2.0 + e))])
def test_huber_is_quadratic_below_delta_linear_above_and_continuous(name, error):
    def value(e):
        return error(e)[name].item()

    assert value(0.04) == pytest.approx(4 * value(0.02), rel=1e-3)
    assert value(-0.04) == pytest.approx(value(0.04), rel=1e-3)
    step = value(0.3) - value(0.2)
    assert value(0.5) - value(0.4) == pytest.approx(step, rel=1e-3)
    # The parabola e^2 continues as its tangent, which rises by 2 delta^2 over a length of delta.
    assert step == pytest.approx(2 * value(0.1), rel=1e-3)


def test_the_background_is_behind_rays_that_are_not_opaque():
    # Half of the color is 0.2, the other half is the background: black, or 0.4.
    assert terms(color=0.2, opacity=0.5, background=BLACK)['color'] > 1e-3
    right = terms(color=0.2, opacity=0.5, background=torch.full((2, 3), 0.4))
    assert right['color'].item() == pytest.approx(0, abs=1e-12)
    assert terms(color=0.4, opacity=1.0, background=WHITE)['color'] < 1e-12


def test_rays_without_depth_have_no_depth_terms():
    assert set(terms(measured=0.0)) == {'color', 'distortion', 'opacity'}
    assert set(terms()) == {*terms(measured=0.0), 'depth', 'free_space'}


def test_opacity_in_front_of_the_band_has_a_loss_and_within_it_has_none():
    assert terms(weights=(0.0, 1.0))['free_space'] == 0
    little, much = terms(weights=(0.1, 0.9))['free_space'], terms(weights=(0.8, 0.2))['free_space']
    assert 0 < little < much
    # With a surface at 1.15 m, the first sample ends in the band, and the second is behind it.
    assert terms(weights=(0.5, 0.5), measured=1.15)['free_space'] == 0


def distortion(distances, weights):
    """Return the distortion term of a ray with very short samples at distances."""
    t = torch.tensor(distances)
    count = len(distances)
    samples = Samples(
        torch.tensor([0, count]), torch.zeros(count, dtype=torch.int64), t - 1e-6, t + 1e-6,
        torch.zeros(count, 3))
    pixels = Pixels(torch.zeros(1, 3), torch.zeros(1), torch.ones(1), torch.tensor(weights))
    ray = Rays(torch.zeros(1, 3), torch.zeros(1, 3), torch.zeros(1),
               torch.zeros(1, 3, dtype=torch.uint8))
    config = LossConfig(distortion_weight=1.0)
    return loss.loss_terms(pixels, samples, ray, BLACK[:1], config, BAND)['distortion'].item()


def test_distortion_is_the_spread_of_the_weights():
    assert distortion([1.0, 3.0], [0.5, 0.5]) == pytest.approx(1 / 8, rel=1e-4)
    assert distortion([1.0, 3.0], [1.0, 0.0]) == pytest.approx(0, abs=1e-5)
    assert distortion([2.0, 2.0], [0.5, 0.5]) == pytest.approx(0, abs=1e-5)
    # The same as the double sum.
    random = torch.Generator().manual_seed(3)
    t, w = 5 * torch.rand(9, generator=random).sort().values, torch.rand(9, generator=random)
    s = t / (1 + t)
    expected = (w[:, None] * w * (s[:, None] - s).abs()).sum().item()
    assert distortion(t.tolist(), w.tolist()) == pytest.approx(expected, rel=1e-3)


def test_distortion_of_one_long_sample_is_a_third_of_its_length():
    long = terms(weights=(1.0, 0.0), config=LossConfig(distortion_weight=1.0))['distortion']
    # 0.2 m around 1 m, where ds/dt is 1/4.
    assert long.item() == pytest.approx(0.2 / 4 / 3, rel=1e-3)


def test_the_opacity_term_is_the_entropy_of_opacities():
    assert terms(opacity=1.0)['opacity'].item() == pytest.approx(0)
    assert terms(opacity=0.0)['opacity'] < 0.02 * terms(opacity=0.4)['opacity']
    expected = CONFIG.opacity_weight * 0.5 * torch.log(torch.tensor(2.0))
    assert terms(opacity=0.5)['opacity'].item() == pytest.approx(expected.item())


def test_weights_multiply_their_terms():
    twice = LossConfig(
        huber_delta=0.1, distortion_weight=2 * CONFIG.distortion_weight,
        opacity_weight=2 * CONFIG.opacity_weight, depth_weight=2 * CONFIG.depth_weight,
        free_space_weight=2 * CONFIG.free_space_weight)
    wrong = {'color': 0.7, 'opacity': 0.7, 'distance': 2.4, 'weights': (0.5, 0.5)}
    once, doubled = terms(**wrong), terms(**wrong, config=twice)
    assert doubled['color'] == once['color'] > 0
    for name in ('distortion', 'opacity', 'depth', 'free_space'):
        assert doubled[name].item() == pytest.approx(2 * once[name].item()) and once[name] > 0
    assert loss.total(once).item() == pytest.approx(sum(term.item() for term in once.values()))


def test_terms_are_means_over_all_rays():
    # With depth for half of the rays, the depth term is half as large.
    both = terms(distance=2.4)['depth'].item()
    rays = Rays(torch.zeros(2, 3), torch.zeros(2, 3), torch.tensor([2.0, 0.0]),
                torch.full((2, 3), 102, dtype=torch.uint8))
    samples = Samples(torch.tensor([0, 0, 0]), torch.empty(0, dtype=torch.int64),
                      torch.empty(0), torch.empty(0), torch.empty(0, 3))
    pixels = Pixels(torch.full((2, 3), 0.4), torch.full((2,), 2.4), torch.ones(2), torch.empty(0))
    one = loss.loss_terms(pixels, samples, rays, BLACK, CONFIG, BAND)['depth'].item()
    assert one == pytest.approx(both / 2)
