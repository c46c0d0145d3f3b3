"""The GPU backend as a whole: a Mapper trains with it, and its fields are exchangeable."""
import dataclasses

import numpy as np
import pytest
import torch
from randomness import generator
from scenes import CAMERA, poses, view

from instant_nerf_ros.data.metrics import psnr
from instant_nerf_ros.nerf import Camera, Config, Mapper, backends, replace
from instant_nerf_ros.nerf.capture.rays import RaySources
from instant_nerf_ros.nerf.trainer import Trainer

pytestmark = pytest.mark.triton

SMALL = Camera(8, 6, 6.0, 6.0, 3.5, 2.5)
CONFIG = replace(Config(), {
    'device': 'triton', 'field.log2_table': 10, 'field.levels': 3, 'field.hidden': 32,
    'field.finest_cell': 0.04, 'occupancy.voxel_size': 0.2, 'occupancy.length': 6.0,
    'occupancy.width': 5.0, 'occupancy.height': 4.0, 'sampling.samples_per_step': 1024,
    'sampling.min_step': 0.3, 'sampling.far': 4.0,
})  # fmt: skip


def mapped(camera, count, config=CONFIG, with_depth=True):
    mapper = Mapper(config)
    for pose in poses(count):
        image, depth = view(camera, pose)
        mapper.add(image, camera, pose, depth if with_depth else None)
    return mapper


class Twins:
    """Mappers on Triton and on the reference that take the same steps."""

    def __init__(self, patch):
        """Give both the same images, parameters, rays and jitter; patch is a MonkeyPatch."""
        patch.setattr(Trainer, '_uniform', lambda trainer, *shape: torch.full(
            shape, 0.5, device=trainer.backend.DEVICE))
        self.sampled, samples = 0, []
        backend = backends.select('triton')
        sample_rays = backend.sample_rays

        def record(*arguments):
            rays, sources = sample_rays(*arguments)
            self.sampled += len(rays)
            samples.append((rays.to('cpu'), RaySources(
                *(values.cpu().numpy() for values in (
                    sources.keyframes, sources.tiles, sources.pixels)))))
            return rays, sources

        patch.setattr(backend, 'sample_rays', record)
        patch.setattr(backends.select('reference'), 'sample_rays', lambda *_: samples.pop(0))
        self.cuda, self.reference = (
            mapped(SMALL, 2, dataclasses.replace(CONFIG, device=device))
            for device in ('triton', 'reference'))
        pose = poses(7)[3]
        for mapper in (self.cuda, self.reference):
            mapper.add(view(SMALL, pose)[0], SMALL, pose)  # without measured rays
            mapper.trainer.schedule.restore(rays=24, stride=8.0, age=0)
        self.initial = {
            name: value.cpu().clone() for name, value in self.cuda.trainer.field.state().items()}
        self.reference.trainer.field.load(self.initial)
        self.terms = [(self.cuda.step(), self.reference.step()) for _ in range(3)]


@pytest.fixture(scope='module')
def twins():
    """Return Twins that have taken a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        yield Twins(patch)


@pytest.fixture
def mapper(twins):
    """Return a Mapper on Triton after a few steps."""
    return twins.cuda


def test_the_loss_is_that_of_the_reference(twins):
    assert twins.cuda.backend_name == 'cuda' and twins.reference.backend_name == 'reference'
    assert twins.cuda.steps == 3 and twins.cuda.discarded == 0
    for terms, expected in twins.terms:
        assert terms.keys() == expected.keys()
        for name in terms:
            assert terms[name] == pytest.approx(expected[name], rel=0.02, abs=1e-4)


def test_the_parameters_change_as_those_of_the_reference(twins):
    for name, value in twins.cuda.trainer.field.state().items():
        before, other = twins.initial[name], twins.reference.trainer.field.state()[name]
        change, expected = value.cpu() - before, other - before
        assert expected.norm() > 0
        # Adam's first steps have the size of the learning rate, whatever that of the gradient.
        assert (change - expected).norm() < 0.2 * expected.norm(), name


def test_the_occupancy_grid_is_that_of_the_reference(twins):
    for name in ('hits', 'misses', 'density_state'):
        found = getattr(twins.cuda.occupancy, name).cpu()
        expected = getattr(twins.reference.occupancy, name)
        assert (found != expected).sum() <= 0.01 * expected.count_nonzero() and expected.any()
    cells, expected = twins.cuda.map().cells, twins.reference.map().cells
    assert (expected != -1).any() and (cells != expected).mean() < 0.01
    assert twins.cuda.keyframes.ray_counts.sum() == pytest.approx(twins.sampled)


def test_a_saved_field_renders_the_same_on_every_backend(mapper, tmp_path):
    mapper.rescue(tmp_path / 'images')
    from instant_nerf_ros.nerf.products import model
    model.write(tmp_path / 'model.npz', mapper)
    pose = poses(5)[2]
    expected = mapper.render(SMALL, pose)
    assert expected.opacity.max() > 0.05
    for device, name in (('cpu', 'cpu'), ('reference', 'reference'), ('triton', 'cuda')):
        other = model.read(
            tmp_path / 'model.npz', dataclasses.replace(CONFIG, device=device), Mapper)
        assert other.backend_name == name
        found = other.render(SMALL, pose)
        error = np.abs(found.color.astype(int) - expected.color).max(-1)
        assert (error > 3).mean() < 0.03
        assert (np.abs(found.opacity - expected.opacity) > 0.01).mean() < 0.03
        for name in ('hits', 'misses', 'density_state'):
            assert torch.equal(
                getattr(other.occupancy, name).cpu(), getattr(mapper.occupancy, name).cpu())
    assert len(Mapper.load(tmp_path / 'images').keyframes) == len(mapper.keyframes)


def test_a_field_of_the_processor_can_be_loaded(mapper):
    cpu = mapped(SMALL, 2, dataclasses.replace(CONFIG, device='cpu'))
    cpu.step()
    mapper.trainer.field.load({
        name: value.clone() for name, value in cpu.trainer.field.state().items()})
    positions = torch.from_numpy(
        generator().uniform(-2, 2, (200, 3)).astype(np.float32))
    found = mapper.trainer.field.density(positions).cpu()
    expected = cpu.trainer.field.density(positions)
    assert ((found - expected).abs() / (expected + 0.1)).median() < 0.01


def test_the_log_names_the_backend_in_use_and_a_faster_one(caplog):
    caplog.set_level('INFO')
    name = backends.select('auto').NAME
    [line] = [record.getMessage() for record in caplog.records]
    if torch.cuda.is_available():
        assert name in ('cuda', 'tinycudann') and torch.cuda.get_device_name() in line
    else:
        assert name == 'cpu' and 'a GPU would be faster' in line and 'no NVIDIA GPU' in line


@pytest.mark.cuda
def test_the_gpu_is_waited_for_only_by_reports():
    mapper = mapped(CAMERA, 3)
    mapper.add(view(CAMERA, poses(7)[3])[0], CAMERA, poses(7)[3])
    for _ in range(30):
        mapper.step()
    mapper.keyframes.count_rays(np.full(len(mapper.keyframes), 5000))  # enough to vote
    torch.cuda.set_sync_debug_mode('error')
    try:
        for _ in range(8):
            mapper.step()
    finally:
        torch.cuda.set_sync_debug_mode('default')


@pytest.mark.cuda
def test_a_small_scene_is_learned_on_a_gpu():
    config = replace(CONFIG, {
        'sampling.samples_per_step': 2**16, 'sampling.min_step': 0.04, 'field.log2_table': 15,
        'field.levels': 8, 'occupancy.voxel_size': 0.1})
    mapper = mapped(CAMERA, 30, config)
    for _ in range(600):
        mapper.step()
    for pose in poses(11):
        image, depth = view(CAMERA, pose)
        found = mapper.render(CAMERA, pose)
        assert psnr(found.color, image) > 24
        assert np.nanmedian(np.abs(found.depth - depth)) < 0.03


@pytest.mark.cuda
def test_a_gpu_without_memory_makes_the_steps_smaller(caplog):
    mapper = mapped(CAMERA, 3)
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(
        (torch.cuda.memory_reserved() + 2**26) / total)
    try:
        mapper.set_config(replace(mapper.config, {'sampling.samples_per_step': 2**20}))
        for _ in range(3):
            assert np.isfinite(mapper.step()['loss'])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 'out of memory' in caplog.text


def test_a_large_room_is_trained_in_its_unit():
    corners, losses = np.array([[-9.0, -9, -9], [9, 9, 9]]), []
    for unit in (1.0, 8.0):
        mapper = Mapper(CONFIG)
        mapper.adaptation.restore(unit)
        mapper.set_config(replace(
            CONFIG, {'sampling.near': 0.2 * unit, 'sampling.far': 4 * unit}))
        for pose in poses(2):
            T = pose.copy()
            T[:3, 3] *= unit
            mapper.add(view(SMALL, pose)[0], SMALL, T)
        if unit == 1:
            mapper.measurements.reach(corners)
        mapper.trainer.space.cover(unit * corners)
        mapper.trainer.schedule.restore(rays=24, stride=8.0, age=0)
        losses.append([mapper.step()['loss'] for _ in range(2)])
        assert np.nanmax(mapper.render(SMALL, T).opacity) <= 1
    np.testing.assert_allclose(*losses, rtol=0.02)
