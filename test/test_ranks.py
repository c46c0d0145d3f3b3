"""Ranks: two processes that train one field through gloo, against one that has the same rays."""
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import photo_sets
import pytest
import rank_worker
import scenes
import torch

from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.backends import select
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.constants import EMPTY
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.joining import check_equal, join
from instant_nerf_ros.nerf.local_frame import LocalFrame
from instant_nerf_ros.nerf.occupancy import grid_state
from instant_nerf_ros.nerf.ranks import ALONE, Ranks
from instant_nerf_ros.scenes import Scene

TEST = Path(__file__).parent
LIMIT = 600.0  # s
pytestmark = pytest.mark.slow


def start(size, *command):
    """Start processes like torchrun; return them."""
    port = str(random.randint(20000, 40000))
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=TEST, env={
                **os.environ, 'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': str(size),
                'LOCAL_WORLD_SIZE': str(size), 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port,
                'PYTHONPATH': os.pathsep.join([str(TEST.parent), str(TEST)])})
        for rank in range(size)]


def finished(processes):
    """Return exit status and standard error of processes."""
    try:
        return [(process.communicate(timeout=LIMIT)[1], process.returncode)[::-1]
                for process in processes]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope='module', params=['reference', 'cpu'])
def ranks(request, tmp_path_factory):
    """Return the device and the arrays of two ranks that have trained together."""
    if request.param == 'cpu':
        pytest.importorskip('numba')
    folder = tmp_path_factory.mktemp('ranks')
    for status, error in finished(start(2, 'rank_worker.py', folder, request.param, 'all')):
        assert status == 0, error
    return request.param, [dict(np.load(folder / f'{rank}.npz')) for rank in range(2)]


def test_the_fields_of_all_ranks_are_equal_bit_for_bit(ranks):
    _, (first, second) = ranks
    names = [name for name in first if name.startswith(('before', 'after'))]
    assert len(names) == 12
    for name in (*names, 'moments'):
        assert (first[name] == second[name]).all(), name
    assert any((first[name] != first[name.replace('after', 'before')]).any()
               for name in names if name.startswith('after'))


def test_each_has_its_own_rays_and_the_same_density(ranks):
    _, (first, second) = ranks
    assert (first['origins'][:10] != second['origins'][:10]).any()
    assert (first['jitter'][:100] != second['jitter'][:100]).all()
    assert (first['density'] > 0).sum() > 1000
    assert (first['density'] == second['density']).all()


def test_the_sparse_exchange_is_a_dense_mean(ranks):
    _, results = ranks
    (one, rows1), (two, rows2) = (rank_worker.gradients(rank) for rank in range(2))
    for result in results:
        np.testing.assert_allclose(result['averaged'], (one + two) / 2, rtol=1e-6)
        assert set(result['rows']) == {*rows1, *rows2}
        assert list(result['mean']) == [0.5, 1.5] and list(result['largest']) == [1, 0]
    assert (results[0]['averaged'] == results[1]['averaged']).all()


def empty(grid):
    """Return the lattice indices of the voxels that training skips."""
    return set(map(tuple, np.argwhere(grid.density_state.numpy() == EMPTY) + grid.first))


def test_a_step_of_two_is_a_step_of_one_with_the_rays_of_both(ranks):
    device, results = ranks
    config = replace(Config(), {**rank_worker.SMALL, 'device': device})
    backend, adam = select(device, config.field), config.optimizer
    field = RadianceField(config.field, backend)
    optimizer = backend.Adam(
        field.geometry, field.color, adam.beta1, adam.beta2, adam.epsilon, adam.weight_decay)
    field.load({name.removeprefix('before '): torch.from_numpy(array)
                for name, array in results[0].items() if name.startswith('before ')})
    rays, jitter, background = (
        [torch.from_numpy(np.concatenate([result[name] for result in results]))
         for name in names]
        for names in (('origins', 'directions', 'surfaces', 'pixels'), ('jitter',),
                      ('background',)))
    union = Mapper(replace(config, {'seed': 0}))
    union.measurements.grow_to(np.zeros(3))
    for number, pose in enumerate(scenes.poses(rank_worker.VIEWS)):
        image, depth = scenes.view(scenes.CAMERA, pose)
        union.add(image, scenes.CAMERA, pose, depth if number % 2 else None)
    grids = [grid_state.from_arrays(
        config.occupancy, {name.removeprefix('grid '): array for name, array in result.items()
                           if name.startswith('grid ')}, backend,
        LocalFrame((0, 0, 0), config.occupancy.voxel_size)) for result in results]
    assert len(empty(union.occupancy)) > 200  # by the votes of both
    assert all(empty(grid) == empty(union.occupancy) for grid in grids)
    backend.train_step(
        field, Rays(*rays), grids[0], config, jitter[0], background[0],
        float(results[0]['stride']), 1024)
    optimizer.step(1e-3)
    expected = rank_worker.moments(field, optimizer)
    error = np.linalg.norm(results[0]['moments'] - expected) / np.linalg.norm(expected)
    assert error < 1e-4
    assert (np.abs(expected).max(-1) > 0).sum() > 500


def test_rank_0_gets_all_keyframes_and_votes(ranks):
    _, (first, second) = ranks
    given = np.array(scenes.poses(rank_worker.VIEWS))
    np.testing.assert_allclose(first['keyframe poses'], given, atol=1e-6)
    assert len(second['keyframe poses']) == rank_worker.VIEWS // 2
    assert (first['all votes'] == second['all votes']).all()
    both = (first['votes'] > 0) | (second['votes'] > 0)
    assert both.sum() > (first['votes'] > 0).sum()
    assert (first['all votes'][both] > 0).all()


def test_a_rank_that_ends_is_told_in_a_sentence(tmp_path):
    begin = time.monotonic()
    (status, error), (other, _) = finished(
        start(2, 'rank_worker.py', tmp_path, 'reference', 'die'))
    assert status != 0 and other == 3
    assert 'ConnectionError: another process of the training has ended' in error
    assert time.monotonic() - begin < LIMIT / 4


FIT = 'import sys; from instant_nerf_ros.fit import main; sys.exit(main())'
FAST = '--set', 'field.log2_table=12', '--set', 'sampling.samples_per_step=2048'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a folder of 24 posed RGB-D frames."""
    folder = tmp_path_factory.mktemp('room')
    photo_sets.write_rgbd(folder, photo_sets.room(24))
    return folder


def test_two_processes_fit_a_scene_that_has_all_images(folder, tmp_path):
    results = finished(start(
        2, '-c', FIT, folder, '--out', tmp_path / 'scene', '--steps', '60', *FAST))
    assert [status for status, _ in results] == [0, 0], results
    assert 'training: 100 %' in results[0][1] and results[1][1] == ''
    scene = Scene.load(tmp_path / 'scene')
    assert scene.mapper.steps == 60 and scene.mapper.keyframe_count == 21
    assert scene.provenance.frames == sorted(scene.provenance.frames)
    assert [path.name for path in tmp_path.iterdir()] == ['scene']


def test_ctrl_c_on_any_rank_keeps_what_was_learnt(folder, tmp_path):
    processes = start(2, '-c', FIT, folder, '--out', tmp_path / 'scene', '--seconds', '600', *FAST)
    for line in processes[0].stderr:
        if line.startswith('training: ') and 'dB' in line:
            break
    processes[1].send_signal(signal.SIGINT)
    assert [status for status, _ in finished(processes)] == [0, 0]
    assert Scene.load(tmp_path / 'scene').provenance.ended == 'Ctrl-C'


def test_wrong_data_is_told_once_and_nothing_is_written(folder, tmp_path):
    results = finished(start(
        2, '-c', FIT, tmp_path / 'nothing', '--out', tmp_path / 'scene', *FAST))
    assert [status for status, _ in results] == [2, 2]
    assert 'does not exist' in results[0][1] and not list(tmp_path.iterdir())


def test_versions_must_be_equal():
    check_equal([{'torch': '2.1'}, {'torch': '2.1'}])
    with pytest.raises(ValueError, match=r'rank 0 has torch 2.1, rank 1 has 2.2: install'):
        check_equal([{'torch': '2.1'}, {'torch': '2.2'}])


def test_without_gloo_it_says_what_to_do(monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(name, '1')
    monkeypatch.setattr(torch.distributed, 'is_gloo_available', lambda: False)
    with pytest.raises(ImportError, match='has no gloo.*start one process without torchrun'):
        join()


def test_alone_nothing_is_exchanged(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    assert join().size == ALONE.size == 1
    values = torch.arange(6.0).reshape(3, 2)
    assert ALONE.average_rows(values, torch.tensor([1])).tolist() == [1]
    assert ALONE.mean(3, 4.5) == [3, 4.5] and ALONE.first(lambda: 'x') == 'x'
    assert ALONE.sent == {'gradients': 0, 'samples': 0}


@pytest.mark.parametrize(('count', 'size'), [(10, 3), (8, 8), (5, 2)])
def test_blocks_are_all_items_once_and_nearly_equal(monkeypatch, count, size):
    monkeypatch.setattr(torch.distributed, 'new_group', lambda **_: None)
    blocks = [Ranks(rank, size).block(list(range(count))) for rank in range(size)]
    assert [item for block in blocks for item in block] == list(range(count))
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1
