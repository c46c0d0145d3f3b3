"""Training steps and views: the kernels of the CPU compute what the reference does."""
import importlib
import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import numba
import numpy as np
import pytest
import torch
from randomness import floats, generator
from twins import CONFIG, Twins, assert_alike, random_rays, ray_errors

from instant_nerf_ros.nerf import replace
from instant_nerf_ros.nerf.backends.cpu.kernels import ray_tracing
from instant_nerf_ros.nerf.backends.cpu.kernels.products import BFLOAT16
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.constants import EMPTY, SOLID, UNVISITED

RENDERED = 'colors', 'distances', 'opacities', 'medians'
# Tolerances of rendered values; and of gradients and of the first steps of Adam, which depend on
# signs more than on sizes, relative to their norm. A bfloat16 has two to three digits, and these
# fields are rougher than trained ones.
VALUES, GRADIENTS, MATRICES = (0.04, 0.3, 0.2) if BFLOAT16 else (1e-3, 0.02, 0.05)
RARE = 0.1 if BFLOAT16 else 0.03  # share of rays that end elsewhere, being half opaque


@pytest.mark.parametrize('measured', [0.0, 0.6, 1.0])
@pytest.mark.parametrize('density, stride', [(0.05, 2.0), (1.0, 1.0), (30.0, 1.0), (30.0, 4.0)])
def test_a_cpu_step_is_that_of_the_reference(density, stride, measured):
    random = generator()
    twins = Twins(random, density)
    rays = random_rays(random, 300, measured)
    cpu, other = twins.train_step(rays, stride, random)
    assert cpu.terms.keys() == other.terms.keys() and ('depth' in cpu.terms) == (measured > 0)
    for name in cpu.terms:
        assert cpu.terms[name] == pytest.approx(other.terms[name], rel=VALUES, abs=1e-3 * VALUES)
    for name in RENDERED:
        # A sample on the face of a voxel may be taken by one and not by the other.
        errors = ray_errors(getattr(cpu, name), getattr(other, name))
        assert (errors > VALUES).float().mean() < RARE, name
    assert len(cpu.positions) == pytest.approx(len(other.positions), rel=max(VALUES, 0.01))
    assert len(cpu.positions) > 50
    found, expected = twins.cpu_gradients(), twins.reference_gradients()
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert_alike(gradient, expected[name], GRADIENTS, name)


@pytest.mark.skipif(BFLOAT16, reason='a unit near zero may be on in one, off in the other')
def test_table_updates_are_those_of_the_reference_and_leave_the_rest_bit_identical():
    random = generator()
    twins = Twins(random, 0.03)  # thin, so that few places are behind others
    noise = torch.zeros(twins.fields[1].geometry.table.shape[:2], dtype=torch.bool)
    for _ in range(5):
        # Behind nearly opaque places, one may find a gradient of 1e-17 and the other none. Adam
        # continues from its moments in the first case, and not in the second.
        before = [field.state()['geometry.table'].clone() for field in twins.fields]
        rays = random_rays(random, 6, 0.5)
        rays.origins[:] *= 0.3  # so that some of the few begin in the grid
        twins.train_step(rays, 2.0, random)
        touched = (twins.fields[1].geometry.table.grad != 0).any(-1)
        twins.optimize()
        cpu, other = (field.state()['geometry.table'] for field in twins.fields)
        assert 0 < touched.sum() < 0.9 * touched.numel()
        assert torch.equal(cpu[~touched], before[0][~touched])
        noise |= touched & (cpu == before[0]).all(-1)
        clear = touched & ~noise
        assert clear.sum() > 0.2 * touched.sum()
        changes = (cpu - before[0])[clear], (other - before[1])[clear]
        assert_alike(*changes, 0.1, 'table')  # a gradient near zero may have the other sign
        twins.fields[1].load(twins.fields[0].state())


def test_matrix_updates_are_those_of_the_reference():
    random = generator()
    twins = Twins(random, 3.0)
    for _ in range(4):
        before = [{name: value.clone() for name, value in field.state().items()}
                  for field in twins.fields]  # fmt: skip
        twins.train_step(random_rays(random, 200, 0.5), 2.0, random)
        twins.optimize()
        for name, value in twins.fields[0].state().items():
            if 'table' not in name:
                change = value - before[0][name]
                other = twins.fields[1].state()[name] - before[1][name]
                assert_alike(change, other, MATRICES, name)
        twins.fields[1].load(twins.fields[0].state())


@pytest.mark.parametrize('density', [0.05, 30.0])
def test_a_cpu_view_is_that_of_the_reference(density):
    random = generator()
    twins = Twins(random, density)
    states = floats(random.choice([EMPTY, SOLID, UNVISITED], twins.grids[0].shape)).byte()
    for grid in twins.grids:
        grid.density_state.copy_(states)
    rays = random_rays(random, 400, 0.0)
    views = [
        backend.render_rays(field, rays, grid, CONFIG.sampling, 1.5)
        for backend, field, grid in zip(twins.backends, twins.fields, twins.grids)]
    assert views[1][0].any()
    for actual, expected in zip(*views):
        assert (ray_errors(actual, expected.detach()) > 2 * VALUES).float().mean() < 0.05


def test_several_threads_compute_what_one_does():
    rays = random_rays(generator(), 300, 0.5)
    found, before = [], numba.get_num_threads()
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        seeded = np.random.default_rng(5)
        twins = Twins(seeded, 2.0)
        found.append((twins.train_step(rays, 1.0, seeded)[0], twins.cpu_gradients()))
    numba.set_num_threads(before)
    (alone, gradients), (shared, others) = found
    for name in RENDERED:
        assert torch.equal(getattr(alone, name), getattr(shared, name))
    for name, gradient in gradients.items():
        assert_alike(others[name], gradient, 1e-4, name)


def test_chunks_with_more_samples_than_rows_are_halved():
    # Long rays through thin fog, in steps so small that 32 of them have more samples than rows.
    twins = Twins(generator(), 0.01, replace(
        CONFIG, {'sampling.min_step': 0.01, 'sampling.cone': 0.0}))
    count = 64
    rays = Rays(torch.tensor([[-2.9, 0.0, 1.0]]).repeat(count, 1),
                torch.tensor([[1.0, 0.0, 0.0]]).repeat(count, 1), torch.zeros(count),
                torch.zeros(count, 3, dtype=torch.uint8))
    cpu, other = twins.train_step(rays, 1.0, np.random.default_rng(1))
    assert len(cpu.positions) > count / 32 * ray_tracing.ROWS
    assert len(cpu.positions) == len(other.positions)
    torch.testing.assert_close(cpu.opacities, other.opacities, rtol=VALUES, atol=VALUES / 100)


def test_rays_that_do_not_fit_into_the_buffers_are_left_out(monkeypatch):
    cpu_train_step = importlib.import_module('instant_nerf_ros.nerf.backends.cpu.train_step')
    monkeypatch.setattr(cpu_train_step, 'MAX_SAMPLES', 600)
    random = generator()
    twins = Twins(random, 0.01, replace(CONFIG, {'sampling.samples_per_step': 1024}))
    cpu, other = twins.train_step(random_rays(random, 2000, 0.0), 1.0, random)
    threads = len(twins.fields[0].geometry.chunks)
    assert len(cpu.positions) <= threads * 4096 < len(other.positions)
    assert 0 < (cpu.opacities > 0).sum() < (other.opacities > 0).sum()
    assert cpu.terms['color'] < other.terms['color']


OTHER = 'INSTANT_NERF_TEST_PROCESSOR'  # set in the environment of the tests for another processor
PROCESSORS = {
    'without AVX-512': ('haswell', '+avx2,+fma,+avx'),
    'without bfloat16': ('skylake-avx512', '+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx2,+fma'),
}


@pytest.mark.slow
@pytest.mark.skipif(OTHER in os.environ, reason='this is the other processor')
@pytest.mark.parametrize('name', PROCESSORS)
def test_kernels_for_another_processor_compute_the_same(name):
    own = llvmlite.binding.get_host_cpu_features()
    processor, features = PROCESSORS[name]
    if not all(own.get(feature[1:]) for feature in features.split(',')):
        pytest.skip(f'this processor cannot stand in for {processor}')
    environment = {
        **os.environ, 'NUMBA_CPU_NAME': processor, 'NUMBA_CPU_FEATURES': features, OTHER: name}
    names = 'cpu_step or cpu_view or table_updates or products or float32'
    files = [str(Path(__file__).with_name(f'test_{file}.py')) for file in ('train_step', 'layers')]
    result = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-k', names, *files],
        env=environment, capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]


@pytest.mark.skipif(OTHER not in os.environ, reason='only of the other processor')
def test_a_processor_without_bfloat16_computes_in_float32():
    assert not BFLOAT16 and GRADIENTS == 0.02
