"""Random buildings and imperfect sensors: what they are by construction, in closed form."""
import dataclasses
import math
from random import Random

import numpy as np
import pytest
from scipy import ndimage

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.simulation import depth_sensor, shutter
from instant_nerf_ros.simulation.boxes import Box
from instant_nerf_ros.simulation.building import Building
from instant_nerf_ros.simulation.floor_plan import MARGIN
from instant_nerf_ros.simulation.generator import PLANS, generate, with_contrast
from instant_nerf_ros.simulation.imperfections import (
    EXACT,
    REALISTIC,
    Drift,
    Imperfections,
    lens,
    recorded,
    with_pose_noise,
)
from instant_nerf_ros.simulation.recording import Recording
from instant_nerf_ros.simulation.route import SPEED, TURN_RATE, Route, T_base_camera, survey
from instant_nerf_ros.simulation.scene import Scene
from instant_nerf_ros.simulation.textures import bricks
from instant_nerf_ros.simulation.walker import LEAD, Walker

CAMERA = Camera(80, 60, 57.0, 57.0, 39.5, 29.5)
ALONG_X = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
RADIUS = 0.18  # m, of the robot


def random():
    return np.random.default_rng(0)


def plain(surface):
    return np.full((surface.height, surface.width, 3), 0.5, np.float32)


# Floor plans and furniture


@pytest.mark.parametrize('kind', PLANS)
@pytest.mark.parametrize('seed', range(6))
def test_rooms_doors_and_walls_tile_the_plan_and_doors_join_all_rooms(kind, seed):
    plan = PLANS[kind](Random(seed))
    areas = [room.area for room in plan.rooms] + [door.area for door in plan.doors]
    pieces = areas + plan.walls()
    covered = sum(area.width * area.depth for area in pieces)
    assert covered == pytest.approx(plan.inside.width * plan.inside.depth)
    for index, area in enumerate(pieces):
        assert not any(area.overlaps(other) for other in pieces[index + 1:])
    # A door, extended by a little, meets exactly two rooms; over them one gets everywhere.
    reached = {0}
    meets = []
    for door in plan.doors:
        longer = dataclasses.replace(
            door.area, **({'west': door.area.west - MARGIN, 'east': door.area.east + MARGIN}
                          if door.axis == 0 else
                          {'south': door.area.south - MARGIN, 'north': door.area.north + MARGIN}))
        meets.append({index for index, room in enumerate(plan.rooms)
                      if room.area.overlaps(longer)})
        assert len(meets[-1]) == 2
    for _ in plan.rooms:
        for pair in meets:
            reached |= pair if pair & reached else set()
    assert reached == set(range(len(plan.rooms)))


@pytest.fixture(scope='module', params=[('flat', 11), ('office', 12), ('corridor', 13)])
def building(request):
    return generate(*request.param)


@pytest.fixture(scope='module')
def route(building):
    return survey(building)


def test_a_seed_is_one_building_and_another_seed_another():
    first, again, other = generate('flat', 5), generate('flat', 5, 0.7), generate('flat', 6)
    geometry = [[(box.low, box.high, box.reflects) for box in each.boxes]
                for each in (first, again, other)]
    assert geometry[0] == geometry[1] and first.yaw == again.yaw
    assert geometry[0] != geometry[2]
    with pytest.raises(ValueError, match='castle.*flat'):
        generate('castle', 1)


def test_furniture_stands_in_the_rooms_and_pieces_do_not_intersect_walls(building):
    shell = sum(1 for box in building.boxes if box.high[2] - box.low[2] > 2.3)
    assert shell > 5 and len(building.boxes) > 80
    for box in building.boxes:
        assert (np.array(box.high) > box.low).all()
    thin = [box for box in building.boxes
            if max(np.subtract(box.high, box.low)[:2]) <= 0.04 and box.low[2] < 0.1]
    assert len(thin) >= 8  # legs
    assert not all(box.reflects for box in building.boxes)


def test_a_tenth_to_a_fourth_of_the_surface_in_view_returns_nothing(building, route):
    camera, shares = Camera(40, 30, 29.0, 29.0, 19.5, 14.5), []
    reflects = np.array([*(box.reflects for box in building.boxes), True])
    scene = Scene([dataclasses.replace(box, texture=plain, texel_size=0.5)
                   for box in building.boxes], (building.low, building.high), [])
    for time in np.linspace(0, route.duration, 60):
        pose = route.T_world_base(time) @ T_base_camera(0.8, 0.1)
        view = scene.view(camera, np.linalg.inv(building.T_world_building) @ pose)
        shares.append(1 - reflects[view.boxes].mean())
    assert 0.05 < np.mean(shares) < 0.25


def test_the_route_touches_nothing_and_leads_into_every_room(building, route):
    times = np.arange(0, route.duration, 0.2)
    places = np.array([route.T_world_base(time)[:2, 3] for time in times])
    assert all(building.is_free(place, RADIUS + 0.02, 1.6) for place in places)
    states, origin = building.occupancy(0.1)
    free = (states[:, :, 3:15] != 100).all(axis=2) & (states[:, :, 3:15] == 0).any(axis=2)
    visited = np.zeros(free.shape, bool)
    visited[tuple(np.floor((places - origin[:2]) / 0.1).astype(int).T)] = True
    labels, _ = ndimage.label(ndimage.distance_transform_edt(free) > 4)  # cores of rooms
    sizes = np.bincount(labels.ravel())
    near = ndimage.distance_transform_edt(~visited) * 0.1
    for label in np.flatnonzero(sizes > 40)[1:]:
        assert near[labels == label].min() < 1.5


def test_the_robot_drives_forward_or_turns_at_no_more_than_its_speeds(route):
    step, duration = np.diff(route.positions, axis=0), np.diff(route.times)
    assert (duration > 0).all()
    assert (np.hypot(*step.T) / duration).max() <= SPEED * 1.001
    assert (np.abs(np.diff(route.headings)) / duration).max() <= TURN_RATE * 1.001
    heading = route.headings[:-1]
    sideways = step[:, 1] * np.cos(heading) - step[:, 0] * np.sin(heading)
    assert np.abs(sideways).max() < 1e-9
    assert np.ptp(route.headings % (2 * math.pi)) > 6  # it looks around


def test_a_building_that_is_turned_is_turned_in_images_and_voxels():
    box = Box((1.0, -0.4, 0.0), (1.5, 0.3, 0.8), plain, 0.1)
    low, high = np.array([-2.0, -2.0, 0.0]), np.array([2.0, 2.0, 2.0])
    yaw = 0.7
    straight, turned = (Building((box,), low, high, np.empty((0, 3)), yaw=angle)
                        for angle in (0.0, yaw))
    view = np.array([0.0, 0.0, 0.5])
    pose = ALONG_X.copy()
    pose[:3, 3] = view
    np.testing.assert_allclose(
        turned.render(CAMERA, turned.T_world_building @ pose)[1],
        straight.render(CAMERA, pose)[1], atol=1e-5)
    states, origin = turned.occupancy(0.05, 0.0)
    points = random().uniform(low, high, (20000, 3))
    inside = ((points > box.low) & (points < box.high)).all(axis=1)
    world = points @ turned.T_world_building[:3, :3].T
    found = states[tuple(np.floor((world - origin) / 0.05).astype(int).T)]
    assert (found[inside] == 100).all() and inside.any()
    # No voxel is occupied whose circumscribed sphere is clear of the box.
    gap = np.maximum(np.maximum(box.low - points, points - box.high), 0)
    far = np.linalg.norm(gap, axis=1) > 0.05 * math.sqrt(3)
    assert (found[far] == 0).all()
    firm = turned.occupancy(0.05, 0.01)[0]
    assert ((firm == 100) <= (states == 100)).all() and (firm == 100).sum() < (states == 100).sum()


def test_contrast_scales_the_differences_and_keeps_the_color():
    from instant_nerf_ros.simulation.boxes import Surface
    texture = bricks((184, 108, 82))
    rich, half, flat = (with_contrast(texture, contrast)(Surface(80, 90, 0.01, random()))
                        for contrast in (1.0, 0.5, 0.0))
    for other in (half, flat):
        np.testing.assert_allclose(other.mean(axis=(0, 1)), rich.mean(axis=(0, 1)), atol=1e-4)
    np.testing.assert_allclose(half.std(), rich.std(), rtol=0.5)
    assert flat.std(axis=(0, 1)).max() < 1e-4


def test_a_distorted_image_of_a_box_is_whole():
    camera = dataclasses.replace(
        CAMERA, distortion_model='plumb_bob', distortion=(-0.3, 0.1, 0.004, -0.003))
    box = Box((2.0, -0.9, -0.7), (2.5, 0.85, 0.8), plain)
    scene = Scene([box], (np.full(3, -9.0), np.full(3, 9.0)), [])
    _, depth = scene.render(camera, ALONG_X)
    rays = camera.directions().reshape(60, 80, 3)
    y, z = -2 * rays[..., 0] / rays[..., 2], -2 * rays[..., 1] / rays[..., 2]
    inside = np.minimum(np.minimum(y + 0.9, 0.85 - y), np.minimum(z + 0.7, 0.8 - z))
    sure = np.abs(inside) > 1e-3  # not on the border, but for rounding
    np.testing.assert_array_equal((np.abs(depth - 2.0) < 1e-5)[sure], (inside > 0)[sure])


# Depth sensors


@pytest.mark.parametrize('correlation', [0.0, 1.5])
def test_the_noise_of_depth_grows_with_its_square(correlation):
    for z in (1.0, 2.0, 4.0):
        depth = np.full((300, 400), z, np.float32)
        measured = depth_sensor.noisy(depth, 0.002, correlation, random())
        assert measured.std() == pytest.approx(0.002 * z**2, rel=0.03)
        assert measured.mean() == pytest.approx(z, abs=1e-3 * z**2)


def test_disparities_are_multiples_of_a_step():
    step = 1 / 300
    depth = np.linspace(0.5, 7.0, 5000, dtype=np.float32)[None]
    measured = depth_sensor.quantised(depth, step)
    multiple = 1 / measured / step
    np.testing.assert_allclose(multiple, np.round(multiple), atol=2e-3)
    assert np.abs(1 / measured - 1 / depth).max() <= step / 2 * 1.001
    # So at 3 m neighboring values are z^2 times the step apart.
    values = np.unique(measured[(depth > 2.8) & (depth < 3.2)])
    assert np.median(np.diff(values)) == pytest.approx(9 * step, rel=0.1)


def test_edges_smear_between_their_two_sides_and_nowhere_else():
    depth = np.full((200, 200), 1.0, np.float32)
    depth[:, 100:] = 3.0
    measured = depth_sensor.smeared(depth, 0.5, random())
    np.testing.assert_array_equal(measured[:, :98], 1.0)
    np.testing.assert_array_equal(measured[:, 102:], 3.0)
    edge = measured[:, 99:101]
    mixed = (edge != depth[:, 99:101])
    assert mixed.mean() == pytest.approx(0.5, abs=0.1)
    assert (edge >= 1).all() and (edge <= 3).all()
    assert np.mean(edge[mixed]) == pytest.approx(2.0, abs=0.15)
    slope = np.linspace(1.0, 3.0, 200, dtype=np.float32)[None].repeat(200, axis=0)
    np.testing.assert_array_equal(depth_sensor.smeared(slope, 1.0, random()), slope)


def test_flying_pixels_have_their_share():
    depth = np.full((400, 400), 2.0, np.float32)
    measured = depth_sensor.with_flying_pixels(depth, 0.01, random())
    assert (measured != depth).mean() == pytest.approx(0.01, rel=0.1)
    assert measured.min() >= 0 and measured.max() <= 2.0


def test_a_sensor_measures_within_its_range_and_only_what_reflects():
    depth = np.linspace(0.1, 9.0, 900, dtype=np.float32)[None].repeat(4, axis=0)
    depth[3] = np.nan
    reflects = np.ones(depth.shape, bool)
    reflects[1] = False
    sensor = depth_sensor.DepthSensor(near=0.6, far=3.0, needs_reflection=True)
    measured = sensor.measure(depth, reflects, random())
    inside = (depth >= 0.6) & (depth <= 3.0) & reflects
    np.testing.assert_array_equal(measured, np.where(inside, depth, 0))
    exact = EXACT.depth.measure(depth, reflects, random())
    np.testing.assert_array_equal(exact, np.nan_to_num(depth))


# Shutter, lens, brightness, poses


def test_pixels_of_a_wall_move_by_focal_length_times_speed_over_distance():
    depth = np.full((60, 80), 2.0, np.float32)
    right = shutter.pixel_velocity(CAMERA, depth, np.array([0.5, 0, 0, 0, 0, 0]))
    np.testing.assert_allclose(right[..., 0], -57.0 * 0.5 / 2.0, rtol=1e-5)
    np.testing.assert_allclose(right[..., 1], 0, atol=1e-6)
    roll = shutter.pixel_velocity(CAMERA, depth, np.array([0, 0, 0, 0, 0, 0.3]))
    columns, rows = np.meshgrid(np.arange(80) - 39.5, np.arange(60) - 29.5)
    np.testing.assert_allclose(roll[..., 0], 0.3 * rows, atol=1e-4)
    np.testing.assert_allclose(roll[..., 1], -0.3 * columns, atol=1e-4)


def test_the_velocity_of_pixels_is_that_of_projected_points():
    depth = random().uniform(1, 4, (60, 80)).astype(np.float32)
    velocity = np.array([0.2, -0.1, 0.4, 0.05, 0.3, -0.2])
    rays = CAMERA.directions().astype(np.float64)
    points = rays / rays[:, 2:] * depth.reshape(-1, 1)
    duration = 1e-5
    T = np.eye(4)
    wx, wy, wz = velocity[3:] * duration
    T[:3, :3] += [[0, -wz, wy], [wz, 0, -wx], [-wy, wx, 0]]
    T[:3, 3] = velocity[:3] * duration
    np.testing.assert_allclose(shutter.twist(np.eye(4), T, duration), velocity, rtol=1e-6)
    moved = (points - T[:3, 3]) @ T[:3, :3]
    expected = (CAMERA.project(moved) - CAMERA.project(points)) / duration
    found = shutter.pixel_velocity(CAMERA, depth, velocity).reshape(-1, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-2)


def test_rows_of_a_rolling_shutter_are_displaced_by_their_delay():
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 50:] = 200
    velocity = np.zeros((40, 100, 2), np.float32)
    velocity[..., 0] = 400  # pixels/s
    rolled = shutter.exposed(image, velocity, 0.0, 0.05)
    edge = (rolled[..., 0] < 100).sum(axis=1)
    delay = 0.05 * ((np.arange(40) + 0.5) / 40 - 0.5)
    np.testing.assert_allclose(edge, 50 + 400 * delay, atol=1)
    blurred = shutter.exposed(image, velocity, 0.02, 0.0)[20, :, 0].astype(int)
    assert 4 <= ((blurred > 0) & (blurred < 200)).sum() <= 8  # of 8 pixels of motion
    assert np.all(np.diff(blurred) >= 0)
    np.testing.assert_array_equal(shutter.exposed(image, velocity, 0.0, 0.0), image)


def test_the_lens_has_another_focal_length_than_its_camera_info_says():
    true = lens(CAMERA, Imperfections(focal_error=0.01, k1=-0.02))
    assert true.fx == pytest.approx(1.01 * 57) and true.distortion[0] == -0.02
    assert lens(CAMERA, EXACT) == CAMERA


def test_brightness_and_noise_have_their_deviations():
    image, generator = np.full((100, 100, 3), 100, np.uint8), random()
    errors = Imperfections(gain=0.1, image_noise=3.0)
    images = [recorded(image, errors, generator).astype(float) for _ in range(200)]
    assert np.std([np.log(each.mean() / 100) for each in images]) == pytest.approx(0.1, rel=0.2)
    assert np.mean([each.std() for each in images]) == pytest.approx(3.0, rel=0.05)


def test_noise_of_poses_has_its_deviations():
    generator = random()
    errors = Imperfections(position_noise=0.005, rotation_noise=math.radians(0.3))
    poses = np.array([with_pose_noise(ALONG_X, errors, generator) for _ in range(4000)])
    np.testing.assert_allclose(poses[:, :3, 3].std(axis=0), 0.005, rtol=0.05)
    cosine = (np.trace(ALONG_X[:3, :3].T @ poses[:, :3, :3], axis1=1, axis2=2) - 1) / 2
    angle = np.arccos(np.clip(cosine, -1, 1))
    assert math.degrees(np.sqrt(np.mean(angle**2))) == pytest.approx(0.3, rel=0.05)


def test_drift_is_slow_and_bounded_and_keeps_a_camera_level():
    drift = Drift(REALISTIC, random())
    times = np.arange(0, 200, 0.1)
    poses = np.array([drift.displaced(ALONG_X, time) for time in times])
    error = poses[:, :2, 3]
    assert 0.014 < np.abs(error).max() <= REALISTIC.position_drift
    assert np.abs(np.diff(error, axis=0)).max() < 0.001
    np.testing.assert_allclose(poses[:, 2], ALONG_X[None, 2].repeat(len(poses), axis=0))


# Recordings


@pytest.fixture(scope='module')
def room():
    """Return a room of 4 x 3 m with a column, and a straight route through it."""
    low, high = np.array([-2.0, -1.5, 0.0]), np.array([2.0, 1.5, 2.4])
    walls = [Box((-2.2, -1.7, -0.2), (2.2, 1.7, 0.0), bricks((184, 108, 82)), 0.05),
             Box((-2.2, -1.7, 2.4), (2.2, 1.7, 2.6), bricks((200, 200, 200)), 0.05),
             *(Box((x, -1.7, -0.2), (x + 0.2, 1.7, 2.6), bricks((90, 120, 160)), 0.05)
               for x in (-2.2, 2.0)),
             *(Box((-2.0, y, -0.2), (2.0, y + 0.2, 2.6), bricks((160, 150, 90)), 0.05)
               for y in (-1.7, 1.5)),
             Box((0.8, 0.7, 0.0), (1.0, 0.9, 2.4), plain, 0.05, False)]
    building = Building(tuple(walls), low, high, np.array([[0.0, 0.0, 2.2]]))
    positions = np.array([[-1.5, 0.0], [0.5, 0.0]])
    return building, Route(np.array([0.0, 4.0]), positions, np.zeros(2))


def test_exact_sensors_deliver_the_truth(room):
    for capture in Recording(*room, CAMERA, rate=2.0).captures():
        image, depth = room[0].render(CAMERA, capture.T_world_camera)
        np.testing.assert_array_equal(capture.frame.image, image)
        np.testing.assert_array_equal(capture.frame.depth, depth)
        np.testing.assert_array_equal(capture.frame.T_world_camera, capture.T_world_camera)
        assert capture.still.all() and capture.frame.camera == capture.lens == CAMERA


def test_images_come_at_their_rate_or_when_the_camera_has_moved(room):
    drive = Recording(*room, CAMERA, rate=5.0)
    stamps = [capture.frame.stamp for capture in drive.captures()]
    np.testing.assert_array_equal(np.diff(stamps), 200_000_000)
    assert len(stamps) == 21
    far = [capture.T_world_camera[:3, 3] for capture in drive.captures(0.5, 1.0)]
    steps = np.linalg.norm(np.diff(far, axis=0), axis=1)
    assert ((steps >= 0.5) & (steps < 0.5 + 0.11)).all() and len(far) == 4


def test_imperfect_sensors_err_as_they_should_and_a_seed_repeats_them(room):
    drive = Recording(*room, CAMERA, rate=1.0, imperfections=REALISTIC, seed=3)
    captures, again = list(drive.captures()), list(drive.captures())
    for capture, other in zip(captures, again):
        np.testing.assert_array_equal(capture.frame.depth, other.frame.depth)
        np.testing.assert_array_equal(capture.frame.image, other.frame.image)
        error = capture.frame.T_world_camera[:3, 3] - capture.T_world_camera[:3, 3]
        assert 0 < np.linalg.norm(error) < 0.015 * 2 + 0.005 * 5
        measured = capture.frame.depth > 0
        relative = (capture.frame.depth - capture.depth)[measured] / capture.depth[measured]**2
        assert 0.001 < 1.4826 * np.median(np.abs(relative)) < 0.002
    other_seed = next(iter(dataclasses.replace(drive, seed=4).captures()))
    assert (other_seed.frame.depth != captures[0].frame.depth).any()


def test_a_walker_is_ahead_on_the_route_and_leaves_at_its_end(room):
    building, route = room
    walker = Walker(route)
    pose = walker.T_world_walker(0.0)
    assert pose is None or pose[0, 3] > -1.5
    assert walker.T_world_walker(route.duration) is None
    long = Route(np.array([0.0, 100.0]), np.array([[0.0, 0.0], [50.0, 0.0]]), np.zeros(2))
    for time in (0.0, 7.0, 20.0):
        lead = Walker(long).T_world_walker(time)[0, 3] - 0.5 * time
        assert LEAD[0] - LEAD[1] - 1e-6 <= lead <= LEAD[0] + LEAD[1] + 1e-6
    short = Route(np.array([0.0, 40.0]), np.array([[-1.5, 0.0], [5.0, 0.0]]), np.zeros(2))
    drive = Recording(building, short, CAMERA, rate=1.0, walker=Walker(short))
    first = next(iter(drive.captures()))
    _, empty = building.render(CAMERA, first.T_world_camera)
    assert (~first.still).any()
    assert (first.depth[~first.still] < empty[~first.still]).all()
    np.testing.assert_array_equal(first.depth[first.still], empty[first.still])
