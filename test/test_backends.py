"""Backends: the networks and Adam are what the reference says, and the reference what is written.

What rays and voxels do in a backend is tested in test_samples, test_lesson, test_occupancy.
"""
import logging
import os
import sys

import numpy as np
import pytest
import torch
from randomness import floats, generator, unit

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.backends.cpu.kernels import hash_grid
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import exp
from instant_nerf_ros.nerf.backends.cpu.kernels.layers import layer, make_packed, outer, pack
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BFLOAT16, BLOCK, NO_FLOOR, RELU

BACKENDS = ['cpu', 'reference']
FEATURES, GEOMETRY = reference.FEATURES, reference.GEOMETRY
SCALES = [3.0, 10.7, 37.9, 130.1]
ROUNDING = 2**-7 if BFLOAT16 else 1e-6  # of a product, relative: that of both its factors


def make_geometry(backend, scales=SCALES, log2_table=10, hidden=64, table=None):
    """Return a network with a table (levels, entries, FEATURES)."""
    network = backends.select(backend).GeometryNetwork(scales, log2_table, hidden)
    if table is not None:
        with torch.no_grad():
            network.table.copy_(table)
    return network


def encoder(backend, table, scales):
    """Return positions (N, 3) -> the interpolated table (N, levels * FEATURES)."""
    if backend == 'reference':
        return lambda positions: reference.hash_encode(positions, table, scales)
    lines = hash_grid.aligned_lines(*table.shape[:2])
    lines[:, :, :FEATURES] = table

    def encode(positions):
        encoded = np.empty((len(positions), len(scales) * FEATURES), dtype=np.float32)
        hash_grid.encode(positions.numpy(), lines, np.array(scales, np.float32), encoded)
        return torch.from_numpy(encoded)
    return encode


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


def packed(matrix):
    result = make_packed(*matrix.shape)
    pack(matrix, result)
    return result


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


@pytest.mark.parametrize('hidden', [16, 40, 64])
@pytest.mark.parametrize('count', [0, 1, 5000])
def test_cpu_geometry_has_the_values_of_the_reference(count, hidden):
    random = generator()
    table = floats(random.normal(size=(4, 1024, FEATURES)))
    cpu, other = (make_geometry(name, hidden=hidden, table=table) for name in BACKENDS)
    other.load_state_dict(cpu.state_dict())
    positions = floats(random.random((count, 3)))
    # Two products, one after the other.
    assert_same(cpu(positions), other(positions).detach(), max(2 * ROUNDING, 1e-5))


@pytest.mark.parametrize('rows, depth, width', [(8, 16, 16), (64, 32, 64), (203, 64, 48)])
def test_products_are_those_of_numpy(rows, depth, width):
    random = generator()
    inputs, gradients = (
        random.normal(size=(rows + 8, columns)).astype(np.float32) for columns in (depth, width))
    matrix = random.normal(size=(depth, width)).astype(np.float32)
    given = random.normal(size=(rows + 8, width)).astype(np.float32)
    whole = -(-rows // BLOCK) * BLOCK
    for adds, floor in ((False, RELU), (True, RELU), (False, NO_FLOOR), (True, NO_FLOOR)):
        results = given.copy()
        layer(inputs, packed(matrix), results, rows, adds, floor)
        expected = np.maximum(inputs @ matrix + adds * given, floor)
        error = ROUNDING * (np.abs(inputs) @ np.abs(matrix)) + 1e-5
        assert (np.abs(results - expected) < error)[:rows].all()
        np.testing.assert_array_equal(results[whole:], given[whole:])
    results = np.ones((width, depth), dtype=np.float32)
    gradients[rows:] = inputs[rows:] = np.nan  # nothing of these counts
    outer(gradients, inputs, results, rows)
    gradients, inputs = gradients[:rows], inputs[:rows]
    error = ROUNDING * (np.abs(gradients).T @ np.abs(inputs)) + 1e-4
    assert (np.abs(results - 1 - gradients.T @ inputs) < error).all()


def test_what_is_not_a_number_stays_so_in_products():
    for number in (np.nan, np.inf, -np.inf):
        values = np.full((8, 16), number, dtype=np.float32)
        results, gradient = np.zeros((8, 16), np.float32), np.zeros((16, 16), np.float32)
        layer(values, packed(gradient), results, 8, False, RELU)
        outer(values, np.zeros_like(values), gradient, 8)
        assert np.isnan(results).all() and np.isnan(gradient).all()


def test_the_exponential_is_that_of_numpy():
    values = generator().uniform(-86, 87, 20_000).astype(np.float32)
    results = np.array([exp(value) for value in values])
    np.testing.assert_allclose(results, np.exp(values.astype(float)), rtol=3e-7)
    assert np.isnan(exp(np.float32(np.nan))) and exp(np.float32(0)) == 1
    assert 0 < exp(np.float32(-np.inf)) < 1e-37 and 1e37 < exp(np.float32(np.inf)) < np.inf


def test_spherical_harmonics_are_orthonormal_on_the_sphere():
    directions = unit(generator(), 200_000).double()
    harmonics = reference.spherical_harmonics(directions)
    products = 4 * np.pi * harmonics.T @ harmonics / len(directions)
    np.testing.assert_allclose(products, np.eye(16), atol=0.03)


def optimizer_of(backend, geometry, color, epsilon, weight_decay=0.0):
    return backends.select(backend).Adam(geometry, color, 0.9, 0.99, epsilon, weight_decay)


def step_of_kernels(lines, positions, gradients, scale, updates, rate):
    """Take an Adam step for one level, and return how many entries it touched."""
    entries = np.empty(len(lines), dtype=np.int32)
    count = hash_grid.encode_backward(
        positions, gradients, np.float32(scale), 0, lines, entries, 0)
    corrections = [(1 - beta**np.arange(4096)).astype(np.float32) for beta in (0.9, 0.99)]
    hash_grid.adam(lines, updates, entries[:count], *corrections, np.float32(rate),
                    np.float32(0.9), np.float32(0.99), np.float32(1e-15))
    return count


def test_an_entry_moves_by_the_learning_rate_whenever_it_is_first_seen():
    # Adam's first step is the learning rate against the sign. A vertex touches one entry.
    lines = hash_grid.aligned_lines(1, 4096)[0]
    updates = np.zeros(4096, dtype=np.uint16)
    gradients = np.array([[1.0, -1.0, 2.0, -1e-3]], dtype=np.float32)
    for vertex in ((3, 5, 9), (10, 20, 30), (63, 1, 40)):
        before = lines.copy()
        position = (np.array([vertex], dtype=np.float32) - np.float32(0.5)) / np.float32(64)
        assert 1 <= step_of_kernels(lines, position, gradients, 64.0, updates, 0.01) <= 8
        change = (lines - before)[:, :FEATURES]
        index = hash_of(*vertex, 4096)
        np.testing.assert_allclose(change[index], [-0.01, 0.01, -0.01, 0.01], rtol=1e-4)
        change[index] = 0
        assert not change.any()
        assert not lines[:, FEATURES : 2 * FEATURES].any()  # gradients are forgotten
    assert updates.sum() == 3


def test_gradients_of_the_grid_go_where_its_values_come_from():
    # <encode(x), g> = <table, encode_backward(x, g)>, as the encoding is linear in the table.
    random = generator()
    lines = hash_grid.aligned_lines(1, 512)
    lines[0, :, :FEATURES] = random.normal(size=(512, FEATURES))
    positions = random.random((300, 3)).astype(np.float32)
    gradients = random.normal(size=(300, FEATURES)).astype(np.float32)
    encoded = np.empty((300, FEATURES), dtype=np.float32)
    scale = np.array([37.9], dtype=np.float32)
    hash_grid.encode(positions, lines, scale, encoded)
    entries = np.empty(513, dtype=np.int32)
    count = hash_grid.encode_backward(positions, gradients, scale[0], 0, lines[0], entries, 0)
    found = lines[0, :, FEATURES : 2 * FEATURES]
    assert np.vdot(encoded, gradients) == pytest.approx(
        np.vdot(lines[0, :, :FEATURES], found), rel=1e-3, abs=1e-3)
    assert set(entries[:count]) == set(np.nonzero(found.any(-1))[0])


def test_matrices_of_the_reference_are_optimised_as_torch_does():
    random = generator()
    network = make_geometry('reference', table=floats(random.normal(size=(4, 1024, FEATURES))))
    color = reference.ColorNetwork(16)
    optimizer = reference.Adam(network, color, 0.9, 0.99, 1e-8, 0.1)
    twin = torch.nn.Parameter(network.hidden.detach().clone())
    adam = torch.optim.Adam([twin], betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
    for learning_rate in (0.01, 0.01, 0.003):
        network.zero_grad()
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


def test_backends_define_what_they_must():
    cpu = backends.select('cpu')
    for name in ('GeometryNetwork', 'ColorNetwork', 'Adam', 'visit', 'carve', 'states'):
        assert callable(getattr(cpu, name)) and callable(getattr(reference, name))
    for name in ('march', 'composite', 'median_distance'):
        assert callable(getattr(reference, name))
    assert cpu.WHOLE and callable(cpu.learn) and callable(cpu.look) and not reference.WHOLE


def test_kernels_older_than_any_source_are_forgotten(tmp_path):
    numba_jit = pytest.importorskip('instant_nerf_ros.nerf.backends.cpu.kernels.jit')
    kept = tmp_path / '__pycache__'
    kept.mkdir()
    sources = [tmp_path / name for name in ('a.py', 'b.py')]
    kernels = [kept / f'a.{name}' for name in ('old.nbc', 'old.nbi', 'new.nbc', 'new.nbi')]
    for file, age in zip([*sources, *kernels], (30, 20, 25, 25, 10, 10)):
        file.touch()
        os.utime(file, (1e9 - age, 1e9 - age))
    numba_jit.forget_outdated(tmp_path, kept)
    assert [kernel.exists() for kernel in kernels] == [False, False, True, True]
    assert all(source.exists() for source in sources)
