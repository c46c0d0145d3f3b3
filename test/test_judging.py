"""The judges of maps, in benchmarks/: what they say of maps that are right or wrong."""
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / 'benchmarks'))

import agreement
import drives
import truths

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.nerf.camera import Camera

SIZE = 0.05


def truth_with(plan):
    """Return a Truth of one layer at half a metre, of which all occupied cells are boxes."""
    states = np.array(plan, np.int8)[:, :, None]
    lows = np.argwhere(states[:, :, 0] == 100) * SIZE
    return truths.Truth(states, states, np.zeros(states.shape, bool), np.array([0.0, 0.0, 0.5]),
                        SIZE, np.stack([lows, lows + SIZE], axis=1))


@pytest.fixture
def truth():
    """Return a room of 3 x 2 m with a few things in it, and a corner that nobody knows."""
    random = np.random.default_rng(3)
    plan = np.where(random.random((60, 40)) < 0.01, 100, 0)
    plan[50:, 30:] = -1
    return truth_with(plan)


def test_nobody_can_say_that_a_contested_place_is_free():
    truth = truth_with(np.zeros((3, 4)))
    assert (truth.ground == 0).all()
    truth.states[0, 1], truth.contested[1, 2] = 100, True
    assert truth.ground[1, 2] == -1 and truth.ground[0, 1] == 100
    assert (truth.ground == 0).sum() == 10


def test_the_clearance_is_the_distance_to_faces_and_corners_on_the_whole_way():
    boxes = np.array([[[1.0, 1.0], [2.0, 2.0]]])
    for path, distance in (
            ([[0.5, 1.5], [0.5, 1.7]], 0.5), ([[0.7, 0.6], [0.7, 0.6]], 0.5),
            ([[0.0, 2.2], [3.0, 2.2]], 0.2), ([[0.0, 1.5], [3.0, 1.5]], 0.0),
            ([[3.0, 0.0], [3.0, 3.0], [2.1, 3.0]], 1.0)):
        assert drives.clearance(np.array(path), boxes) == pytest.approx(distance, abs=1e-4)


@pytest.mark.parametrize('margin', [0.0, 0.025])
def test_the_robot_fits_where_it_is_clear_of_all_that_is_not_free_and_of_the_border(
        truth, margin):
    room = drives.Room(truth.plan, truth, margin)
    blocked = np.argwhere(np.pad(truth.plan != 0, 1, constant_values=True)) - 1
    squares = np.stack([blocked, blocked + 1], axis=1) * SIZE
    places = np.random.default_rng(0).uniform((0, 0), (3, 2), (2000, 2))
    fits = room.fits[tuple(np.floor((places - room.origin) / room.size).astype(int).T)]
    clear = np.array([drives.clearance(np.stack([place, place]), squares) for place in places])
    assert fits.any() and (clear[fits] >= drives.RADIUS + margin).all()
    # The price of the lattice of places.
    assert (clear[~fits] < drives.RADIUS + margin + 3 * room.size).all()
    sources = room.places(50)
    assert all(drives.clearance(np.stack([place, place]), truth.boxes) >= drives.RADIUS
               for place in sources)


def test_a_drive_fails_without_a_path_and_where_it_touches(truth):
    boxes = np.array([[[1.0, 1.0], [1.05, 1.05]]])
    way = np.array([[0.5, 0.5], [1.5, 0.5]])
    through = np.array([[0.5, 1.1], [1.5, 1.1]])
    figures = drives.judge([way, None, through, way], [way, way, way, None], boxes)
    assert figures == {
        'possible on the truth': 3, 'planned on the map': 2, 'collisions': 1,
        'deepest [cm]': pytest.approx(13, abs=0.01), 'success [%]': pytest.approx(100 / 3)}


def test_a_map_agrees_with_itself_in_all_figures(truth):
    figures = agreement.agreement(truth.states, truth.states)
    wrong = {'free that is occupied [%]', 'occupied called free [%]'}
    assert {name for name, figure in figures.items() if figure == 0} == wrong
    assert all(figure == 100 for name, figure in figures.items() if name not in wrong)
    far = agreement.distances(truth.states, truth.states, SIZE)
    assert list(far.values()) == [0, 0, 100, 100]


def test_a_map_that_is_a_voxel_aside_is_found_within_a_voxel():
    truth, ours = np.zeros((9, 9, 9), np.int8), np.zeros((9, 9, 9), np.int8)
    truth[4, 4, 4] = ours[5, 4, 4] = 100
    figures = agreement.agreement(ours, truth)
    assert figures['occupied: IoU [%]'] == 0 and figures['occupied called free [%]'] == 100
    assert figures['occupied found, within a voxel [%]'] == 100
    assert figures['occupied correct, within a voxel [%]'] == 100
    assert figures['free that is occupied [%]'] == pytest.approx(100 / 728)
    far = agreement.distances(ours, truth, SIZE)
    assert far['from the map to the truth [cm]'] == pytest.approx(5)


def test_what_the_truth_does_not_reach_is_unknown_and_its_place_is_kept():
    ours = np.arange(12, dtype=np.int8).reshape(3, 4)
    part = agreement.aligned(
        ours, [1.0, 2.0], (np.zeros((3, 4)), np.array([1.1, 1.95]), SIZE))
    assert part[0, 1] == ours[2, 0] and (part[1:] == -1).all() and (part[:, 0] == -1).all()


def test_never_seen_is_what_lies_behind_surfaces_and_beside_images():
    states = np.zeros((20, 20, 40), np.int8)
    truth = truths.Truth(states, states, np.zeros(states.shape, bool), np.array([-0.5, -0.5, 0.0]),
                         SIZE, np.empty((0, 2, 2)))
    camera = Camera(64, 64, 128.0, 128.0, 31.5, 31.5)  # a quarter as wide as far
    depth = np.full((64, 64), 1.0, np.float32)
    frame = Frame(0, np.zeros((64, 64, 3), np.uint8), camera, np.eye(4), depth)
    unseen = truths.never_seen(truth, [frame])
    assert not unseen[9:11, 9:11, 1:20].any()  # before the wall
    assert unseen[:, :, 23:].all()  # behind it, and the voxel that it may fill, and one more
    assert unseen[:3].all() and unseen[-3:].all()  # beside the images
    depth[:] = 0  # nothing was measured: nobody can say that it was not seen
    assert not truths.never_seen(truth, [frame])[9:11, 9:11, 1:].any()
