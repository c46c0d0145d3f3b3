"""Disappearance: a person who walked through the view leaves nothing in maps and views."""
import dataclasses
import math

import numpy as np
import pytest
import torch
from scenes import CAMERA, look_at
from test_integration import BOX, CONFIG, IMAGE, POSE, VOXEL, WALL, depth, mapper_of, state

from instant_nerf_ros.data.metrics import dilate, project
from instant_nerf_ros.nerf import Camera, Config, Mapper, replace
from instant_nerf_ros.nerf.capture.rays import RaySources, pixel_rays
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED
from instant_nerf_ros.nerf.occupancy.disappearance import without_disappeared
from instant_nerf_ros.simulation.flat import PLAN_ORIGIN, Flat
from instant_nerf_ros.simulation.recording import Recording
from instant_nerf_ros.simulation.route import Route
from instant_nerf_ros.simulation.walker import Passerby

ELSEWHERE = look_at([0.0, 0.42, 0.23], [WALL, 0.02, 0.03])  # another pose that sees the same
SIZE = 0.05  # m
BAND = 0.1, 1.5  # m, of the map
CROSSING = (1.7, 3.9), (3.3, 3.3)  # m, in the plan of the flat: the way of the person
PLACES = (2.75, 0.9), (3.3, 0.6)  # of the robot: while the person walks, and at the next look


@pytest.fixture(scope='module')
def flat():
    return Flat()


def in_world(place):
    return tuple(np.add(place, PLAN_ORIGIN[:2]))


def drive(flat, place, headings, walker=None):
    """Return the captures of a robot that turns at a place, a heading [degree] a second."""
    position = np.tile(in_world(place), (len(headings), 1))
    route = Route(np.arange(1.0 * len(headings)), position, np.radians(headings))
    return list(Recording(
        flat, route, Camera(320, 240, 230.0, 230.0, 159.5, 119.5), rate=1.0,
        walker=walker).captures())


def add(mapper, captures):
    for capture in captures:
        frame = capture.frame
        mapper.add(frame.image, frame.camera, frame.T_world_camera, frame.depth)


def voxels_of(captures, shape, origin):
    """Return the voxels in which captures see a person, and those beside them."""
    seen = np.zeros(shape, bool)
    for capture in captures:
        rays = capture.lens.directions().reshape(*capture.depth.shape, 3)[~capture.still]
        points = rays / rays[:, 2:] * capture.depth[~capture.still][:, None]
        points = points @ capture.T_world_camera[:3, :3].T + capture.T_world_camera[:3, 3]
        seen[tuple(np.floor((points - origin) / SIZE).astype(int).T)] = True
    return dilate(seen)


def occupied(mapper, shape, origin):
    """Return which voxels of a grid, and which cells (x, y) of its map, a mapper has occupied."""
    space, plane = np.zeros(shape, bool), np.zeros(shape[:2], bool)
    for found, part, corner in (
            (space, mapper.voxels().states, mapper.voxels().origin),
            (plane, mapper.map().cells.T, mapper.map().origin)):
        cells = np.argwhere(part == OCCUPIED)
        cells += np.round((corner - origin[: found.ndim]) / SIZE).astype(int)
        found[tuple(cells[((cells >= 0) & (cells < found.shape)).all(-1)].T)] = True
    return space, plane


def test_nothing_is_left_of_a_walker_after_the_next_look(flat):
    walker = Passerby(*map(in_world, CROSSING), speed=0.1, pause=100.0)  # it stands at the end
    there = 90 + 25 * np.sin(np.arange(16) * 1.3)  # degrees
    around = 105 + np.arange(0, 360, 15.0)
    walk = drive(flat, PLACES[0], there, walker)
    look = drive(flat, PLACES[1], around)
    states, origin = flat.occupancy(SIZE, 1e-3)
    person = voxels_of(walk, states.shape, origin) & (states == FREE)
    floor = person.any(2) & (project(states, origin, SIZE, *BAND).T == FREE)
    mapper, still = (
        Mapper(replace(Config(), {
            'device': 'cpu', 'keyframes.held_out_every': 0, 'keyframes.min_translation': 0.0}))
        for _ in range(2))
    add(mapper, walk)
    space, plane = occupied(mapper, states.shape, origin)
    assert (space & person).sum() > 100 and (plane & floor).sum() > 5
    add(mapper, look)
    add(still, drive(flat, PLACES[0], there))
    add(still, look)
    space, plane = occupied(mapper, states.shape, origin)
    without = occupied(still, states.shape, origin)  # what is beside furniture is no person
    assert not (space & person & ~dilate(without[0])).any()
    assert not (plane & floor & ~dilate(without[1])).any()


def test_what_stood_long_before_a_wall_is_gone_after_one_image_and_the_wall_is_not():
    mapper = mapper_of(box=True)
    assert state(mapper, BOX) == OCCUPIED
    mapper.add(IMAGE, CAMERA, ELSEWHERE, seen_from(ELSEWHERE))
    assert state(mapper, BOX) == FREE
    assert state(mapper, WALL) == OCCUPIED


def test_an_image_without_depth_of_a_thing_tells_nothing_of_it():
    mapper = mapper_of(box=True)
    holes = seen_from(ELSEWHERE)
    holes[CAMERA.height // 4 : 3 * CAMERA.height // 4] = 0
    mapper.add(IMAGE, CAMERA, ELSEWHERE, holes)
    assert state(mapper, BOX) == OCCUPIED


def test_noise_of_the_depth_does_not_remove_a_wall():
    mapper = mapper_of(box=False)
    before = (mapper.voxels().states == OCCUPIED).sum()
    mapper.add(IMAGE, CAMERA, ELSEWHERE, seen_from(ELSEWHERE) + np.float32(VOXEL))
    assert (mapper.voxels().states == OCCUPIED).sum() >= before


def seen_from(pose):
    """Return the depth (H, W) [m] of the wall from a pose."""
    rays = CAMERA.directions() @ pose[:3, :3].T
    depths = (WALL - pose[0, 3]) / rays[:, 0] * CAMERA.directions()[:, 2]
    return depths.reshape(CAMERA.height, CAMERA.width).astype(np.float32)


def test_rays_that_show_what_has_gone_are_replaced_and_no_others():
    mapper = mapper_of(box=True)
    later = [look_at([0.0, y, 0.23], [WALL, 0.02, 0.03]) for y in (0.42, 0.3, -0.3)]
    for pose in later:
        mapper.add(IMAGE, CAMERA, pose, seen_from(pose))
    keyframes, occupancy = mapper.keyframes, mapper.occupancy
    count = CAMERA.width * CAMERA.height
    rays = pixel_rays(keyframes, 0, np.arange(count))
    on_box = depth(box=True).ravel() == np.float32(BOX)
    sources = RaySources(np.zeros(count, int), np.zeros(count, int), rays.pixels.numpy())
    more = rays.where(torch.from_numpy(on_box))  # of range sensors, behind those of the sources
    kept, kept_sources = without_disappeared(rays.concatenated(more), sources, occupancy)
    np.testing.assert_array_equal(kept_sources.masked, on_box)
    assert (kept.surfaces[:count] > BOX + VOXEL).all() and len(kept) == count + len(more)
    torch.testing.assert_close(kept.surfaces[count:], more.surfaces)
    for name in ('origins', 'directions', 'surfaces'):
        values = getattr(kept, name)[:count].numpy()[~on_box]
        np.testing.assert_array_equal(values, getattr(rays, name).numpy()[~on_box])
    again, _ = without_disappeared(kept.where(torch.arange(count)), kept_sources, occupancy)
    torch.testing.assert_close(again.surfaces, kept.surfaces[:count])


def test_the_color_of_what_has_gone_leaves_the_views():
    red, gray = np.array([220, 30, 30], np.uint8), np.array([90, 90, 90], np.uint8)
    config = replace(CONFIG, {'keyframes.min_translation': 0.0, 'field.log2_table': 12})
    mapper = Mapper(config)
    box = depth(box=True)
    image = np.where((box == np.float32(BOX))[..., None], red, gray)
    for _ in range(4):
        mapper.add(image, CAMERA, POSE, box)
    for y in (0.42, 0.3, -0.3, 0.0):
        pose = look_at([0.0, y, 0.23], [WALL, 0.02, 0.03])
        mapper.add(IMAGE, CAMERA, pose, seen_from(pose))
    for _ in range(150):
        mapper.step()
    color = mapper.render(CAMERA, POSE).color[box == np.float32(BOX)].astype(float)
    assert math.dist(color.mean(0), gray) < 25


def test_a_passerby_stands_in_the_middle_and_is_nowhere_before_and_after():
    walker = Passerby((0.0, 1.0), (4.0, 1.0), begin=2.0, speed=0.5, pause=3.0)
    assert walker.T_world_walker(1.9) is None and walker.T_world_walker(13.1) is None
    for time, x in ((2.0, 0.0), (4.0, 1.0), (6.0, 2.0), (8.9, 2.0), (11.0, 3.0), (13.0, 4.0)):
        pose = walker.T_world_walker(time)
        np.testing.assert_allclose(pose[:2, 3], (x, 1.0), atol=1e-9)
        np.testing.assert_allclose(pose[:3, :3], np.eye(3), atol=1e-9)
    turned = dataclasses.replace(walker, end=(0.0, 5.0)).T_world_walker(4.0)
    np.testing.assert_allclose(turned[:3, 0], (0, 1, 0), atol=1e-9)
