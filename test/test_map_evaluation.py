"""The evaluation of maps, in benchmarks/: its figures for maps that are right or wrong."""
import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / 'benchmarks'))

import agreement
import drives
import ground_truth

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.nerf.camera import Camera

SIZE = 0.05


def truth_with(cells):
    """Return a GroundTruth of one layer at half a metre, whose occupied cells are boxes."""
    states = np.array(cells, np.int8)[:, :, None]
    lows = np.argwhere(states[:, :, 0] == 100) * SIZE
    return ground_truth.GroundTruth(
        states, states, np.zeros(states.shape, bool), np.array([0.0, 0.0, 0.5]), SIZE,
        np.stack([lows, lows + SIZE], axis=1))


@pytest.fixture
def truth():
    """Return a room of 3 x 2 m with a few obstacles in it, and an unknown corner."""
    random = np.random.default_rng(3)
    cells = np.where(random.random((60, 40)) < 0.01, 100, 0)
    cells[50:, 30:] = -1
    return truth_with(cells)


def test_a_contested_place_is_not_free():
    truth = truth_with(np.zeros((3, 4)))
    assert (truth.drivable == 0).all()
    truth.states[0, 1], truth.contested[1, 2] = 100, True
    assert truth.drivable[1, 2] == -1 and truth.drivable[0, 1] == 100
    assert (truth.drivable == 0).sum() == 10


def test_the_clearance_is_the_distance_to_faces_and_corners_along_the_whole_path():
    boxes = np.array([[[1.0, 1.0], [2.0, 2.0]]])
    for path, distance in (
            ([[0.5, 1.5], [0.5, 1.7]], 0.5), ([[0.7, 0.6], [0.7, 0.6]], 0.5),
            ([[0.0, 2.2], [3.0, 2.2]], 0.2), ([[0.0, 1.5], [3.0, 1.5]], 0.0),
            ([[3.0, 0.0], [3.0, 3.0], [2.1, 3.0]], 1.0)):
        assert drives.clearance(np.array(path), boxes) == pytest.approx(distance, abs=1e-4)


@pytest.mark.parametrize('margin', [0.0, 0.025])
def test_the_robot_fits_where_it_is_clear_of_all_that_is_not_free_and_of_the_border(
        truth, margin):
    space = drives.ConfigurationSpace(truth.map, truth, margin)
    blocked = np.argwhere(np.pad(truth.map != 0, 1, constant_values=True)) - 1
    squares = np.stack([blocked, blocked + 1], axis=1) * SIZE
    places = np.random.default_rng(0).uniform((0, 0), (3, 2), (2000, 2))
    fits = space.fits[tuple(np.floor((places - space.origin) / space.size).astype(int).T)]
    clear = np.array([drives.clearance(np.stack([place, place]), squares) for place in places])
    assert fits.any() and (clear[fits] >= drives.RADIUS + margin).all()
    # The loss to the discrete positions.
    assert (clear[~fits] < drives.RADIUS + margin + 3 * space.size).all()
    positions = space.random_positions(50)
    assert all(drives.clearance(np.stack([place, place]), truth.boxes) >= drives.RADIUS
               for place in positions)


def test_a_drive_fails_without_a_path_and_where_it_touches(truth):
    boxes = np.array([[[1.0, 1.0], [1.05, 1.05]]])
    clear = np.array([[0.5, 0.5], [1.5, 0.5]])
    through = np.array([[0.5, 1.1], [1.5, 1.1]])
    truth = dataclasses.replace(truth, boxes=boxes)
    figures = drives.evaluate(
        [clear, None, through, clear], [clear, clear, clear, None], truth)
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


def test_a_map_that_is_shifted_by_a_voxel_is_found_within_a_voxel():
    truth, ours = np.zeros((9, 9, 9), np.int8), np.zeros((9, 9, 9), np.int8)
    truth[4, 4, 4] = ours[5, 4, 4] = 100
    figures = agreement.agreement(ours, truth)
    assert figures['occupied: IoU [%]'] == 0 and figures['occupied called free [%]'] == 100
    assert figures['occupied found, within a voxel [%]'] == 100
    assert figures['occupied correct, within a voxel [%]'] == 100
    assert figures['free that is occupied [%]'] == pytest.approx(100 / 728)
    far = agreement.distances(ours, truth, SIZE)
    assert far['from the map to the truth [cm]'] == pytest.approx(5)


def test_cells_outside_a_map_are_unknown_and_the_others_keep_their_place():
    ours = np.arange(12, dtype=np.int8).reshape(3, 4)
    part = agreement.aligned(
        ours, [1.0, 2.0], (np.zeros((3, 4)), np.array([1.1, 1.95]), SIZE))
    assert part[0, 1] == ours[2, 0] and (part[1:] == -1).all() and (part[:, 0] == -1).all()


def test_never_seen_is_what_lies_behind_surfaces_and_beside_images():
    states = np.zeros((20, 20, 40), np.int8)
    truth = ground_truth.GroundTruth(
        states, states, np.zeros(states.shape, bool), np.array([-0.5, -0.5, 0.0]), SIZE,
        np.empty((0, 2, 2)))
    camera = Camera(64, 64, 128.0, 128.0, 31.5, 31.5)  # a quarter as wide as far
    depth = np.full((64, 64), 1.0, np.float32)
    frame = Frame(0, np.zeros((64, 64, 3), np.uint8), camera, np.eye(4), depth)
    unseen = ground_truth.never_seen(truth, [frame])
    assert not unseen[9:11, 9:11, 1:20].any()  # before the wall
    assert unseen[:, :, 23:].all()  # behind it, and the voxel that it may fill, and one more
    assert unseen[:3].all() and unseen[-3:].all()  # beside the images
    depth[:] = 0  # nothing was measured, so everything may have been seen
    assert not ground_truth.never_seen(truth, [frame])[9:11, 9:11, 1:].any()
