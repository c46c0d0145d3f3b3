"""The evaluation in random buildings, in benchmarks/: what was seen, and the maps of others."""
import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.nerf.camera import Camera

sys.path.append(str(Path(__file__).resolve().parents[1] / 'benchmarks'))

import cache
import drives
import ground_truth
import tsdf_fusion
import visibility
import yard_scenes

SIZE = 0.05
CAMERA = Camera(65, 65, 128.0, 128.0, 32.0, 32.0)  # a quarter to each side at a distance of one
ORIGIN = np.array([-0.525, -0.525, 0.0])
SHAPE = 21, 21, 40
IMAGE = np.zeros((65, 65, 3), np.uint8)


def wall(distance):
    """Return solid voxels behind a plane across the axis, and its depth."""
    firm = np.zeros(SHAPE, bool)
    firm[:, :, round(distance / SIZE):] = True
    return firm, np.full((65, 65), distance - 1e-3, np.float32)  # the border is no voxel's


def test_rays_cross_what_is_before_a_wall_and_end_in_its_first_layer():
    firm, depth = wall(1.0)
    seen = visibility.Visibility(firm, ORIGIN, SIZE)
    seen.add(CAMERA, np.eye(4), depth, np.ones(depth.shape, bool))
    assert (seen.crossed[10, 10, :20] == 1).all() and not seen.crossed[:, :, 20:].any()
    assert (seen.ended[10, 10] == (np.arange(40) == 20)).all()
    # A voxel is crossed exactly if a ray's line meets it: on the central row, |x| <= z / 4.
    for layer in (5, 10, 19):
        reach = (layer + 1) * SIZE * 32 / 128  # at the far end of the layer
        columns = np.flatnonzero(seen.crossed[:, 10, layer])
        edges = ORIGIN[0] + np.array([columns.min(), columns.max() + 1]) * SIZE
        assert edges[0] <= -reach + 1e-6 < edges[0] + SIZE + 1e-6
        assert edges[1] - SIZE - 1e-6 < reach - 1e-6 <= edges[1]


def test_two_viewpoints_are_two_places_only_if_they_are_apart():
    firm, depth = wall(1.0)
    seen = visibility.Visibility(firm, ORIGIN, SIZE)
    for shift, places in ((0.0, 1), (0.01, 1), (0.3, 2)):
        pose = np.eye(4)
        pose[0, 3] = shift
        seen.add(CAMERA, pose, depth, np.ones(depth.shape, bool))
        assert seen.ended[13, 10, 20] == places  # which both see
    assert seen.ended[8, 10, 20] == 1  # which only the first sees


def test_pixels_without_depth_and_ends_without_a_surface_are_left_out():
    firm, depth = wall(1.0)
    depth[:, :33] = 0
    seen = visibility.Visibility(firm, ORIGIN, SIZE)
    seen.add(CAMERA, np.eye(4), depth, np.zeros(depth.shape, bool))
    assert not seen.ended.any() and not seen.crossed[:9].any() and seen.crossed[12].any()


@pytest.mark.parametrize('distance', [1.0, 1.2])
def test_a_tsdf_is_free_before_a_wall_occupied_at_it_and_unknown_behind(distance):
    _, depth = wall(distance)
    frames = [Frame(0, IMAGE, CAMERA, np.eye(4), depth)] * 3
    states, _ = tsdf_fusion.fuse(frames, ORIGIN, SHAPE, SIZE)
    signed = depth[0, 0] - (np.arange(40) + 0.5) * SIZE
    expected = np.where(signed >= SIZE / 2, 0, np.where(signed > -SIZE / 2, 100, states[10, 10]))
    seen = slice(1, None)  # the camera is in the first layer
    np.testing.assert_array_equal(states[10, 10, seen], expected[seen])
    assert (states[10, 10][signed < -4 * SIZE] == -1).all()
    assert not (states[10, 10][signed < -SIZE / 2] == 0).any()


def test_drives_among_turned_boxes_collide_as_among_straight_ones():
    boxes = np.array([[[1.0, 0.5], [1.4, 0.9]]])
    states = np.zeros((4, 4, 4), np.int8)
    straight = ground_truth.GroundTruth(
        states, states, states > 0, np.zeros(3), SIZE, boxes)
    path = np.array([[0.0, 0.3], [2.0, 0.4]])
    yaw = 0.8
    cosine, sine = math.cos(yaw), math.sin(yaw)
    turned_path = path @ np.array([[cosine, sine], [-sine, cosine]])
    turned = dataclasses.replace(straight, yaw=yaw)
    np.testing.assert_allclose(turned.among_boxes(turned_path), path, atol=1e-12)
    assert drives.evaluate([turned_path], [turned_path], turned) == pytest.approx(
        drives.evaluate([path], [path], straight))


def test_parts_are_the_areas_that_are_not_connected():
    cells = np.zeros((60, 40), np.int8)
    cells[30] = 100  # a wall between two halves
    states = cells[:, :, None]
    truth = ground_truth.GroundTruth(
        states, states, states > 200, np.array([0.0, 0.0, 0.5]), SIZE, np.empty((0, 2, 2)))
    space = drives.ConfigurationSpace(cells, truth, 0.0)
    parts = space.parts()
    edge = 2 * drives.RADIUS
    assert len(parts) == 2
    np.testing.assert_allclose(
        parts, [(1.5 - edge) * (2 - edge), (1.45 - edge) * (2 - edge)], rtol=0.03)
    ends = np.array([[[0.5, 1.0], [1.0, 1.0]], [[0.5, 1.0], [2.5, 1.0]]])
    np.testing.assert_array_equal(space.connected(ends), [True, False])
    wider = space.with_margin(0.1)
    same = drives.ConfigurationSpace(cells, truth, 0.1)
    np.testing.assert_array_equal(wider.fits, same.fits)
    assert wider.fits.sum() < space.fits.sum()


def test_what_is_cached_is_made_once_and_again_for_other_arguments(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, 'CACHE', tmp_path)
    source, made = tmp_path / 'source.py', []
    source.write_text('1')

    def make():
        made.append(len(made))
        return np.arange(5) + made[-1]

    first = cache.key('name', (1, 2), [source])
    np.testing.assert_array_equal(cache.cached(first, make), cache.cached(first, make))
    assert made == [0]
    others = {first, cache.key('name', (1, 3), [source])}
    source.write_text('2')
    assert len(others | {cache.key('name', (1, 2), [source])}) == 3


def test_the_yard_has_ten_scenes_of_each_sort_that_share_no_seed():
    developed, reported = yard_scenes.DEVELOPED, yard_scenes.REPORTED
    assert len(developed) == len(reported) == 10 and len(yard_scenes.SCENES) == 20
    for scenes in (developed, reported):
        assert {scene.kind for scene in scenes} == {'flat', 'office', 'corridor'}
        assert {scene.far for scene in scenes} == {3.0, 8.0}
        assert min(scene.height for scene in scenes) <= 0.2
        assert max(scene.height for scene in scenes) >= 1.5
        assert min(scene.contrast for scene in scenes) == 0
        assert max(scene.contrast for scene in scenes) == 1
        assert {scene.walker for scene in scenes} == {True, False}
