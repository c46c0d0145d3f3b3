"""Hash grid: its values, gradients and updates follow Mueller et al. 2022."""
import numpy as np
import pytest
import torch
from randomness import floats, generator

from instant_nerf_ros.nerf.backends.cpu.kernels import hash_grid
from instant_nerf_ros.nerf.backends.reference.networks import hash_encode
from instant_nerf_ros.nerf.constants import FEATURES

BACKENDS = ['cpu', 'reference']
SCALES = [3.0, 10.7, 37.9, 130.1]


def encoder(backend, table, scales):
    """Return positions (N, 3) -> the interpolated table (N, levels * FEATURES)."""
    if backend == 'reference':
        return lambda positions: hash_encode(positions, table, scales)
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
def test_the_finest_cells_of_a_large_world_are_distinguished(backend):
    # Cells of 1 cm in a cube of 512 m: float32 leaves each a hundred places or more.
    random = generator()
    table = floats(random.normal(size=(1, 2**14, FEATURES)))
    positions = floats(0.5 + random.uniform(-0.02, 0.02, (100, 3)))
    encoded = encoder(backend, table, [51200.0])(positions)
    expected = torch.stack([interpolate(position, table, [51200.0]) for position in positions])
    np.testing.assert_allclose(encoded, expected, atol=0.1)
    assert (encoded - expected).norm() < 0.01 * expected.norm()

def step_of_kernels(lines, positions, gradients, scale, updates, rate):
    """Take a step of Adam in one level; return the number of updated entries."""
    entries = np.empty(len(lines), dtype=np.int32)
    count = hash_grid.encode_backward(
        positions, gradients, np.float32(scale), 0, lines, entries, 0)
    corrections = [(1 - beta**np.arange(4096)).astype(np.float32) for beta in (0.9, 0.99)]
    hash_grid.adam(lines, updates, entries[:count], *corrections, np.float32(rate),
                    np.float32(0.9), np.float32(0.99), np.float32(1e-15))
    return count

def test_the_first_update_of_an_entry_is_the_learning_rate():
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
        assert not lines[:, FEATURES : 2 * FEATURES].any()  # gradients are cleared
    assert updates.sum() == 3

def test_the_backward_pass_is_the_transpose_of_the_encoding():
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
