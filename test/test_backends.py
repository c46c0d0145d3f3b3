"""Backends: the networks and Adam are what the reference says, and the reference what is written.

What rays and voxels do in a backend is tested in test_samples, test_composite, test_occupancy.
"""
import logging
import sys

import numpy as np
import pytest
import torch
from randomness import floats, generator, unit

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends import numba_grid, reference

BACKENDS = ['cpu', 'reference']
FEATURES, GEOMETRY = reference.FEATURES, reference.GEOMETRY
# In bfloat16, of three digits, some ReLUs open that should not: that is the most of its error.
PRECISIONS = pytest.mark.parametrize('kind, tolerance', [
    (torch.float32, 1e-4), (torch.bfloat16, 0.1)], ids=str)
SCALES = [3.0, 10.7, 37.9, 130.1]


def make_geometry(backend, scales=SCALES, log2_table=10, hidden=64, table=None):
    """Return a network in float32 with a table (levels, entries, FEATURES)."""
    network = backends.select(backend).GeometryNetwork(scales, log2_table, hidden)
    network.matrix_type = torch.float32
    if table is not None:
        with torch.no_grad():
            network.table.copy_(table)
    return network


def encoder(backend, table, scales):
    """Return positions (N, 3) -> the interpolated table (N, levels * FEATURES).

    A network whose hidden layer is x and -x, and whose output puts relu(x) - relu(-x) together.
    """
    columns = len(scales) * FEATURES
    assert columns <= GEOMETRY
    network = make_geometry(backend, scales, int(np.log2(table.shape[1])), 2 * columns, table)
    one = torch.eye(columns)
    with torch.no_grad():
        network.hidden.copy_(torch.cat([one, -one]))
        network.output.zero_()
        network.output[:columns] = torch.cat([one, -one], dim=1)
    return lambda positions: network(positions)[:, :columns].detach()


def table_gradient(network):
    """Return the gradient of the table (levels, entries, FEATURES), wherever it is kept."""
    if network.table.grad is not None:
        return network.table.grad
    first = numba_grid.GRADIENT
    return torch.from_numpy(network.lines[:, :, first:first + FEATURES].copy())


def hash_of(x, y, z, entries):
    """Return the index of a vertex, after Mueller et al. 2022, eq. 4, in Python's integers."""
    wrap = 2**32
    return (x % wrap ^ y * 2654435761 % wrap ^ z * 805459861 % wrap) % entries


def interpolate(position, table, scales):
    """Return the trilinear interpolation at one position, in Python's numbers."""
    result = []
    for entries, scale in zip(table.double(), scales):
        scaled = [float(p) * scale + 0.5 for p in position]
        corner = [int(s // 1) for s in scaled]
        value = torch.zeros(FEATURES, dtype=torch.float64)
        for offset in np.ndindex(2, 2, 2):
            weight = 1.0
            for s, c, o in zip(scaled, corner, offset):
                weight *= s - c if o else 1 - (s - c)
            vertex = [c + o for c, o in zip(corner, offset)]
            value += weight * entries[hash_of(*vertex, len(entries))]
        result.append(value)
    return torch.cat(result)


def assert_same(actual, expected, tolerance):
    """Assert equality relative to the norm and to the largest value."""
    assert actual.shape == expected.shape
    if not actual.numel():
        return
    error = (actual - expected).abs()
    assert error.norm() <= tolerance * expected.norm()
    assert error.max() <= 10 * tolerance * expected.abs().max()


@pytest.mark.parametrize('backend', BACKENDS)
def test_a_constant_table_is_constant_in_space(backend):
    random = generator()
    value = floats(random.normal(size=(2, 1, FEATURES)))
    encode = encoder(backend, value.expand(2, 256, FEATURES), [5.3, 21.9])
    encoded = encode(floats(random.random((500, 3))))
    np.testing.assert_allclose(encoded, value.flatten().expand(500, -1), rtol=1e-5)


@pytest.mark.parametrize('backend', BACKENDS)
def test_a_vertex_has_its_entry(backend):
    random = generator()
    table = floats(random.normal(size=(1, 1024, FEATURES)))
    vertices = random.integers(1, 64, size=(200, 3))
    # The scale is a power of two, so that these positions are exact.
    encoded = encoder(backend, table, [64.0])(floats((vertices - 0.5) / 64))
    for vertex, values in zip(vertices.tolist(), encoded):
        np.testing.assert_allclose(values, table[0, hash_of(*vertex, 1024)], rtol=1e-6)


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('backend', BACKENDS)
def test_inside_a_cell_it_is_linear_along_every_axis(backend, axis):
    random = generator()
    table = floats(random.normal(size=(1, 1024, FEATURES)))
    cell = random.integers(1, 60, size=(100, 3))
    low = cell + random.random((100, 3)) * 0.98 + 0.01
    high, middle = low.copy(), low.copy()
    low[:, axis], high[:, axis] = cell[:, axis] + 0.01, cell[:, axis] + 0.99
    middle[:, axis] = cell[:, axis] + 0.255  # a quarter of the way
    at = encoder(backend, table, [64.0])
    low, middle, high = (at(floats((x - 0.5) / 64)) for x in (low, middle, high))
    np.testing.assert_allclose(middle, 0.75 * low + 0.25 * high, atol=1e-4)
    assert (low - high).abs().max() > 0.1


@pytest.mark.parametrize('backend', BACKENDS)
def test_it_equals_an_independent_interpolation(backend):
    random = generator()
    table = floats(random.normal(size=(4, 512, FEATURES)))
    positions = floats(random.random((100, 3)))
    encoded = encoder(backend, table, SCALES)(positions)
    expected = torch.stack([interpolate(position, table, SCALES) for position in positions])
    np.testing.assert_allclose(encoded, expected, atol=2e-4)


@pytest.mark.parametrize('backend', BACKENDS)
def test_the_finest_cells_of_a_large_world_are_told_apart(backend):
    # Cells of 1 cm in a cube of 512 m: float32 leaves each a hundred places or more.
    random = generator()
    table = floats(random.normal(size=(1, 2**14, FEATURES)))
    positions = floats(0.5 + random.uniform(-0.02, 0.02, (100, 3)))
    encoded = encoder(backend, table, [51200.0])(positions)
    expected = torch.stack([interpolate(position, table, [51200.0]) for position in positions])
    np.testing.assert_allclose(encoded, expected, atol=0.1)
    assert (encoded - expected).norm() < 0.01 * expected.norm()


def test_networks_of_both_backends_have_the_same_parameters():
    for make in (lambda backend: make_geometry(backend),
                 lambda backend: backends.select(backend).ColorNetwork(32)):
        cpu, other = make('cpu').state_dict(), make('reference').state_dict()
        assert {n: t.shape for n, t in cpu.items()} == {n: t.shape for n, t in other.items()}


def away_from_kinks(inputs, *layers):
    """Tell for which inputs (N, C) no ReLU sits at its kink, where rounding decides."""
    safe = torch.ones(len(inputs), dtype=torch.bool)
    for layer in layers:
        inputs = inputs @ layer.detach().T
        safe &= inputs.abs().min(-1).values > 1e-5 * inputs.abs().mean()
        inputs = inputs.relu()
    return safe


@pytest.mark.parametrize('count', [0, 1, 5000])
@PRECISIONS
def test_cpu_geometry_has_the_values_and_gradients_of_the_reference(kind, tolerance, count):
    random = generator()
    cpu = make_geometry('cpu', table=floats(random.normal(size=(4, 1024, FEATURES))))
    cpu.matrix_type = kind
    other = make_geometry('reference')
    other.load_state_dict(cpu.state_dict())
    positions = floats(random.random((count, 3)))
    encoded = reference.hash_encode(positions, other.table.detach(), SCALES)
    positions = positions[away_from_kinks(encoded, other.hidden)]
    assert len(positions) >= 0.95 * count - 1
    outside = floats(random.normal(size=(len(positions), GEOMETRY)))
    outside[::3] = 0  # samples that the loss does not depend on
    results = cpu(positions), other(positions)
    for result in results:
        (result * outside).sum().backward()
    assert_same(results[0], results[1], tolerance)
    assert_same(cpu.hidden.grad, other.hidden.grad, tolerance)
    assert_same(cpu.output.grad, other.output.grad, tolerance)
    assert_same(table_gradient(cpu), table_gradient(other), tolerance)
    assert count < 2 or table_gradient(other).abs().max() > 0


@pytest.mark.parametrize('count', [0, 1, 5000])
@PRECISIONS
def test_cpu_colors_have_the_values_and_gradients_of_the_reference(kind, tolerance, count):
    random = generator()
    torch.manual_seed(int(random.integers(2**31)))
    cpu, other = backends.select('cpu').ColorNetwork(32), reference.ColorNetwork(32)
    other.load_state_dict(cpu.state_dict())
    cpu.matrix_type = kind
    directions, rays = unit(random, 50), torch.from_numpy(random.integers(0, 50, count))
    geometry = floats(random.normal(size=(count, GEOMETRY)))
    inputs = torch.cat([reference.spherical_harmonics(directions)[rays], geometry], -1)
    safe = away_from_kinks(inputs, other.hidden1, other.hidden2)
    rays, outside = rays[safe], floats(random.normal(size=(int(safe.sum()), 3)))
    assert len(rays) >= 0.95 * count - 1
    results, inputs = [], []
    for network in (cpu, other):
        inputs.append(geometry[safe].clone().requires_grad_())
        results.append(network(directions, rays, inputs[-1]))
        (results[-1] * outside).sum().backward()
    assert_same(results[0], results[1], tolerance)
    assert_same(inputs[0].grad, inputs[1].grad, tolerance)
    for actual, expected in zip(cpu.parameters(), other.parameters()):
        assert_same(actual.grad, expected.grad, tolerance)


def test_spherical_harmonics_are_orthonormal_on_the_sphere():
    directions = unit(generator(), 200_000).double()
    harmonics = reference.spherical_harmonics(directions)
    products = 4 * np.pi * harmonics.T @ harmonics / len(directions)
    np.testing.assert_allclose(products, np.eye(16), atol=0.03)


def optimizer_of(backend, geometry, color, epsilon, weight_decay=0.0):
    return backends.select(backend).Adam(geometry, color, 0.9, 0.99, epsilon, weight_decay)


@pytest.mark.parametrize('backend', BACKENDS)
def test_an_entry_moves_by_the_learning_rate_whenever_it_is_first_seen(backend):
    # Adam's first step is the learning rate against the sign. A vertex touches one entry.
    network = make_geometry(backend, [64.0], 12, 16, torch.zeros(1, 4096, FEATURES))
    color = backends.select(backend).ColorNetwork(16)
    with torch.no_grad():
        network.hidden.zero_()
        network.output.zero_()
        network.hidden[:FEATURES] = torch.eye(FEATURES)
        network.output[:FEATURES, :FEATURES] = torch.diag(torch.tensor([1.0, -1.0, 2.0, -1e-3]))
        network.table.fill_(1.0)  # ReLU is open
    frozen = network.hidden.detach().clone(), network.output.detach().clone()
    optimizer = optimizer_of(backend, network, color, 1e-15)
    for vertex in ((3, 5, 9), (10, 20, 30), (63, 1, 40)):
        before = network.table.detach().clone()
        optimizer.zero_grad()
        network(torch.tensor([vertex]).sub(0.5) / 64)[:, :FEATURES].sum().backward()
        optimizer.step(0.01)
        change = (network.table.detach() - before)[0]
        index = hash_of(*vertex, 4096)
        np.testing.assert_allclose(change[index], [-0.01, 0.01, -0.01, 0.01], rtol=1e-4)
        change[index] = 0
        assert not change.any()
        with torch.no_grad():
            network.hidden.copy_(frozen[0])
            network.output.copy_(frozen[1])


def test_sparse_adam_of_cpu_follows_the_reference_and_leaves_the_rest_bit_identical():
    random = generator()
    cpu = make_geometry('cpu', table=floats(random.normal(size=(4, 1024, FEATURES))))
    other = make_geometry('reference')
    other.load_state_dict(cpu.state_dict())
    colors = [backends.select(name).ColorNetwork(16) for name in BACKENDS]
    # Rounding of tiny gradients must not decide a sign, hence the large epsilon.
    optimizers = [optimizer_of(name, network, color, 0.1, 0.01)
                  for name, network, color in zip(BACKENDS, (cpu, other), colors)]
    for _ in range(6):
        low = random.random(3) * 0.7
        positions = floats(low + random.random((40, 3)) * 0.3)
        encoded = reference.hash_encode(positions, other.table.detach(), SCALES)
        positions = positions[away_from_kinks(encoded, other.hidden)]
        outside = floats(random.normal(size=(len(positions), GEOMETRY)))
        before = cpu.table.detach().clone()
        for network, optimizer in zip((cpu, other), optimizers):
            optimizer.zero_grad()
            (network(positions) * outside).sum().backward()
        touched = (other.table.grad != 0).any(-1)
        for optimizer in optimizers:
            optimizer.step(0.02)
        assert 0 < touched.sum() < touched.numel() / 2
        assert torch.equal(cpu.table[~touched], before[~touched])
        assert (cpu.table != before).any(-1).sum() > 0.9 * touched.sum()
        assert_same(cpu.table.detach() - before, other.table.detach() - before, 1e-3)
        assert_same(cpu.hidden.detach(), other.hidden.detach(), 1e-4)
        assert_same(cpu.output.detach(), other.output.detach(), 1e-4)


@pytest.mark.parametrize('backend', BACKENDS)
def test_matrices_are_optimised_as_torch_does(backend):
    random = generator()
    network = make_geometry(backend, table=floats(random.normal(size=(4, 1024, FEATURES))))
    color = backends.select(backend).ColorNetwork(16)
    optimizer = optimizer_of(backend, network, color, 1e-8, 0.1)
    twin = torch.nn.Parameter(network.hidden.detach().clone())
    adam = torch.optim.Adam([twin], betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
    for learning_rate in (0.01, 0.01, 0.003):
        optimizer.zero_grad()
        network(floats(random.random((300, 3)))).square().sum().backward()
        twin.grad = network.hidden.grad.clone()
        adam.param_groups[0]['lr'] = learning_rate
        adam.step()
        optimizer.step(learning_rate)
        np.testing.assert_allclose(network.hidden.detach(), twin.detach(), rtol=1e-5, atol=1e-6)


def test_select_names_the_backend_and_falls_back_with_a_warning(monkeypatch, caplog):
    assert backends.select('reference').NAME == 'reference'
    assert backends.select('cpu').NAME == backends.select('auto').NAME == 'cpu'
    monkeypatch.setitem(sys.modules, 'instant_nerf_ros.nerf.backends.cpu', None)
    with caplog.at_level(logging.WARNING):
        assert backends.select('auto').NAME == 'reference'
    assert 'reference backend' in caplog.text
    with pytest.raises(ImportError):
        backends.select('cpu')


def test_backends_define_the_same_functions():
    cpu = backends.select('cpu')
    for name in ('GeometryNetwork', 'ColorNetwork', 'Adam', 'march', 'composite',
                 'median_distance', 'visit', 'carve', 'states'):
        assert callable(getattr(cpu, name)) and callable(getattr(reference, name))
