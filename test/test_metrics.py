"""The metrics of views and maps, on inputs whose result is known."""
import math

import numpy as np
import pytest

from instant_nerf_ros.data.metrics import (
    depth_errors,
    dilate,
    grid_agreement,
    points_agreement,
    project,
    psnr,
)

VOXEL_SIZE = 0.05
ORIGIN = np.array([-1.0, 0.5, -0.025])


def room():
    """Return the states of a closed room of 20 x 16 x 10 voxels in unknown space."""
    states = np.full((24, 20, 14), -1, np.int8)
    states[2:-2, 2:-2, 2:-2] = 100
    states[3:-3, 3:-3, 3:-3] = 0
    return states


def centres(states, origin=ORIGIN):
    return origin + (np.argwhere(states == 100) + 0.5) * VOXEL_SIZE


@pytest.mark.parametrize('error', [1, 10, 255])
def test_psnr_of_a_constant_error_is_its_ratio_to_the_peak(error):
    truth = np.zeros((4, 5, 3), np.uint8)
    assert psnr(truth + np.uint8(error), truth) == pytest.approx(20 * math.log10(255 / error))


def test_psnr_does_not_depend_on_the_sign_of_the_error_and_is_infinite_without_one():
    low, high = np.full((4, 4, 3), 3, np.uint8), np.full((4, 4, 3), 250, np.uint8)
    assert psnr(low, high) == psnr(high, low)  # unsigned differences would wrap around
    assert psnr(low, low) == math.inf


def test_depth_errors_count_only_pixels_with_a_value_on_both_sides():
    truth = np.array([[1.0, 2.0, 0.0, np.nan, 3.0, 4.0]], np.float32)
    depth = np.array([[1.5, 1.0, 9.0, 9.0, np.nan, -1.0]], np.float32)
    np.testing.assert_allclose(depth_errors(depth, truth), [0.5, 1.0])


def test_growing_a_voxel_makes_a_cube_and_is_cut_at_the_border():
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 2] = True
    assert dilate(mask).sum() == 27 and dilate(dilate(mask)).all()
    mask[:] = False
    mask[0, 0, 4] = True
    assert dilate(mask).sum() == 8 and mask.sum() == 1


def test_a_grid_agrees_with_itself():
    states = room()
    points = points_agreement(centres(states), states, ORIGIN, VOXEL_SIZE)
    assert points == {'found': 1.0, 'correct': 1.0, 'judged': 1.0}
    assert grid_agreement(states, ORIGIN, VOXEL_SIZE, states, ORIGIN) == {
        'free_wrong': 0.0, 'free_far_wrong': 0.0, 'occupied_as_free': 0.0, 'free_known': 1.0}


@pytest.mark.parametrize('shift', [(1, 0, 0), (0, -1, 0), (1, 1, -1)])
def test_a_shift_by_one_voxel_is_forgiven_and_by_two_is_not(shift):
    # A plate alone in free space: a shift along its normal takes it off itself.
    states = np.zeros((12, 12, 12), np.int8)
    states[4:8, 5, 4:8] = 100
    step = np.array(shift) * VOXEL_SIZE
    once = points_agreement(centres(states) + step, states, ORIGIN, VOXEL_SIZE)
    assert once['found'] == 1.0 and once['correct'] == 1.0
    far = np.array([0.0, 2 * VOXEL_SIZE, 0.0])
    twice = points_agreement(centres(states) + far, states, ORIGIN, VOXEL_SIZE)
    assert twice['found'] == 0.0 and twice['correct'] == 0.0 and twice['judged'] == 1.0


def test_half_of_the_points_find_half_of_the_voxels_that_are_far_apart():
    states = np.zeros((40, 3, 3), np.int8)
    states[::4, 1, 1] = 100
    points = centres(states)
    agreement = points_agreement(points[::2], states, ORIGIN, VOXEL_SIZE)
    assert agreement['found'] == 0.5 and agreement['correct'] == 1.0


def test_points_in_the_unknown_or_outside_are_not_judged():
    states = room()
    outside = ORIGIN - 10.0
    corner = ORIGIN + 0.5 * VOXEL_SIZE  # two voxels from what is known
    points = np.concatenate([centres(states), [outside, corner]])
    agreement = points_agreement(points, states, ORIGIN, VOXEL_SIZE)
    assert agreement['correct'] == 1.0
    assert agreement['judged'] == pytest.approx((len(points) - 2) / len(points))


def test_without_points_nothing_is_found_and_nothing_can_be_wrong():
    agreement = points_agreement(np.empty((0, 3)), room(), ORIGIN, VOXEL_SIZE)
    assert agreement['found'] == 0.0
    assert math.isnan(agreement['correct']) and math.isnan(agreement['judged'])


def test_an_obstacle_that_is_called_free_counts_by_both_conventions():
    truth = np.zeros((10, 10), np.int8)
    truth[2:4, 5] = 100
    truth[:, 9] = -1
    states = np.zeros((10, 10), np.int8)
    states[3, 5] = 100
    agreement = grid_agreement(states, ORIGIN[:2], VOXEL_SIZE, truth, ORIGIN[:2])
    assert agreement['free_wrong'] == 1 / 89  # of 100, 10 unknown to the truth and 1 occupied
    assert agreement['occupied_as_free'] == 0.5
    assert agreement['free_far_wrong'] == 0.0  # its neighbour is known to be occupied
    states[3, 5] = 0
    agreement = grid_agreement(states, ORIGIN[:2], VOXEL_SIZE, truth, ORIGIN[:2])
    assert agreement['free_far_wrong'] == agreement['free_wrong'] == 2 / 90


@pytest.mark.parametrize('first', [(0, 0, 0), (3, -5, 2), (-4, 6, -1), (-100, 0, 0)])
def test_only_the_overlap_of_two_grids_is_compared(first):
    truth = room()
    origin = ORIGIN + np.array(first) * VOXEL_SIZE
    begin, end = np.array(first).clip(0), np.minimum(np.array(first) + 30, truth.shape)
    states = np.full((30, 30, 30), -1, np.int8)  # the same world in another window
    overlap = np.full(truth.shape, -1, np.int8)
    if (end > begin).all():
        theirs = tuple(map(slice, begin, end))
        states[tuple(map(slice, begin - first, end - first))] = truth[theirs]
        overlap[theirs] = truth[theirs]
    agreement = grid_agreement(states, origin, VOXEL_SIZE, truth, ORIGIN)
    assert agreement['occupied_as_free'] == 0.0
    assert agreement['free_known'] == (overlap == 0).sum() / (truth == 0).sum()


def test_a_column_is_the_worst_of_the_layers_whose_middle_lies_in_the_band():
    states = np.full((5, 1, 6), -1, np.int8)
    states[0, 0, :] = [0, 0, 100, 0, 0, 0]  # middles at 0, 5, ... 25 cm
    states[1, 0, :] = [100, 0, 0, 0, 0, 100]
    states[2, 0, :] = [-1, -1, -1, 0, -1, -1]
    states[4, 0, :] = [-1, -1, 100, -1, -1, -1]
    origin = np.array([0.0, 0.0, -0.025])
    cells = project(states, origin, VOXEL_SIZE, 0.05, 0.25)
    np.testing.assert_array_equal(cells, [[100, 0, 0, -1, 100]])
    cells = project(states, origin, VOXEL_SIZE, 0.0, 0.10)
    np.testing.assert_array_equal(cells, [[0, 100, -1, -1, -1]])
