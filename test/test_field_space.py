"""Field space: a scene of any size trains the field that a room of its shape would."""
import dataclasses

import numpy as np
import pytest
import torch
from scenes import CAMERA, poses, view
from test_bounds import scaled
from test_mapper import TINY

from instant_nerf_ros.nerf import Config, Mapper, adaptation, replace
from instant_nerf_ros.nerf.adaptation import FIRST_KEYFRAMES
from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.bounds import USUAL_DISTANCE, SceneBounds
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.occupancy.blocks import DENSITY
from instant_nerf_ros.nerf.occupancy.field_space import FieldSpace
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.settings import flatten

UNIT = 8.0  # metres; a power of two, so that nothing is rounded
STEPS = 20
COLORS_ONLY = replace(TINY, {
    'device': 'reference', 'motion.align': False, 'sampling.far': 6.0,
    'occupancy.voxel_size': Config().occupancy.voxel_size})  # fmt: skip


class Fog:
    """A field of density 1 per unit, whose backend sees what it is given."""

    def density(self, positions):
        """Return the densities, and keep the positions."""
        self.positions = positions
        return torch.ones(len(positions))


def grid():
    return OccupancyGrid(Config().occupancy, np.zeros(3), reference)


def with_unit(unit, count=FIRST_KEYFRAMES):
    """Return a Mapper of the room, enlarged by a unit, in which it has trained."""
    mapper = Mapper(COLORS_ONLY)
    mapper.adaptation.restore(unit)
    mapper.set_config(replace(COLORS_ONLY, {
        'sampling.near': COLORS_ONLY.sampling.near * unit,
        'sampling.far': COLORS_ONLY.sampling.far * unit}))
    for T, T_scaled in zip(poses(count), scaled(poses(count), unit)):
        mapper.add(view(CAMERA, T)[0], CAMERA, T_scaled)
        corners = unit * np.array([[-9.0, -9, -9], [9, 9, 9]])  # no ray is cut off
        mapper.measurements.reach(corners)
        mapper.trainer.space.cover(corners)
    for _ in range(STEPS):
        mapper.step()
    return mapper


def test_lengths_are_divided_by_the_unit_on_the_way_in_and_multiplied_on_the_way_out():
    space, field = FieldSpace(reference, UNIT), Fog()
    rays = Rays(torch.full((2, 3), 4.0), torch.eye(3)[:2], torch.tensor([0.0, 16.0]),
                torch.zeros(2, 3, dtype=torch.int16))  # fmt: skip
    inside = space.rays(rays)
    assert inside.origins.unique() == 0.5 and inside.surfaces.tolist() == [0, 2]
    assert inside.directions is rays.directions
    assert space.pose(np.diag([1.0, 1, 1, 1]) + np.eye(4, k=3) * UNIT)[0, 3] == 1
    sampling = dataclasses.replace(Config().sampling, near=0.8, far=80.0)
    expected = dataclasses.replace(sampling, near=0.8 / UNIT, far=80.0 / UNIT)
    assert space.sampling(sampling) == expected
    assert space.density(field, torch.full((1, 3), 24.0)) == 1 / UNIT
    assert (field.positions == 3).all()


def test_in_metres_nothing_changes():
    space, votes = FieldSpace(reference), grid()
    rays = Rays(*(torch.zeros(1) for _ in range(4)))
    assert space.rays(rays) is rays and space.grid(votes) is votes
    assert space.sampling(Config().sampling) is Config().sampling
    space.cover(np.full((1, 3), 1e3))
    assert space.grid(votes) is votes and votes.shape == grid().shape


def test_the_grid_of_the_densities_covers_what_is_seen_in_units():
    space = FieldSpace(reference, UNIT)
    points = np.array([[-300.0, 0, 0], [200.0, 100, 50]])
    space.cover(points)
    densities = space.grid(grid())
    assert densities.voxel_size == Config().occupancy.voxel_size
    assert (densities.corner <= points.min(0) / UNIT).all()
    assert (densities.end.numpy() >= points.max(0) / UNIT).all()
    assert FieldSpace(reference, UNIT).grid(grid()) is not grid()  # also if nothing was covered


def test_densities_are_restored_from_their_blocks():
    one, other, votes = FieldSpace(reference, UNIT), FieldSpace(reference, UNIT), grid()
    one.grid(votes).update_density(torch.rand(50, 3) * 4 - 2, torch.rand(50))
    places, blocks = one.blocks(votes)
    other.restore(places, {name: blocks[name] for name in DENSITY})
    again, values = other.blocks(votes)
    order = [np.lexsort(each.T) for each in (places, again)]
    assert len(places) and (places[order[0]] == again[order[1]]).all()
    assert (blocks[order[0]] == values[order[1]]).all()


def test_what_is_empty_is_forgotten():
    space, votes = FieldSpace(reference, UNIT), grid()
    space.grid(votes).update_density(torch.rand(50, 3), torch.rand(50))
    assert space.grid(votes).density_state.any()
    space.forget()
    assert not space.grid(votes).density_state.any()


@pytest.fixture(scope='module')
def twins():
    """Return the Mappers of a room and of one that is UNIT times as large."""
    return with_unit(1.0), with_unit(UNIT)


def test_a_large_room_trains_the_field_of_a_small_one(twins):
    one, other = (mapper.trainer.field.state() for mapper in twins)
    for name, values in one.items():
        torch.testing.assert_close(other[name], values, rtol=1e-3, atol=1e-4)


def test_views_of_a_large_room_are_those_of_a_small_one_and_their_depth_is_in_metres(twins):
    T, [T_scaled] = poses(1)[0], scaled(poses(1), UNIT)
    small, large = (mapper.render(CAMERA, pose) for mapper, pose in zip(twins, (T, T_scaled)))
    np.testing.assert_allclose(large.color.astype(int), small.color, atol=1)
    np.testing.assert_allclose(large.depth, UNIT * small.depth, rtol=1e-3)


def test_a_saved_field_keeps_its_unit_and_its_views(twins, tmp_path):
    mapper, [pose] = twins[1], scaled(poses(1), UNIT)
    mapper.save(tmp_path / 'saved')
    loaded = Mapper.load(tmp_path / 'saved')
    assert loaded.trainer.space.unit == UNIT
    # The grid begins elsewhere, so that a sample at the edge of a voxel may be in another one.
    same = loaded.render(CAMERA, pose).color == mapper.render(CAMERA, pose).color
    assert same.mean() > 0.99


def test_another_unit_means_a_new_field_and_no_stereo_of_before(twins):
    mapper = with_unit(1.0)
    steps, trained = mapper.steps, mapper.trainer.field
    mapper.adaptation.restore(UNIT)
    mapper.set_config(mapper.config)
    assert mapper.trainer.field is not trained and mapper.steps == steps
    assert not len(mapper.measurements.motion.pseudo_depth)
    trained = mapper.trainer.field
    mapper.set_config(mapper.config)  # the same unit: nothing begins anew
    assert mapper.trainer.field is trained and np.isfinite(mapper.step()['loss'])


def test_a_saved_field_stays_in_its_unit_although_the_scene_is_as_large_as_a_hall(
        tmp_path, monkeypatch):  # fmt: skip
    monkeypatch.setattr(adaptation, '_bounds', lambda *_: SceneBounds(
        0.1, 100.0, 20.0, 0.01, (1.0, 1.0, 1.0), False))
    room = {name: field.default for name, field, _ in flatten(Config())
            if name in adaptation.LENGTHS}
    config = replace(COLORS_ONLY, {**room, 'sampling.near': 0.0, 'sampling.far': 0.0})
    mapper = Mapper(replace(config, {'sampling.min_step': 2 * room['sampling.min_step']}))
    for pose in poses(FIRST_KEYFRAMES):
        mapper.add(view(CAMERA, pose)[0], CAMERA, pose)
    mapper.step()
    assert mapper.trainer.space.unit == 1  # as a length was set
    mapper.save(tmp_path / 'saved')
    loaded = Mapper.load(tmp_path / 'saved', config)
    assert loaded.trainer.space.unit == 1
    for name, values in mapper.trainer.field.state().items():
        torch.testing.assert_close(loaded.trainer.field.state()[name], values)
    fresh = Mapper(config)
    for pose in poses(FIRST_KEYFRAMES):
        fresh.add(view(CAMERA, pose)[0], CAMERA, pose)
    assert fresh.trainer.space.unit == 20 / USUAL_DISTANCE
