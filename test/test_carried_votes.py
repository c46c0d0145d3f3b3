"""Votes of images that have made room: a loop closure moves them, each as its own image."""
import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from test_content import look_around

from instant_nerf_ros.nerf import Camera, Config, Mapper, backends, replace
from instant_nerf_ros.nerf.config import OccupancyConfig
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED
from instant_nerf_ros.nerf.occupancy.blocks import VOTES
from instant_nerf_ros.nerf.occupancy.carried_votes import MAX_DISTANCE, carry
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.tour import Tour

SIZE = 0.1
PLACES = {10: [0.0, 0.0, 1.0], 20: [3.1, 9.3, 1.0], 30: [-9.7, 2.4, 1.0]}  # m, by id


def empty():
    config = OccupancyConfig(voxel_size=SIZE, length=40.0, width=40.0, height=5.0)
    return OccupancyGrid(config, np.zeros(3), backends.select('cpu'))


def seen(places):
    """Return a grid in which sensors have looked around."""
    occupancy = empty()
    for number, place in places.items():
        look_around(occupancy, np.array(place), number, 4000)
        for vote_id in (number, number + 1):
            occupancy.voters.add(vote_id, place)
    return occupancy


def votes(occupancy):
    """Return {(x, y, z) on the lattice: all votes} of the voxels with any."""
    index = np.argwhere((occupancy.hits.numpy() > 0) | (occupancy.misses.numpy() > 0))
    values = np.column_stack([getattr(occupancy, name).numpy()[tuple(index.T)]
                              for name in VOTES])
    return dict(zip(map(tuple, (index + occupancy.first).tolist()), map(tuple, values.tolist())))


def moving(x=0.0, y=0.0, quarters=0):
    T = np.eye(4)
    T[:2, :2] = np.linalg.matrix_power([[0, -1], [1, 0]], quarters)
    T[:2, 3] = x, y
    return T


def carried(occupancy, corrections, kept=()):
    new = empty()
    for vote_id in kept:
        new.voters.add(vote_id, np.zeros(3))
    carry(occupancy, new, corrections)
    return votes(new)


def corrections_of(places, T):
    return {vote_id: T for number in places for vote_id in (number, number + 1)}


def test_without_a_motion_all_votes_stay():
    occupancy = seen(PLACES)
    assert len(votes(occupancy)) > 10_000
    assert carried(occupancy, {}) == votes(occupancy)


@pytest.mark.parametrize(('T', 'place'), [
    (moving(0.7, -0.4), lambda x, y: (x + 7, y - 4)),
    (moving(quarters=1), lambda x, y: (-1 - y, x)),
    (moving(0.2, 0.0, 2), lambda x, y: (1 - x, -1 - y))])
def test_a_motion_by_whole_voxels_permutes_the_votes(T, place):
    occupancy = seen(PLACES)
    expected = {(*place(x, y), z): vote for (x, y, z), vote in votes(occupancy).items()}
    assert carried(occupancy, corrections_of(PLACES, T)) == expected


def test_a_rotation_leaves_no_holes_and_no_thick_walls():
    occupancy = seen({10: PLACES[10]})
    angle = np.radians(17)
    T = np.eye(4)
    T[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    new = empty()
    carry(occupancy, new, corrections_of([10], T))
    before, after = (
        (np.argwhere(grid.hits.numpy() > 0) + 0.5) * SIZE + grid.corner
        for grid in (occupancy, new))
    moved = before @ T[:3, :3].T
    assert cKDTree(moved).query(after)[0].max() <= MAX_DISTANCE * SIZE + 1e-6
    near = cKDTree(after).query(moved)[0] <= 1.3 * SIZE  # in the same voxel or in one beside it
    assert near.mean() > 0.99
    free = [(grid.states(grid.window()) == FREE).sum() for grid in (occupancy, new)]
    assert free[1] == pytest.approx(free[0], rel=0.06)


def test_each_vote_moves_as_its_own_image():
    occupancy = seen(PLACES)
    expected = {}
    corrections = {}
    for number, T, step in ((10, moving(0.3), 3), (20, moving(-0.5), -5), (30, moving(0.0), 0)):
        alone = seen({number: PLACES[number]})
        expected |= {(x + step, y, z): vote for (x, y, z), vote in votes(alone).items()}
        corrections |= corrections_of([number], T)
    assert carried(occupancy, corrections) == expected


def test_of_those_with_the_same_tag_the_nearest_has_voted():
    places = {10 + 255 * k: place for k, place in enumerate(PLACES.values())}
    occupancy = seen(places)
    expected, corrections = {}, {}
    for step, (number, place) in enumerate(places.items()):
        alone = seen({number: place})
        expected |= {(x, y + step, z): vote for (x, y, z), vote in votes(alone).items()}
        corrections |= corrections_of([number], moving(0.0, step * SIZE))
    assert carried(occupancy, corrections) == expected


def test_those_that_are_kept_vote_for_themselves_and_win():
    occupancy = seen(PLACES)
    alone = seen({20: PLACES[20]})
    own = votes(alone)
    others = carried(occupancy, {}, kept=[20, 21])
    assert others == {place: vote for place, vote in votes(occupancy).items() if place not in own}
    full = seen(PLACES)
    before = votes(full)
    carry(occupancy, full, corrections_of(PLACES, moving(0.1)))
    assert votes(full) == before
    voted = seen({20: PLACES[20]})
    carry(occupancy, voted, {})
    assert votes(voted) == votes(occupancy)


def test_they_are_found_again_after_a_correction():
    occupancy = seen({10: PLACES[10]})
    T = moving(0.4, 0.8)
    first = empty()
    carry(occupancy, first, corrections_of([10], T))
    assert carried(first, corrections_of([10], np.linalg.inv(T))) == votes(occupancy)
    assert torch.equal(first.colors[first.hits > 0],
                       torch.full_like(first.colors[first.hits > 0], 90))


def test_a_map_keeps_what_only_dropped_keyframes_saw_when_a_loop_is_closed():
    flat, tour, camera = Flat(), Tour(), Camera(320, 240, 230.0, 230.0, 159.5, 119.5)
    mapper = Mapper(replace(Config(), {
        'device': 'cpu', 'keyframes.budget_mb': 16, 'keyframes.held_out_every': 0,
        'occupancy.voxel_size': SIZE, 'keyframes.min_translation': 0.0}))
    ids = []
    for time in np.linspace(0, tour.duration, 120, endpoint=False):
        pose = tour.T_world_camera(time)
        image, depth = flat.render(camera, pose)
        ids.append(mapper.add(image, camera, pose, depth))
    assert mapper.keyframe_count < len(ids) / 2
    before = mapper.voxels()
    T = np.eye(4)
    T[:3, 3] = 0.4, -0.3, 0.0
    mapper.correct_poses(dict.fromkeys(ids, T))
    after = mapper.voxels()
    offset = np.round((before.origin + T[:3, 3] - after.origin) / SIZE).astype(int)
    low = np.maximum(offset, 0)
    high = np.minimum(offset + before.states.shape, after.states.shape)
    moved = before.states[tuple(map(slice, low - offset, high - offset))]
    states = after.states[tuple(map(slice, low, high))]
    for state in (FREE, OCCUPIED):
        assert (moved == state).sum() == (before.states == state).sum()  # nothing was cut off
        assert (states == state)[moved == state].mean() > 0.96
        assert (moved == state)[states == state].mean() > 0.96
