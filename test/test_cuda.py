"""The GPU backend: each kernel against the reference, on a GPU, or else in Triton's interpreter.

Without a GPU these tests show what the kernels compute, not that they run on one, nor how fast:
test_cuda_compiled compiles them for several GPUs, the tests marked cuda need a real one.
"""
import importlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from randomness import floats, generator, random_rays

from instant_nerf_ros.nerf import Config, backends, replace
from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.constants import EMPTY, SOLID, UNVISITED
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.field.train_step import StepResult
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

pytestmark = pytest.mark.triton

CONFIG = replace(Config(), {
    'field.levels': 5, 'field.log2_table': 10, 'field.hidden': 24, 'field.finest_cell': 0.1,
    'occupancy.voxel_size': 0.2, 'occupancy.length': 6.0, 'occupancy.width': 5.0,
    'occupancy.height': 4.0, 'sampling.near': 0.1, 'sampling.far': 2.0, 'sampling.min_step': 0.1,
    'loss.depth_weight': 0.7, 'loss.free_space_weight': 0.9, 'loss.distortion_weight': 8.0,
    'loss.opacity_weight': 2.0,
})  # fmt: skip
RENDERED = 'colors', 'distances', 'opacities', 'medians'
BUDGET = 4096


@pytest.fixture(scope='module')
def cuda():
    return backends.select('triton')


@pytest.fixture(autouse=True)
def few_lanes(cuda, monkeypatch):
    """Let a program of the interpreter trace few rays, so that lanes take new ones."""
    if cuda.DEVICE == 'cpu':
        module = importlib.import_module('instant_nerf_ros.nerf.backends.cuda.train_step')
        monkeypatch.setattr(module, 'TRACED', 16)


@pytest.fixture(autouse=True)
def poisoned():
    """Fill new memory with NaN, so that reading what was never written fails."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


class Twins:
    """Two fields with the same parameters in the same grid, one for each backend."""

    def __init__(self, cuda, random, density):
        self.backends = cuda, reference
        self.fields = [RadianceField(CONFIG.field, backend) for backend in self.backends]
        state = {name: 0.4 * floats(random.normal(size=parameter.shape))
                 for name, parameter in self.fields[1].state().items()}  # fmt: skip
        state['geometry.output'][0] *= 3
        # A hidden unit adds an offset to the log density, so that its middle is the given one.
        state['geometry.table'][0] = state['geometry.table'][0].abs()
        state['geometry.hidden'][0] = 0
        state['geometry.hidden'][0, :4] = 1.0
        state['geometry.output'][0, 0] = np.log(density)
        for field in self.fields:
            field.load(state)
        self.grids = [
            OccupancyGrid(CONFIG.occupancy, [0, 0, 1], backend) for backend in self.backends]
        for grid in self.grids:
            grid.density_state.fill_(SOLID)
        settings = CONFIG.optimizer
        self.optimizers = [
            backend.Adam(field.geometry, field.color, settings.beta1, settings.beta2, 1e-6, 0.01)
            for backend, field in zip(self.backends, self.fields)]

    def train_step(self, rays, stride, random, budget=BUDGET):
        """Return the results of both, the first with its tensors on the processor."""
        jitter = floats(random.random(len(rays)))
        background = floats(random.random((len(rays), 3)))
        found, expected = (
            backend.train_step(
                field, rays.to(backend.DEVICE), grid, CONFIG, jitter.to(backend.DEVICE),
                background.to(backend.DEVICE), stride, budget)
            for field, grid, backend in zip(self.fields, self.grids, self.backends))
        return StepResult(found.terms, *(
            value.cpu() for name, value in vars(found).items() if name != 'terms')), expected

    def gradients(self):
        """Return {name: gradient} of both."""
        geometry, color = self.fields[0].geometry, self.fields[0].color
        gradients = [geometry.gradients, *geometry.matrices.split(geometry.matrices.gradients),
                     *color.matrices.split(color.matrices.gradients)]
        found = {name: gradient.float().cpu() / geometry.step_buffers.gain
                 for name, gradient in zip(self.fields[0].state(), gradients)}  # fmt: skip
        networks = self.fields[1].geometry, self.fields[1].color
        expected = [p.grad for network in networks for p in network.parameters()]
        return found, dict(zip(found, expected))


def assert_alike(actual, expected, tolerance, what):
    error = (actual - expected).norm() / expected.norm().clamp(min=1e-12)
    assert error < tolerance, (what, error)


def test_the_geometry_is_that_of_the_reference_everywhere(cuda):
    random = generator()
    twins = Twins(cuda, random, 1.0)
    positions = floats(random.uniform(-0.1, 1.1, (300, 3)))
    positions[:100] = 0.5 + 0.01 * (positions[:100] - 0.5)  # where maps are
    positions[-3:] = torch.tensor([[-30.0, 0.5, 0.5], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    found = twins.fields[0].geometry(positions.to(cuda.DEVICE)).cpu()
    assert_alike(found, twins.fields[1].geometry(positions).detach(), 5e-3, 'geometry')
    positions[0] = torch.nan
    found = twins.fields[0].geometry(positions.to(cuda.DEVICE))
    assert found[0].isnan().all() and not found[1:].isnan().any()
    assert twins.fields[0].geometry(positions[:0]).shape == (0, 16)


@pytest.mark.parametrize('density, measured', [(0.05, 0.0), (2.0, 0.6), (40.0, 1.0)])
def test_a_training_step_is_that_of_the_reference(cuda, density, measured):
    random = generator()
    twins = Twins(cuda, random, density)
    found, expected = twins.train_step(random_rays(random, 50, measured), 1.0, random)
    assert found.terms.keys() == expected.terms.keys()
    for name in found.terms:  # half precision has opacities of almost 1 to 1e-4
        assert found.terms[name] == pytest.approx(expected.terms[name], rel=5e-3, abs=1e-4)
    for name in RENDERED:
        error = (getattr(found, name) - getattr(expected, name)).abs().reshape(50, -1).amax(-1)
        # A sample on the face of a voxel may be one's and not the other's.
        assert (error > 5e-3).sum() <= 3, name
    assert len(expected.positions) > 10
    assert len(found.positions) == pytest.approx(len(expected.positions), rel=0.02, abs=2)
    lowest = found.densities.sort().values[:8, None]
    assert ((lowest / expected.densities - 1).abs().amin(-1) > 0.02).sum() <= 2
    # In half precision a ReLU is now and then active where it is not in float32, or vice versa.
    for name, gradient in twins.gradients()[0].items():
        assert_alike(gradient, twins.gradients()[1][name], 0.15, name)


def test_rays_that_miss_the_grid_have_no_gradients(cuda):
    random = generator()
    twins = Twins(cuda, random, 1.0)
    rays = random_rays(random, 5, 0.0)
    rays.origins[:] = 50.0
    found, expected = twins.train_step(rays, 1.0, random)
    assert len(found.positions) == 0 and not found.opacities.any() and not found.medians.any()
    assert found.terms == pytest.approx(expected.terms)
    assert not any(gradient.any() for gradient in twins.gradients()[0].values())


def test_rays_beyond_the_capacity_are_left_out(cuda):
    random = generator()
    twins = Twins(cuda, random, 0.05)
    found, expected = twins.train_step(random_rays(random, 60, 0.0), 1.0, random, budget=100)
    assert len(found.positions) == 200 < len(expected.positions)
    left_out = (found.opacities == 0) & (expected.opacities > 0)
    assert 0 < left_out.sum() < 60
    trained = ~left_out
    for name in RENDERED:
        error = (getattr(found, name) - getattr(expected, name))[trained].abs()
        assert (error > 5e-3).sum() <= 4
    assert found.terms['color'] < expected.terms['color']
    # Their samples have no gradient.
    assert all(gradient.isfinite().all() for gradient in twins.gradients()[0].values())


def test_a_step_of_adam_is_that_of_the_reference(cuda):
    random = generator()
    twins = Twins(cuda, random, 3.0)
    for _ in range(2):
        twins.train_step(random_rays(random, 12, 0.5), 2.0, random)
        # The very same gradients: the sign of a small one would be the direction of a step.
        gain = twins.fields[0].geometry.step_buffers.gain
        geometry, color = twins.fields[1].geometry, twins.fields[1].color
        half = (geometry.table.grad * gain).half()
        geometry.table.grad = half.float() / gain
        twins.fields[0].geometry.gradients.copy_(half)
        for network, other in ((twins.fields[0].geometry, geometry),
                               (twins.fields[0].color, color)):  # fmt: skip
            parameters = [p for p in other.parameters() if p.ndim == 2]
            network.matrices.gradients.copy_(
                torch.cat([p.grad.flatten() for p in parameters]) * gain)
        before = twins.fields[0].state()['geometry.table'].clone()
        touched = (geometry.table.grad != 0).any(-1)
        for optimizer in twins.optimizers:
            optimizer.step(0.02)
        found, expected = (field.state() for field in twins.fields)
        assert 0 < touched.sum() < touched.numel()
        untouched = ~touched.to(cuda.DEVICE)
        assert torch.equal(found['geometry.table'][untouched], before[untouched])
        for name, value in found.items():
            torch.testing.assert_close(value.cpu(), expected[name], rtol=1e-3, atol=1e-4)
        network = twins.fields[0].geometry
        assert torch.equal(network.table_half, network.table.half())
        assert not network.gradients.any() and not network.matrices.gradients.any()


def test_a_loss_that_is_not_finite_changes_nothing_and_overflowed_gradients_are_cleared(cuda):
    random = generator()
    twins = Twins(cuda, random, 3.0)
    field, optimizer = twins.fields[0], twins.optimizers[0]
    twins.train_step(random_rays(random, 12, 0.0), 2.0, random)
    before = {name: value.clone() for name, value in field.state().items()}
    field.geometry.step_buffers.terms[1] = torch.nan
    optimizer.step(0.02)
    assert all(torch.equal(value, before[name]) for name, value in field.state().items())
    assert not field.geometry.gradients.any()
    twins.train_step(random_rays(random, 12, 0.0), 2.0, random)
    level, entry = 0, 5
    field.geometry.gradients[level, entry, 2] = torch.inf
    optimizer.step(0.02)
    table = field.state()['geometry.table']
    assert torch.equal(table[level, entry], before['geometry.table'][level, entry])
    assert table.isfinite().all() and not torch.equal(table, before['geometry.table'])
    assert not field.geometry.gradients.any()


def test_gradients_that_no_optimizer_used_are_not_added_to_the_next(cuda):
    random = generator()
    twins = Twins(cuda, random, 3.0)
    twins.train_step(random_rays(random, 12, 0.0), 2.0, random)
    twins.train_step(random_rays(random, 12, 0.0), 2.0, random)
    for name, gradient in twins.gradients()[0].items():
        assert_alike(gradient, twins.gradients()[1][name], 0.15, name)


@pytest.mark.parametrize('density', [0.05, 30.0])
def test_a_view_is_that_of_the_reference(cuda, density):
    random = generator()
    twins = Twins(cuda, random, density)
    voxels = floats(random.choice([EMPTY, SOLID, UNVISITED], twins.grids[0].shape)).byte()
    for grid in twins.grids:
        grid.density_state.copy_(voxels)
    rays = random_rays(random, 60, 0.0)
    found, expected = (
        backend.render_rays(field, rays.to(backend.DEVICE), grid, CONFIG.sampling, 1.5)
        for field, grid, backend in zip(twins.fields, twins.grids, twins.backends))
    assert expected[0].any()
    for actual, reference_value in zip(found, expected):
        error = (actual.cpu() - reference_value.detach()).abs().reshape(60, -1).amax(-1)
        assert (error > 1e-2).sum() <= 3


def test_a_gpu_before_ampere_is_not_used(monkeypatch):
    from instant_nerf_ros.nerf.backends.cuda import device
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'TITAN RTX')
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: (7, 5))
    with pytest.raises(ImportError, match='TITAN RTX is too old'):
        device.check()
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: (8, 7))
    device.check()


def test_device_cuda_without_a_gpu_says_what_to_do():
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    code = "from instant_nerf_ros.nerf import *; Mapper(replace(Config(), {'device': 'cuda'}))"
    result = subprocess.run(
        [sys.executable, '-c', code], env={'TRITON_INTERPRET': '0'}, capture_output=True,
        text=True, timeout=120)
    assert result.returncode != 0
    assert 'there is no NVIDIA GPU' in result.stderr and "set 'device'" in result.stderr
