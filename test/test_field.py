"""Field: density and colour in metres, on a lattice fixed in the world."""
import types

import numpy as np
import pytest
import torch
from randomness import floats, generator, unit

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BFLOAT16
from instant_nerf_ros.nerf.config import FieldConfig
from instant_nerf_ros.nerf.field.radiance_field import EXTENT, MAX_LOG_DENSITY, Field

CONFIG = FieldConfig(levels=4, log2_table=10, hidden=16)


@pytest.fixture(params=['cpu', 'reference'])
def backend(request):
    return backends.select(request.param)


def make(backend, scale=1.0, config=CONFIG):
    """Return a field whose parameters are not small."""
    random, field = generator(), Field(config, backend)
    field.load({name: scale * floats(random.normal(size=parameter.shape))
                for name, parameter in field.state().items()})  # fmt: skip
    return field


@pytest.fixture
def whole():
    """Return the backend whose fields are differentiated by torch."""
    return backends.select('reference')


def ask(field, positions, mask=None):
    """Return densities and colours at positions, each on its own ray along z."""
    count = len(positions)
    samples = types.SimpleNamespace(positions=positions, ray_indices=torch.arange(count))
    mask = torch.ones(count, dtype=torch.bool) if mask is None else mask
    return field(samples, torch.tensor([[0.0, 0.0, 1.0]] * count), lambda densities: mask)


def places(count=300):
    return floats(generator().uniform(-8, 8, (count, 3)))


def test_densities_are_positive_and_bounded_and_colours_between_zero_and_one(whole):
    field = make(whole, 3.0)
    field.state()['geometry.output'][0].abs_()  # dense wherever a hidden unit is on
    densities, colors = ask(field, places())
    assert (densities >= 0).all() and densities.isfinite().all()
    assert densities.max() <= np.exp(MAX_LOG_DENSITY) * 1.001
    assert densities.max() >= np.exp(MAX_LOG_DENSITY) * 0.999  # which was reached
    assert (colors >= 0).all() and (colors <= 1).all() and colors.std() > 0.01


def test_density_alone_is_the_same_as_with_colour(whole):
    field, positions = make(whole, 0.5), places()
    densities, _ = ask(field, positions)
    torch.testing.assert_close(field.density(positions), densities.detach())
    assert not field.density(positions).requires_grad


def test_what_is_not_visible_has_no_colour_and_the_rest_keeps_its_own(whole):
    field, positions = make(whole, 0.5), places()
    mask = torch.arange(len(positions)) % 3 == 0
    densities, colors = ask(field, positions, mask)
    all_densities, all_colors = ask(field, positions)
    torch.testing.assert_close(densities, all_densities)
    assert not colors[~mask].any()
    torch.testing.assert_close(colors[mask], all_colors[mask])


def test_the_gradient_is_that_of_the_exponential(whole):
    # The log density is linear in one row w of the output: dL/dw . w = sum of density * log.
    field = make(whole, 0.3)
    densities, _ = ask(field, places())
    assert densities.max() < np.exp(MAX_LOG_DENSITY)
    densities.sum().backward()
    along = (field.geometry.output.grad[0] * field.geometry.output[0]).sum()
    torch.testing.assert_close(along, (densities * densities.log()).sum(), rtol=1e-3, atol=1e-3)


def test_gradients_are_finite_where_the_density_is_at_its_bound(whole):
    field = make(whole, 30.0)
    densities, colors = ask(field, places())
    (densities.sum() + colors.sum()).backward()
    gradients = [p.grad for p in (field.geometry.hidden, *field.color.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0].any()  # too dense a place can still learn to be empty


def test_cells_have_the_edges_that_the_settings_say():
    class Networks:
        """Takes the scales instead of building a network."""

        def GeometryNetwork(self, scales, log2_table, hidden):  # noqa: N802
            return scales

        def ColorNetwork(self, hidden):  # noqa: N802
            return None

    config = FieldConfig(levels=5, coarsest_cell=1.6, finest_cell=0.1)
    cells = EXTENT / np.array(Field(config, Networks()).geometry)
    np.testing.assert_allclose(cells, [1.6, 0.8, 0.4, 0.2, 0.1], rtol=0.01)
    one = FieldConfig(levels=1, coarsest_cell=0.5)
    assert EXTENT / Field(one, Networks()).geometry[0] == pytest.approx(0.5)


def test_neighbours_are_told_apart_at_the_finest_cell_and_alike_far_below_it(backend):
    field, positions = make(backend, 0.3), places()
    offsets = unit(generator(), len(positions))
    here = field.density(positions).log()
    near, far = (field.density(positions + length * offsets).log() for length in (1e-4, 0.02))
    assert (near - here).abs().mean() < 0.1 * (far - here).abs().mean()


def test_state_goes_from_one_backend_to_another():
    fields = [make(backends.select(name), 0.3) for name in ('cpu', 'reference')]
    fields[1].load({name: tensor.numpy() for name, tensor in fields[0].state().items()})
    positions = places()
    actual, expected = (field.density(positions) for field in fields)
    rounding = 1e-2 if BFLOAT16 else 1e-4
    torch.testing.assert_close(actual, expected, rtol=rounding, atol=rounding / 10)


def test_a_state_of_another_size_is_refused_and_changes_nothing(backend):
    field = make(backend)
    before = {name: tensor.clone() for name, tensor in field.state().items()}
    wider = make(backend, config=FieldConfig(levels=4, log2_table=10, hidden=32)).state()
    partial = {name: tensor for name, tensor in wider.items() if 'color' not in name}
    for state, message in ((wider, 'hidden'), (partial, 'color')):
        with pytest.raises(ValueError, match=message):
            field.load(state)
    for name, tensor in field.state().items():
        assert torch.equal(tensor, before[name]), name
