"""Growth of the hash table: the same field, with room for more surface."""
import logging

import numpy as np
import pytest
import torch
from randomness import floats, generator
from scenes import CAMERA, poses, view
from session_drives import recorded, resumed
from test_field import evaluate, make_field

from instant_nerf_ros.nerf import Config, Mapper, backends, replace, trainer
from instant_nerf_ros.nerf.config import FieldConfig
from instant_nerf_ros.nerf.field import table_growth
from instant_nerf_ros.nerf.field.radiance_field import RadianceField
from instant_nerf_ros.nerf.field.table_growth import (
    MAX_LOAD,
    log2_table,
    needed_log2_table,
    with_larger_table,
)
from instant_nerf_ros.nerf.occupancy.surface_area import surface_area

SMALL = {
    'device': 'cpu', 'field.levels': 4, 'field.finest_cell': 0.1, 'field.log2_table': 8,
    'field.hidden': 16, 'occupancy.voxel_size': 0.1, 'occupancy.length': 6.0,
    'occupancy.width': 6.0, 'occupancy.height': 4.0, 'sampling.samples_per_step': 2048,
    'keyframes.budget_mb': 16, 'keyframes.held_out_every': 0,
}
ROUND = poses(24)


@pytest.fixture
def looks(monkeypatch):
    """Look after every step, and want room for far more surface than a room has."""
    monkeypatch.setattr(trainer, 'GROW_EVERY', 1)
    monkeypatch.setattr(table_growth, 'MAX_LOAD', 0.5)


def drive(steps=0, **settings):
    mapper = Mapper(replace(Config(), {**SMALL, **settings}))
    for pose in ROUND:
        image, depth = view(CAMERA, pose)
        mapper.add(image, CAMERA, pose, depth)
    for _ in range(steps):
        mapper.step()
    return mapper


def table(mapper):
    return log2_table(mapper.trainer.field.state())


def assert_same_field(mapper, other):
    own, others = (each.trainer.field.state() for each in (mapper, other))
    assert own.keys() == others.keys()
    assert all(torch.equal(own[name], others[name]) for name in own)


@pytest.mark.parametrize('doublings', [0, 1, 3])
@pytest.mark.parametrize('name', ['cpu', 'reference'])
def test_a_larger_table_is_the_same_field(name, doublings):
    backend = backends.select(name)
    config = FieldConfig(levels=4, log2_table=10, hidden=16)
    small = make_field(backend, config=config)
    large = RadianceField(
        FieldConfig(levels=4, log2_table=10 + doublings, hidden=16), backend)
    large.load(with_larger_table(small.state(), 10 + doublings))
    assert log2_table(large.state()) == 10 + doublings
    positions = floats(generator().uniform(-200, 200, (500, 3)))
    torch.testing.assert_close(
        large.density(positions), small.density(positions), rtol=0, atol=0)
    if name == 'reference':
        for mine, other in zip(evaluate(large, positions), evaluate(small, positions)):
            torch.testing.assert_close(mine, other, rtol=0, atol=0)


@pytest.mark.parametrize('size', [8, 15, 19])
def test_the_table_is_as_large_as_the_surface_needs(size):
    cell = 0.02
    full = 2**size * MAX_LOAD * cell**2  # m^2 that a table of this size can hold
    assert needed_log2_table(full, cell) == size
    assert needed_log2_table(1.01 * full, cell) == size + 1
    assert needed_log2_table(0.49 * full, cell) == size - 1
    assert needed_log2_table(full, 2 * cell) == size - 2
    assert needed_log2_table(0.0, cell) == 0


def test_the_surface_is_that_of_the_voxels_with_hits():
    occupancy = drive().occupancy
    hits = occupancy.hits.numpy()
    assert hits.any()
    assert surface_area(occupancy) == pytest.approx(np.count_nonzero(hits) * 0.1**2)


def test_a_mapper_goes_on_with_a_larger_table(looks):
    before = drive(60, **{'field.table_doublings': 0})
    after = drive(60)
    assert table(before) == 8 and table(after) == 10
    losses = [np.mean([mapper.step()['loss'] for _ in range(200)]) for mapper in (before, after)]
    assert losses[1] < losses[0]


def test_views_do_not_change_when_the_table_grows(monkeypatch):
    mapper = drive(60)
    before = mapper.render(CAMERA, ROUND[3]).color
    monkeypatch.setattr(table_growth, 'MAX_LOAD', 0.5)
    mapper.trainer._grow_table(mapper.occupancy)
    assert table(mapper) == 10
    np.testing.assert_array_equal(mapper.render(CAMERA, ROUND[3]).color, before)


def test_a_table_that_suffices_does_not_grow(monkeypatch):
    monkeypatch.setattr(trainer, 'GROW_EVERY', 1)
    monkeypatch.setattr(table_growth, 'MAX_LOAD', 1e6)
    mapper = drive()
    field = mapper.trainer.field
    mapper.step()
    assert table(mapper) == 8 and mapper.trainer.field is field


def test_it_does_not_grow_near_a_planned_end(looks):
    mapper = drive()
    mapper.set_progress(0.99)
    mapper.step()
    assert table(mapper) == 8
    mapper.set_progress(0.1)
    mapper.step()
    assert table(mapper) == 10


def test_a_saved_model_has_the_larger_table(looks, tmp_path):
    mapper = drive(20)
    mapper.save(tmp_path / 'room')
    loaded = Mapper.load(tmp_path / 'room')
    assert table(loaded) == table(mapper) == 10
    assert_same_field(loaded, mapper)
    loaded.step()


def test_a_session_has_the_larger_table(looks, tmp_path):
    before = recorded(tmp_path / 'room', steps=2)
    assert table(before) == 12
    after, recording, _ = resumed(tmp_path / 'room')
    assert table(after) == 12
    assert_same_field(after, before)
    recording.close(after)


def test_without_memory_it_stays_and_says_so_once(looks, monkeypatch, caplog):
    mapper = drive(1, **{'field.table_doublings': 0})
    trained = mapper.trainer.field

    def refuse(log2_entries):
        raise MemoryError('8 GB are missing')
    mapper.trainer.config = replace(mapper.trainer.config, {'field.table_doublings': 2})
    monkeypatch.setattr(mapper.trainer, '_make_field', refuse)
    with caplog.at_level(logging.WARNING, 'instant_nerf_ros'):
        for _ in range(3):
            mapper.step()
    assert [record.message for record in caplog.records] == [
        'the table of the field does not grow: 8 GB are missing']
    assert mapper.trainer.field is trained and table(mapper) == 8
