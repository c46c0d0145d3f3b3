"""Lesson: the fused steps and views of the processor are those of the reference."""
import os
import subprocess
import sys

import llvmlite.binding
import numba
import numpy as np
import pytest
import torch
from randomness import floats, generator, unit

from instant_nerf_ros.nerf import Config, backends, replace
from instant_nerf_ros.nerf.backends.cpu import train_step
from instant_nerf_ros.nerf.backends.cpu.kernels import hash_grid, ray_tracing
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BFLOAT16
from instant_nerf_ros.nerf.capture.rays import NO_COLOR, Rays
from instant_nerf_ros.nerf.constants import EMPTY, SOLID, UNVISITED
from instant_nerf_ros.nerf.field import train_step
from instant_nerf_ros.nerf.field.radiance_field import Field
from instant_nerf_ros.nerf.field.render import render_rays
from instant_nerf_ros.nerf.occupancy.occupancy_grid import Occupancy

CONFIG = replace(Config(), {
    'field.levels': 5, 'field.log2_table': 10, 'field.hidden': 24, 'field.finest_cell': 0.1,
    'occupancy.voxel_size': 0.2, 'occupancy.length': 6.0, 'occupancy.width': 5.0,
    'occupancy.height': 4.0, 'sampling.near': 0.1, 'sampling.far': 5.0, 'loss.depth_weight': 0.7,
    'loss.free_space_weight': 0.9, 'loss.distortion_weight': 0.8, 'loss.opacity_weight': 0.5,
})  # fmt: skip
SHOWN = 'colors', 'distances', 'opacities', 'medians'
# Tolerances: of what is shown; of gradients and of Adam's first steps, which look at their signs
# more than at their sizes, relative to their norm. A bfloat16 has two to three digits, and these
# fields are wilder than those that are learnt.
VALUES, GRADIENTS, MATRICES = (0.04, 0.15, 0.2) if BFLOAT16 else (1e-3, 0.02, 0.05)
RARE = 0.1 if BFLOAT16 else 0.03  # share of rays that end elsewhere: they are half opaque, say


class Twins:
    """Two fields with the same parameters in the same grid, one for each backend."""

    def __init__(self, random, density, config=CONFIG):
        self.config = config
        self.engines = [backends.select(name) for name in ('cpu', 'reference')]
        self.fields = [Field(config.field, engine) for engine in self.engines]
        state = {name: 0.4 * floats(random.normal(size=parameter.shape))
                 for name, parameter in self.fields[1].state().items()}  # fmt: skip
        state['geometry.output'][0] *= 3
        for field in self.fields:
            field.load(state)
        self.grids = [Occupancy(config.occupancy, [0, 0, 1], engine) for engine in self.engines]
        # One sample more or less, on the face of a voxel, makes another gradient: test_samples
        # has grids of all kinds.
        for grid in self.grids:
            grid.voxels.fill_(SOLID)
        settings = config.optimizer
        self.optimizers = [
            engine.Adam(field.geometry, field.color, settings.beta1, settings.beta2, 1e-4, 0.01)
            for engine, field in zip(self.engines, self.fields)]
        self.scale(density)

    def scale(self, density):
        """Add to the log density what makes its middle the given one: through a hidden unit."""
        for field in self.fields:
            state = {name: value.clone() for name, value in field.state().items()}
            state['geometry.table'][0] = state['geometry.table'][0].abs()
            state['geometry.hidden'][0] = 0
            state['geometry.hidden'][0, :4] = 1.0
            state['geometry.output'][0, 0] = np.log(density)
            field.load(state)

    def learn(self, rays, stride, random):
        """Return the lessons of both."""
        jitter = floats(random.random(len(rays)))
        background = floats(random.random((len(rays), 3)))
        return [train_step.train_step(field, rays, grid, self.config, engine, jitter, background, stride,
                             self.config.sampling.samples_per_step)
                for field, grid, engine in zip(self.fields, self.grids, self.engines)]


def random_rays(random, count, measured):
    """Return rays from in and around the grid, a share of them with a measured surface.

    A fifth of those with a surface have no colour.
    """
    surfaces = random.uniform(0.05, 6.0, count) * (random.random(count) < measured)
    pixels = random.integers(0, 256, (count, 3)).astype(np.int16)
    pixels[(surfaces > 0) & (random.random(count) < 0.2)] = NO_COLOR
    return Rays(
        floats(random.uniform(-3.5, 3.5, (count, 3))), unit(random, count), floats(surfaces),
        torch.from_numpy(pixels))


def gradients_of_cpu(twins):
    """Return {name: gradient} of the parameters, as Adam would take them."""
    field, optimizer = twins.fields[0], twins.optimizers[0]
    room = field.geometry.room
    optimizer._collect(room.add_up())
    names = [name for name in field.state() if name != 'geometry.table']
    found = {name: torch.from_numpy(gradient.copy())
             for name, gradient in zip(names, optimizer.gradients)}  # fmt: skip
    lines, first = field.geometry.lines, 4
    entries = np.empty(lines.shape[1] + 1, dtype=np.int32)
    for level, scale in enumerate(field.geometry.scales):
        for learnt, counts in zip(room.learnt, room.counts):
            lit = int(counts[train_step.LIT])
            hash_grid.encode_backward(
                learnt.positions[:lit], learnt.encoded[:lit], scale, 4 * level, lines[level],
                entries, 0)
    found['geometry.table'] = torch.from_numpy(lines[:, :, first : first + 4].copy())
    lines[:, :, first : first + 4] = 0
    return found


def assert_alike(actual, expected, tolerance, what):
    error = (actual - expected).norm() / expected.norm().clamp(min=1e-12)
    assert error < tolerance, (what, error)


@pytest.mark.parametrize('measured', [0.0, 0.6, 1.0])
@pytest.mark.parametrize('density, stride', [(0.05, 2.0), (1.0, 1.0), (30.0, 1.0), (30.0, 4.0)])
def test_a_lesson_of_the_processor_is_that_of_the_reference(density, stride, measured):
    random = generator()
    twins = Twins(random, density)
    rays = random_rays(random, 300, measured)
    cpu, other = twins.learn(rays, stride, random)
    assert cpu.terms.keys() == other.terms.keys() and ('depth' in cpu.terms) == (measured > 0)
    for name in cpu.terms:
        assert cpu.terms[name] == pytest.approx(other.terms[name], rel=VALUES, abs=1e-3 * VALUES)
    for name in SHOWN:
        # A sample on the face of a voxel may be taken by one and not by the other.
        error = (getattr(cpu, name) - getattr(other, name)).abs().reshape(len(rays), -1).amax(-1)
        assert (error > VALUES).float().mean() < RARE, name
    assert len(cpu.positions) == pytest.approx(len(other.positions), rel=max(VALUES, 0.01))
    assert len(cpu.positions) > 50
    expected = {name: parameter.grad for name, parameter in (
        *((f'geometry.{n}', p) for n, p in twins.fields[1].geometry.named_parameters()),
        *((f'color.{n}', p) for n, p in twins.fields[1].color.named_parameters()))}
    found = gradients_of_cpu(twins)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert_alike(gradient, expected[name], GRADIENTS, name)


@pytest.mark.skipif(BFLOAT16, reason='a unit near zero may be on in one, off in the other')
def test_steps_of_adam_are_those_of_the_reference_and_leave_the_rest_bit_identical():
    random = generator()
    twins = Twins(random, 0.03)  # thin, for few places behind others
    noise = torch.zeros(twins.fields[1].geometry.table.shape[:2], dtype=torch.bool)
    for _ in range(5):
        # Where the light has all but saturated, one may see a gradient of 1e-17 and the other
        # none. Adam's step goes on from its moments in the first place, and not in the second.
        before = [field.state()['geometry.table'].clone() for field in twins.fields]
        rays = random_rays(random, 6, 0.5)
        rays.origins[:] *= 0.3  # so that some of the few begin in the grid
        twins.learn(rays, 2.0, random)
        touched = (twins.fields[1].geometry.table.grad != 0).any(-1)
        for optimizer in twins.optimizers:
            optimizer.step(0.02)
        cpu, other = (field.state()['geometry.table'] for field in twins.fields)
        assert 0 < touched.sum() < 0.9 * touched.numel()
        assert torch.equal(cpu[~touched], before[0][~touched])
        noise |= touched & (cpu == before[0]).all(-1)
        clear = touched & ~noise
        assert clear.sum() > 0.2 * touched.sum()
        changes = (cpu - before[0])[clear], (other - before[1])[clear]
        assert_alike(*changes, 0.1, 'table')  # a gradient near zero may have the other sign
        twins.fields[1].load(twins.fields[0].state())


def test_matrices_are_optimised_as_the_reference_does():
    random = generator()
    twins = Twins(random, 3.0)
    for _ in range(4):
        before = [{name: value.clone() for name, value in field.state().items()}
                  for field in twins.fields]  # fmt: skip
        twins.learn(random_rays(random, 200, 0.5), 2.0, random)
        for optimizer in twins.optimizers:
            optimizer.step(0.02)
        for name, value in twins.fields[0].state().items():
            if 'table' not in name:
                change = value - before[0][name]
                other = twins.fields[1].state()[name] - before[1][name]
                assert_alike(change, other, MATRICES, name)
        twins.fields[1].load(twins.fields[0].state())


@pytest.mark.parametrize('density', [0.05, 30.0])
def test_a_view_of_the_processor_is_that_of_the_reference(density):
    random = generator()
    twins = Twins(random, density)
    voxels = floats(random.choice([EMPTY, SOLID, UNVISITED], twins.grids[0].shape)).byte()
    for grid in twins.grids:
        grid.voxels.copy_(voxels)
    rays = random_rays(random, 400, 0.0)
    views = [
        twins.engines[0].render_rays(twins.fields[0], rays, twins.grids[0], CONFIG.sampling, 1.5),
        render_rays(twins.fields[1], rays, twins.grids[1], CONFIG.sampling, twins.engines[1], 1.5)]
    assert views[1][0].any()
    for actual, expected in zip(*views):
        error = (actual - expected.detach()).abs().reshape(len(rays), -1).amax(-1)
        assert (error > 2 * VALUES).float().mean() < 0.05



def test_threads_share_the_rays_and_find_the_same():
    random = generator()
    rays = random_rays(random, 300, 0.5)
    found, before = [], numba.get_num_threads()
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        seeded = np.random.default_rng(5)
        twins = Twins(seeded, 2.0)
        found.append((twins.learn(rays, 1.0, seeded)[0], gradients_of_cpu(twins)))
    numba.set_num_threads(before)
    (alone, gradients), (shared, others) = found
    for name in SHOWN:
        assert torch.equal(getattr(alone, name), getattr(shared, name))
    for name, gradient in gradients.items():
        assert_alike(others[name], gradient, 1e-4, name)


def test_chunks_without_room_for_all_samples_are_halved():
    # Long rays through thin fog, in steps so small that 32 of them have more samples than rows.
    config = replace(CONFIG, {'sampling.min_step': 0.01, 'sampling.cone': 0.0})
    twins = Twins(generator(), 0.01, config)
    for grid in twins.grids:
        grid.voxels.fill_(SOLID)
    count = 64
    rays = Rays(torch.tensor([[-2.9, 0.0, 1.0]]).repeat(count, 1),
                torch.tensor([[1.0, 0.0, 0.0]]).repeat(count, 1), torch.zeros(count),
                torch.zeros(count, 3, dtype=torch.uint8))
    cpu, other = twins.learn(rays, 1.0, np.random.default_rng(1))
    assert len(cpu.positions) > count / 32 * ray_tracing.ROWS
    assert len(cpu.positions) == len(other.positions)
    torch.testing.assert_close(cpu.opacities, other.opacities, rtol=VALUES, atol=VALUES / 100)


def test_rays_that_find_no_room_are_left_out(monkeypatch):
    monkeypatch.setattr(cpu_lesson, 'MOST', 600)
    config = replace(CONFIG, {'sampling.samples_per_step': 1024})
    random = generator()
    twins = Twins(random, 0.01, config)
    cpu, other = twins.learn(random_rays(random, 2000, 0.0), 1.0, random)
    threads = len(twins.fields[0].geometry.chunks)
    assert len(cpu.positions) <= threads * 4096 < len(other.positions)
    taught = cpu.opacities > 0
    assert 0 < taught.sum() < (other.opacities > 0).sum()
    assert cpu.terms['color'] < other.terms['color']


PROCESSORS = {
    'without AVX-512': ('haswell', '+avx2,+fma,+avx'),
    'without bfloat16': ('skylake-avx512', '+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx2,+fma'),
}


@pytest.mark.skipif(
    'pytest_on_another_processor' in os.environ, reason='this is the other processor')
@pytest.mark.parametrize('name', PROCESSORS)
def test_another_processor_learns_the_same(name, tmp_path):
    own = llvmlite.binding.get_host_cpu_features()
    processor, features = PROCESSORS[name]
    if not all(own.get(feature[1:]) for feature in features.split(',')):
        pytest.skip(f'this processor cannot stand in for {processor}')
    environment = {
        **os.environ, 'NUMBA_CPU_NAME': processor, 'NUMBA_CPU_FEATURES': features,
        'NUMBA_CACHE_DIR': str(tmp_path), 'pytest_on_another_processor': 'yes'}
    names = 'of_the_processor or products or steps_of_adam or float32'
    files = [str(file) for file in (__file__, __file__.replace('test_lesson', 'test_backends'))]
    result = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-k', names, *files],
        env=environment, capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]


@pytest.mark.skipif(
    'pytest_on_another_processor' not in os.environ, reason='only of the other processor')
def test_a_processor_without_bfloat16_computes_in_float32():
    assert not BFLOAT16 and GRADIENTS == 0.02
