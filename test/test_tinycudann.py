"""The GPU backend with tinycudann: against the reference, on a GPU, or else with a stand-in.

The stand-in (stand_in/tinycudann.py) is written after the documentation of tinycudann. The tests
show that the backend is right if the documentation is: on the robot, the self check tests the real
one before it is used.
"""
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from randomness import floats, generator, random_rays, unit
from scenes import CAMERA, poses, view

from instant_nerf_ros.data.metrics import psnr
from instant_nerf_ros.nerf import Camera, Config, Mapper, backends, replace
from instant_nerf_ros.nerf.backends import reference, self_check
from instant_nerf_ros.nerf.constants import EMPTY, SOLID, UNVISITED
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.products import model

pytestmark = pytest.mark.triton

CONFIG = replace(Config(), {
    'device': 'cuda', 'field.levels': 5, 'field.log2_table': 10, 'field.hidden': 32,
    'field.finest_cell': 0.1, 'occupancy.voxel_size': 0.2, 'occupancy.length': 6.0,
    'occupancy.width': 5.0, 'occupancy.height': 4.0, 'sampling.near': 0.1, 'sampling.far': 2.0,
    'sampling.min_step': 0.1, 'sampling.samples_per_step': 1024, 'loss.depth_weight': 0.7,
    'loss.free_space_weight': 0.9, 'loss.distortion_weight': 8.0, 'loss.opacity_weight': 2.0,
})  # fmt: skip
OURS = 'tinycudann', 'tinycudann.networks'
SMALL = Camera(8, 6, 6.0, 6.0, 3.5, 2.5)


@pytest.fixture
def library(monkeypatch):
    """Return the module tinycudann: where there is no GPU, its stand-in."""
    if torch.cuda.is_available():
        return pytest.importorskip('tinycudann')
    for name in OURS:  # so that they import it again, now and after this test
        monkeypatch.delitem(sys.modules, f'instant_nerf_ros.nerf.backends.{name}', raising=False)
    monkeypatch.delattr(backends, 'tinycudann', raising=False)
    monkeypatch.delitem(sys.modules, 'tinycudann', raising=False)
    monkeypatch.syspath_prepend(str(Path(__file__).parent / 'stand_in'))
    yield importlib.import_module('tinycudann')
    for name in ('tinycudann', *(f'instant_nerf_ros.nerf.backends.{name}' for name in OURS)):
        sys.modules.pop(name, None)


@pytest.fixture
def backend(library):
    return importlib.import_module('instant_nerf_ros.nerf.backends.tinycudann')


@pytest.fixture
def unchecked(monkeypatch):
    """Leave out the self check of Triton, which takes seconds in its interpreter."""
    check = self_check.check
    monkeypatch.setattr(
        self_check, 'check',
        lambda backend, field: None if backend.NAME == 'cuda' else check(backend, field))


def test_it_is_used_where_it_passes_the_self_check(library, monkeypatch):
    for limit in ('MAX_ERROR', 'MAX_CHANGE_ERROR'):
        monkeypatch.setattr(self_check, limit, getattr(self_check, limit) / 3)
    assert backends.select('cuda', CONFIG.field).NAME == 'tinycudann'


def test_whether_it_is_used_is_not_left_to_chance(library, monkeypatch):
    inputs, after = [], []
    monkeypatch.setattr(self_check, '_train', lambda *arguments: inputs.append(arguments[-1]))
    for seed in (1, 2):
        torch.manual_seed(seed)
        with pytest.raises(ImportError):
            backends.select('cuda', CONFIG.field)
        after.append(torch.rand(5))
    assert all(torch.equal(background, inputs[0]) for background in inputs)
    assert not torch.equal(*after)


def twins(backend, random, density=1.0, config=CONFIG):
    """Return two fields with the same parameters, of the backend and of the reference."""
    fields = [RadianceField(config.field, made) for made in (backend, reference)]
    state = {name: 0.4 * floats(random.normal(size=values.shape))
             for name, values in fields[1].state().items()}  # fmt: skip
    # A hidden unit adds an offset to the log density, so that its middle is the given one.
    state['geometry.table'][0] = state['geometry.table'][0].abs()
    state['geometry.hidden'][0] = 0
    state['geometry.hidden'][0, :4] = 1.0
    state['geometry.output'][0, 0] = np.log(density)
    for field in fields:
        field.load(state)
    return fields


def grids(backend, density_state=SOLID):
    made = [OccupancyGrid(CONFIG.occupancy, [0, 0, 1], each) for each in (backend, reference)]
    for grid in made:
        grid.density_state.copy_(torch.as_tensor(density_state))
    return made


def gradients(field):
    """Return {name: gradient} of a field of the backend, in the shapes of its parameters."""
    found = {}
    for prefix, network in (('geometry', field.geometry), ('color', field.color)):
        whole = network.all_gradients()
        for name, values in network.named_parameters():
            part = torch.as_strided(
                whole, values.shape, values.stride(), values.storage_offset())
            found[f'{prefix}.{name}'] = part.cpu() / field.geometry.step_buffers.gain
    return found


def alike(actual, expected, tolerance):
    return (actual - expected).norm() <= tolerance * expected.norm()


@pytest.mark.parametrize('levels, hidden', [(1, 16), (5, 64), (8, 128)])
def test_parameters_are_those_of_the_reference_for_all_sizes(backend, levels, hidden):
    random = generator()
    config = replace(CONFIG, {'field.levels': levels, 'field.hidden': hidden})
    field, expected = twins(backend, random, config=config)
    state, expected_state = field.state(), expected.state()
    assert list(state) == list(expected_state)
    assert all(torch.equal(state[name].cpu(), expected_state[name]) for name in expected_state)
    positions = floats(random.uniform(-3, 3, (200, 3)))
    found = field.density(positions.to(backend.DEVICE)).cpu()
    assert ((found / expected.density(positions)).log().abs() < 0.05).float().mean() > 0.98


def test_samples_are_those_of_the_reference(backend):
    random = generator()
    rays = random_rays(random, 200, 0.5)
    for visited_only in (False, True):
        grid, other = grids(
            backend, floats(random.choice([EMPTY, SOLID, UNVISITED], (30, 25, 20))).byte())
        near = floats(random.uniform(0.0, 0.5, 200))
        limits = torch.from_numpy(random.integers(0, 12, 200, dtype=np.int32))
        args = (near, near + 2.0, limits, floats(random.random(200)), rays.surfaces)
        rest = 0.1, 0.05, 0.1, 4, visited_only
        expected = reference.march(
            rays.origins, rays.directions, *args, other.density_state, other.origin, 0.2, *rest)
        found = backend.march(*(values.to(backend.DEVICE) for values in (
            rays.origins, rays.directions, *args, grid.density_state, grid.origin)), 0.2, *rest)
        differing = (found[0].cpu().diff() != expected[0].diff()).sum()
        assert len(expected[1]) > 300 and differing <= 4  # faces of voxels
        if not differing:
            for actual, target in zip(found, expected):
                assert torch.allclose(actual.cpu(), target, atol=1e-5)


@pytest.mark.parametrize('density, measured', [(0.05, 0.0), (2.0, 0.6), (40.0, 1.0)])
def test_a_training_step_is_that_of_the_reference(backend, density, measured):
    random = generator()
    fields, rays = twins(backend, random, density), random_rays(random, 50, measured)
    jitter, background = floats(random.random(50)), floats(random.random((50, 3)))
    found, expected = (
        each.train_step(field, rays.to(each.DEVICE), grid, CONFIG, jitter.to(each.DEVICE),
                        background.to(each.DEVICE), 1.0, 4096)
        for field, grid, each in zip(fields, grids(backend), (backend, reference)))
    assert found.terms == pytest.approx(expected.terms, rel=1e-2, abs=1e-4)  # as in test_cuda
    for name in ('colors', 'distances', 'opacities', 'medians'):
        error = (getattr(found, name).cpu() - getattr(expected, name)).abs().reshape(50, -1)
        assert (error.amax(-1) > 1e-2).sum() <= 3, name
    assert len(expected.positions) > 10
    geometry, color = fields[1].geometry, fields[1].color
    targets = {f'geometry.{name}': p.grad for name, p in geometry.named_parameters()}
    targets |= {f'color.{name}': p.grad for name, p in color.named_parameters()}
    for name, gradient in gradients(fields[0]).items():
        assert alike(gradient, targets[name], 0.15), name


def test_rays_that_miss_the_grid_have_no_gradients(backend):
    random = generator()
    field, _ = twins(backend, random)
    rays = random_rays(random, 5, 0.0)
    rays.origins[:] = 50.0
    found = backend.train_step(
        field, rays.to(backend.DEVICE), grids(backend)[0], CONFIG,
        torch.zeros(5, device=backend.DEVICE), torch.zeros(5, 3, device=backend.DEVICE), 1.0, 4096)
    assert len(found.positions) == 0 and not found.opacities.any()
    assert not any(gradient.any() for gradient in gradients(field).values())


def test_a_step_of_adam_is_that_of_the_reference(backend):
    random = generator()
    fields = twins(backend, random)
    optimizers = [each.Adam(field.geometry, field.color, 0.9, 0.99, 1e-6, 0.01)
                  for each, field in zip((backend, reference), fields)]  # fmt: skip
    positions = floats(random.uniform(-1, 1, (40, 3))) / 512 + 0.5
    directions = unit(random, 40)
    for _ in range(2):
        networks = [(field.geometry, field.color) for field in fields]
        for field, each in zip(fields, (backend, reference)):
            field.zero_grad()
            geometry = field.geometry(positions.to(each.DEVICE))
            color = field.color(
                directions.to(each.DEVICE), torch.arange(40, device=each.DEVICE), geometry)
            (color.mean() + geometry[:, 0].mean()).backward()
        # The very same gradients: the sign of a small one would be the direction of a step.
        found = gradients(fields[0])
        for prefix, network in zip(('geometry', 'color'), networks[1]):
            for name, parameter in network.named_parameters():
                assert alike(found[f'{prefix}.{name}'], parameter.grad, 0.15), name
                parameter.grad = found[f'{prefix}.{name}'].clone()
        touched = (fields[1].geometry.table.grad != 0).any(-1)
        before = fields[0].state()['geometry.table'].clone()
        for optimizer in optimizers:
            optimizer.step(0.02)
        assert 0 < touched.sum() < touched.numel()
        after = fields[0].state()
        assert torch.equal(after['geometry.table'].cpu()[~touched], before.cpu()[~touched])
        for name, values in fields[1].state().items():
            torch.testing.assert_close(after[name].cpu(), values, rtol=1e-3, atol=1e-4)


def test_a_view_is_that_of_the_reference(backend):
    random = generator()
    fields, rays = twins(backend, random, 10.0), random_rays(random, 60, 0.0)
    voxels = floats(random.choice([EMPTY, SOLID, UNVISITED], (30, 25, 20))).byte()
    found, expected = (
        each.render_rays(field, rays.to(each.DEVICE), grid, CONFIG.sampling, 1.5)
        for field, grid, each in zip(fields, grids(backend, voxels), (backend, reference)))
    assert expected[0].any()
    for actual, target in zip(found, expected):
        error = (actual.cpu() - target.detach()).abs().reshape(60, -1).amax(-1)
        assert (error > 2e-2).sum() <= 3


def test_a_mapper_trains_and_its_field_renders_the_same_on_every_backend(
        backend, monkeypatch, tmp_path):
    monkeypatch.setattr(self_check, 'check', lambda *_: None)
    mapper = Mapper(replace(CONFIG, {
        'loss.distortion_weight': 0.1, 'loss.opacity_weight': 0.001}))  # fmt: skip
    for pose in poses(2):
        image, depth = view(SMALL, pose)
        mapper.add(image, SMALL, pose, depth)
    mapper.trainer.schedule.restore(rays=32, stride=8.0, age=0)
    losses = [mapper.step()['color'] for _ in range(4)]
    assert mapper.backend_name == 'tinycudann' and mapper.discarded == 0
    assert np.isfinite(losses).all()
    assert mapper.trainer.field.state()['geometry.table'].abs().max() > 1e-3
    model.write(tmp_path / 'model.npz', mapper)
    expected = mapper.render(SMALL, poses(5)[2])
    assert expected.opacity.max() > 0.05
    for device in ('cpu', 'reference', 'triton', 'cuda'):
        other = model.read(tmp_path / 'model.npz', replace(CONFIG, {'device': device}), Mapper)
        found = other.render(SMALL, poses(5)[2])
        error = np.abs(found.color.astype(int) - expected.color).max(-1)
        assert (error > 3).mean() < 0.05, device
        assert (np.abs(found.opacity - expected.opacity) > 0.01).mean() < 0.05, device
    assert other.backend_name == 'tinycudann'


@pytest.mark.parametrize('changes, reason', [
    ({'field.hidden': 24}, 'field.hidden'),
    ({'field.coarsest_cell': 1.3}, 'whole number of cells'),
    ({'field.coarsest_cell': 64.0, 'field.log2_table': 12}, 'does not hash'),
])  # fmt: skip
def test_what_it_cannot_represent_is_left_to_triton_with_the_reason(
        library, unchecked, changes, reason, caplog):
    caplog.set_level('INFO')
    assert Mapper(replace(CONFIG, changes)).backend_name == 'cuda'
    [line] = [record.getMessage() for record in caplog.records]
    assert 'with Triton alone' in line and reason in line


@pytest.mark.parametrize('error', [
    RuntimeError('no kernel image is available'), torch.cuda.OutOfMemoryError('out of memory'),
    OSError('Could not find compatible tinycudann extension')])  # fmt: skip
def test_what_does_not_work_is_left_to_triton_with_the_reason(
        library, unchecked, error, monkeypatch, caplog):
    def fail(*_):
        raise error
    monkeypatch.setattr(library.NetworkWithInputEncoding, 'forward', fail)
    caplog.set_level('INFO')
    assert backends.select('cuda', CONFIG.field).NAME == 'cuda'
    [line] = [record.getMessage() for record in caplog.records]
    assert 'with Triton alone' in line and str(error) in line


def test_what_is_not_installed_is_not_needed(library, unchecked, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, 'tinycudann', None)
    caplog.set_level('INFO')
    assert backends.select('cuda', CONFIG.field).NAME == 'cuda'
    assert 'tinycudann' in caplog.text and 'Triton alone' in caplog.text


@pytest.mark.parametrize('broken', ['order', 'hash'])
def test_another_layout_is_not_trusted(library, unchecked, broken, monkeypatch, caplog):
    if torch.cuda.is_available():
        pytest.skip('breaks the stand-in')
    if broken == 'hash':
        monkeypatch.setattr(library, 'PRIMES', (1, 2654435761, 805459863))
    else:
        compute = library.NetworkWithInputEncoding.compute
        monkeypatch.setattr(
            library.NetworkWithInputEncoding, 'compute',
            lambda network, inputs, params: compute(network, inputs, params.flip(0)))
    caplog.set_level('INFO')
    assert backends.select('cuda', CONFIG.field).NAME == 'cuda'
    assert 'differs from that of the reference' in caplog.text


@pytest.mark.tinycudann
def test_a_small_scene_is_learned_on_a_gpu(backend):
    mapper = Mapper(replace(CONFIG, {
        'sampling.samples_per_step': 2**16, 'sampling.min_step': 0.04, 'field.log2_table': 15,
        'field.levels': 8, 'field.finest_cell': 0.04, 'occupancy.voxel_size': 0.1,
        'sampling.far': 4.0}))  # fmt: skip
    assert mapper.backend_name == 'tinycudann'
    for pose in poses(30):
        image, depth = view(CAMERA, pose)
        mapper.add(image, CAMERA, pose, depth)
    for _ in range(600):
        mapper.step()
    for pose in poses(11):
        image, depth = view(CAMERA, pose)
        found = mapper.render(CAMERA, pose)
        assert psnr(found.color, image) > 23
        assert np.nanmedian(np.abs(found.depth - depth)) < 0.03
