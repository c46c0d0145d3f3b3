"""Field: density per metre and color, and parameters that all backends share."""
import types

import numpy as np
import pytest
import torch
from randomness import floats, generator, unit

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BFLOAT16
from instant_nerf_ros.nerf.config import FieldConfig
from instant_nerf_ros.nerf.field.radiance_field import EXTENT, MAX_LOG_DENSITY, RadianceField

CONFIG = FieldConfig(levels=4, log2_table=10, hidden=16)


@pytest.fixture(params=['cpu', 'reference'])
def backend(request):
    return backends.select(request.param)


def make_field(backend, scale=1.0, config=CONFIG):
    """Return a field whose parameters are not small."""
    random, field = generator(), RadianceField(config, backend)
    field.load({name: scale * floats(random.normal(size=parameter.shape))
                for name, parameter in field.state().items()})  # fmt: skip
    return field


@pytest.fixture
def reference():
    """Return the backend whose field has gradients by autograd."""
    return backends.select('reference')


def evaluate(field, positions, mask=None):
    """Return densities and colors at positions, each on its own ray along z."""
    count = len(positions)
    samples = types.SimpleNamespace(positions=positions, ray_indices=torch.arange(count))
    mask = torch.ones(count, dtype=torch.bool) if mask is None else mask
    return field(samples, torch.tensor([[0.0, 0.0, 1.0]] * count), lambda densities: mask)


def random_positions(count=300):
    return floats(generator().uniform(-8, 8, (count, 3)))


def test_densities_and_colors_are_bounded(reference):
    field = make_field(reference, 3.0)
    field.state()['geometry.output'][0].abs_()  # dense where a hidden unit is active
    densities, colors = evaluate(field, random_positions())
    assert (densities >= 0).all() and densities.isfinite().all()
    assert densities.max() <= np.exp(MAX_LOG_DENSITY) * 1.001
    assert densities.max() >= np.exp(MAX_LOG_DENSITY) * 0.999  # the bound is reached
    assert (colors >= 0).all() and (colors <= 1).all() and colors.std() > 0.01


def test_the_density_is_the_same_without_color(reference):
    field, positions = make_field(reference, 0.5), random_positions()
    densities, _ = evaluate(field, positions)
    torch.testing.assert_close(field.density(positions), densities.detach())
    assert not field.density(positions).requires_grad


def test_only_visible_samples_have_a_color(reference):
    field, positions = make_field(reference, 0.5), random_positions()
    mask = torch.arange(len(positions)) % 3 == 0
    densities, colors = evaluate(field, positions, mask)
    all_densities, all_colors = evaluate(field, positions)
    torch.testing.assert_close(densities, all_densities)
    assert not colors[~mask].any()
    torch.testing.assert_close(colors[mask], all_colors[mask])


def test_the_gradient_is_that_of_the_exponential(reference):
    # The log density is linear in one row w of the output: dL/dw . w = sum of density * log.
    field = make_field(reference, 0.3)
    densities, _ = evaluate(field, random_positions())
    assert densities.max() < np.exp(MAX_LOG_DENSITY)
    densities.sum().backward()
    along = (field.geometry.output.grad[0] * field.geometry.output[0]).sum()
    torch.testing.assert_close(along, (densities * densities.log()).sum(), rtol=1e-3, atol=1e-3)


def test_gradients_are_finite_where_the_density_is_at_its_bound(reference):
    field = make_field(reference, 30.0)
    densities, colors = evaluate(field, random_positions())
    (densities.sum() + colors.sum()).backward()
    gradients = [p.grad for p in (field.geometry.hidden, *field.color.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0].any()  # a position with too high a density can still become empty


def test_the_edges_of_cells_are_those_of_the_settings():
    class Networks:
        """Returns the scales instead of a network."""

        def GeometryNetwork(self, scales, log2_table, hidden):  # noqa: N802
            return scales

        def ColorNetwork(self, hidden):  # noqa: N802
            return None

    config = FieldConfig(levels=5, coarsest_cell=1.6, finest_cell=0.1)
    cells = EXTENT / np.array(RadianceField(config, Networks()).geometry)
    np.testing.assert_allclose(cells, [1.6, 0.8, 0.4, 0.2, 0.1], rtol=0.01)
    one = FieldConfig(levels=1, coarsest_cell=0.5)
    assert EXTENT / RadianceField(one, Networks()).geometry[0] == pytest.approx(0.5)


def test_densities_differ_within_the_finest_cell_and_hardly_far_below_it(backend):
    field, positions = make_field(backend, 0.3), random_positions()
    offsets = unit(generator(), len(positions))
    here = field.density(positions).log()
    near, far = (field.density(positions + length * offsets).log() for length in (1e-4, 0.02))
    assert (near - here).abs().mean() < 0.1 * (far - here).abs().mean()


def test_a_state_can_be_loaded_by_another_backend():
    fields = [make_field(backends.select(name), 0.3) for name in ('cpu', 'reference')]
    fields[1].load({name: tensor.numpy() for name, tensor in fields[0].state().items()})
    positions = random_positions()
    actual, expected = (field.density(positions) for field in fields)
    rounding = 1e-2 if BFLOAT16 else 1e-4
    torch.testing.assert_close(actual, expected, rtol=rounding, atol=rounding / 10)


def test_a_state_of_another_size_raises_an_error_and_changes_nothing(backend):
    field = make_field(backend)
    before = {name: tensor.clone() for name, tensor in field.state().items()}
    wider = make_field(backend, config=FieldConfig(levels=4, log2_table=10, hidden=32)).state()
    partial = {name: tensor for name, tensor in wider.items() if 'color' not in name}
    for state, message in ((wider, 'hidden'), (partial, 'color')):
        with pytest.raises(ValueError, match=message):
            field.load(state)
    for name, tensor in field.state().items():
        assert torch.equal(tensor, before[name]), name
