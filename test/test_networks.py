"""Networks: the CPU computes what the reference does, and the reference what is published."""
import numpy as np
import pytest
import torch
from randomness import floats, generator, unit

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BFLOAT16
from instant_nerf_ros.nerf.backends.reference.networks import spherical_harmonics
from instant_nerf_ros.nerf.constants import FEATURES

BACKENDS = ['cpu', 'reference']
SCALES = [3.0, 10.7, 37.9, 130.1]
ROUNDING = 2**-7 if BFLOAT16 else 1e-6  # of a product, relative: that of both its factors


def make_geometry(backend, scales=SCALES, log2_table=10, hidden=64, table=None):
    """Return a network with a table (levels, entries, FEATURES)."""
    network = backends.select(backend).GeometryNetwork(scales, log2_table, hidden)
    if table is not None:
        with torch.no_grad():
            network.table.copy_(table)
    return network

def assert_same(actual, expected, tolerance):
    """Assert equality relative to the norm and to the largest value."""
    assert actual.shape == expected.shape
    if not actual.numel():
        return
    error = (actual - expected).abs()
    assert error.norm() <= tolerance * expected.norm()
    assert error.max() <= 10 * tolerance * expected.abs().max()

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

def test_spherical_harmonics_are_orthonormal_on_the_sphere():
    directions = unit(generator(), 200_000).double()
    harmonics = spherical_harmonics(directions)
    products = 4 * np.pi * harmonics.T @ harmonics / len(directions)
    np.testing.assert_allclose(products, np.eye(16), atol=0.03)

def test_adam_of_the_reference_updates_matrices_as_torch_does():
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
