"""The self check accepts backends that compute what the reference does, and no others."""
import dataclasses
import types

import pytest
import torch

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends import reference, self_check
from instant_nerf_ros.nerf.backends.reference import networks
from instant_nerf_ros.nerf.config import FieldConfig

FIELD = FieldConfig(log2_table=12)
WEIGHTS = {'distortion': 'distortion_weight', 'opacity': 'opacity_weight', 'depth': 'depth_weight',
           'free_space': 'free_space_weight'}  # fmt: skip


def changed(**functions):
    """Return the reference with other functions."""
    names = {name: getattr(reference, name) for name in reference.__all__}
    return types.SimpleNamespace(**{**names, **functions})


@pytest.mark.parametrize('levels, hidden', [(1, 16), (8, 64), (16, 128)])
@pytest.mark.parametrize('device', ['reference', 'cpu'])
def test_right_backends_pass_with_a_margin(device, levels, hidden, monkeypatch):
    for limit in ('MAX_ERROR', 'MAX_CHANGE_ERROR'):
        monkeypatch.setattr(self_check, limit, getattr(self_check, limit) / 3)
    field = FieldConfig(levels=levels, hidden=hidden)
    self_check.check(backends.select(device), field)


@pytest.mark.triton
def test_triton_passes_with_a_margin(monkeypatch):
    for limit in ('MAX_ERROR', 'MAX_CHANGE_ERROR'):
        monkeypatch.setattr(self_check, limit, getattr(self_check, limit) / 3)
    self_check.check(backends.select('triton'), FIELD)


def test_swapped_colors_are_refused():
    class ColorNetwork(networks.ColorNetwork):
        def forward(self, directions, ray_indices, geometry):
            return super().forward(directions, ray_indices, geometry).flip(-1)

    with pytest.raises(RuntimeError, match='differs from that of the reference'):
        self_check.check(changed(ColorNetwork=ColorNetwork), FIELD)


@pytest.mark.parametrize('levels, hidden', [(1, 16), (8, 64), (16, 128)])
@pytest.mark.parametrize('term', WEIGHTS)
def test_a_term_of_the_loss_without_gradient_is_refused(term, levels, hidden):
    def train_step(field, rays, occupancy, config, *rest):
        expected = reference.train_step(field, rays, occupancy, config, *rest)
        loss = dataclasses.replace(config.loss, **{WEIGHTS[term]: 0.0})
        found = reference.train_step(
            field, rays, occupancy, dataclasses.replace(config, loss=loss), *rest)
        return dataclasses.replace(found, terms=expected.terms)

    with pytest.raises(RuntimeError, match='training differs'):
        self_check.check(
            changed(train_step=train_step), FieldConfig(levels=levels, hidden=hidden))


@pytest.mark.parametrize('term', ['color', *WEIGHTS])
def test_a_missing_term_of_the_loss_is_refused(term):
    def train_step(*arguments):
        found = reference.train_step(*arguments)
        terms = {name: value for name, value in found.terms.items() if name != term}
        return dataclasses.replace(found, terms=terms)

    with pytest.raises(RuntimeError, match=f'{term} term of the loss differs'):
        self_check.check(changed(train_step=train_step), FIELD)


def test_gradients_of_the_wrong_sign_are_refused():
    class Adam(reference.Adam):
        def step(self, learning_rate):
            super().step(-learning_rate)

    with pytest.raises(RuntimeError, match='training differs'):
        self_check.check(changed(Adam=Adam), FIELD)


@pytest.mark.parametrize('levels, hidden', [(1, 16), (8, 64), (16, 128)])
def test_a_hash_with_another_prime_is_refused(levels, hidden, monkeypatch):
    class GeometryNetwork(networks.GeometryNetwork):
        def forward(self, positions):
            with monkeypatch.context() as patch:
                patch.setattr(networks, 'PRIMES', (1, 2654435761, 805459863))
                return super().forward(positions)

    with pytest.raises(RuntimeError, match='differs from that of the reference'):
        self_check.check(
            changed(GeometryNetwork=GeometryNetwork), FieldConfig(levels=levels, hidden=hidden))


@pytest.mark.parametrize('when', ['first', 'later'])
def test_nan_is_refused(when):
    class ColorNetwork(networks.ColorNetwork):
        calls = 0

        def forward(self, directions, ray_indices, geometry):
            colors = super().forward(directions, ray_indices, geometry)
            self.calls += 1
            return colors * torch.nan if when == 'first' or self.calls > 1 else colors

    with pytest.raises(RuntimeError, match='nan%'):
        self_check.check(changed(ColorNetwork=ColorNetwork), FIELD)


def test_errors_of_the_backend_are_passed_on():
    def unsupported(*_):
        raise ValueError('not this field')

    with pytest.raises(ValueError, match='not this field'):
        self_check.check(changed(GeometryNetwork=unsupported), FIELD)


def test_the_random_state_is_left_as_it_was():
    torch.manual_seed(1)
    expected = torch.rand(5)
    torch.manual_seed(1)
    self_check.check(reference, FIELD)
    assert torch.equal(torch.rand(5), expected)
