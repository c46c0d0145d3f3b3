"""The simulated flat: ray casting, occupancy and tour agree with geometry and each other."""
import dataclasses

import numpy as np
import pytest

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.config import OccupancyConfig
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.simulation.boxes import Box
from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.scene import Scene
from instant_nerf_ros.simulation.tour import (
    MAX_ACCELERATION,
    MAX_SPEED,
    MAX_TURN_RATE,
    T_BASE_CAMERA,
    Tour,
)

CAMERA = Camera(80, 60, 57.0, 57.0, 39.5, 29.5)
# T_world_camera of a camera at the origin, with its optical axis along +x and its image upright.
ALONG_X = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


def coordinates(surface):
    """Return a texture of the texel's own coordinates: red along u, green along v."""
    x, y = surface.centers()
    u, v = (values / length for values, length in zip((x, y), surface.extent))
    return np.stack([u, v, np.ones_like(u)], axis=-1).astype(np.float32)


def points_of(camera, T_world_camera, depth):
    """Return the world points (H, W, 3) of a depth image."""
    rays = camera.directions().astype(np.float64)
    points = (rays / rays[:, 2:]) * depth.reshape(-1, 1)
    points = points @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]
    return points.reshape(*depth.shape, 3)


@pytest.fixture(scope='module')
def flat():
    return Flat()


@pytest.fixture(scope='module')
def tour():
    return Tour()


@pytest.fixture(scope='module')
def views(flat, tour):
    """Return (T_world_camera, image, depth) along the tour."""
    poses = [tour.T_world_camera(time) for time in np.linspace(0, tour.duration, 24)]
    return [(pose, *flat.render(CAMERA, pose)) for pose in poses]


def wall(distance):
    box = Box((distance, -50.0, -50.0), (distance + 1, 50.0, 50.0), coordinates, 0.5)
    return Scene([box], ((-1.0, -60.0, -60.0), (distance + 0.5, 60.0, 60.0)), [])


@pytest.mark.parametrize('camera', [
    CAMERA,
    dataclasses.replace(
        CAMERA, distortion_model='plumb_bob', distortion=(-0.2, 0.05, 0.001, -0.002)),
    dataclasses.replace(CAMERA, distortion_model='equidistant', distortion=(0.1, 0.0, 0.0, 0.0)),
])
def test_a_wall_across_the_axis_has_the_same_depth_in_all_pixels(camera):
    _, depth = wall(2.5).render(camera, ALONG_X)
    np.testing.assert_allclose(depth, 2.5, rtol=1e-6)


def test_a_wall_behind_the_camera_is_not_seen():
    T_world_camera = ALONG_X @ np.diag([-1.0, 1.0, -1.0, 1.0])
    image, depth = wall(2.5).render(CAMERA, T_world_camera)
    assert np.isnan(depth).all() and not image.any()


def test_a_box_covers_exactly_the_pixels_that_project_into_it():
    # At depth 2: y in (-0.5, 0.25) is left to right column 39.5 - 57 y / 2, and so for z.
    box = Box((2.0, -0.5, -0.25), (2.5, 0.25, 0.5), coordinates)
    scene = Scene([box], ((-9.0, -9.0, -9.0), (9.0, 9.0, 9.0)), [])
    _, depth = scene.render(CAMERA, ALONG_X)
    column, row = np.meshgrid(np.arange(80), np.arange(60))
    y, z = -(column - 39.5) * 2 / 57, -(row - 29.5) * 2 / 57
    front = (y > -0.5) & (y < 0.25) & (z > -0.25) & (z < 0.5)
    np.testing.assert_array_equal(np.abs(depth - 2.0) < 1e-5, front)


def test_the_picture_of_a_face_is_where_its_coordinates_say():
    image, _ = wall(2.5).render(CAMERA, ALONG_X)
    # u = y from -50 to 50, v = z; y falls with the column, z falls with the row.
    share = image[..., :2] / image[..., 2:].astype(float)
    assert np.all(np.diff(share[30, :, 0]) <= 0.01) and share[30, 0, 0] > share[30, -1, 0]
    assert np.all(np.diff(share[:, 40, 1]) <= 0.01) and share[0, 40, 1] > share[-1, 40, 1]
    np.testing.assert_allclose(share[28:32, 38:42], 0.5, atol=0.02)


def test_what_is_nearer_hides_what_is_farther(flat, views):
    # No ray may pass through a solid: half-way to every hit there is air.
    states, origin = flat.occupancy(0.05)
    for pose, _, depth in views:
        for share in (0.25, 0.5, 0.75, 0.95):
            points = points_of(CAMERA, pose, depth * share)
            inside = np.zeros(depth.shape, bool)
            for box in flat.boxes:
                inside |= ((points > np.add(box.low, 1e-3)) & (points < np.subtract(
                    box.high, 1e-3))).all(axis=-1)
            assert not inside.any()


def test_every_ray_in_the_flat_ends_on_the_surface_of_a_box(flat, views):
    for pose, _, depth in views:
        points = points_of(CAMERA, pose, depth)
        distance = np.full(depth.shape, np.inf)
        for box in flat.boxes:
            center, half = np.add(box.low, box.high) / 2, np.subtract(box.high, box.low) / 2
            beyond = np.abs(points - center) - half
            outside = np.linalg.norm(np.maximum(beyond, 0), axis=-1)
            distance = np.minimum(distance, outside + np.abs(np.minimum(beyond.max(axis=-1), 0)))
        assert distance.max() < 1e-3


@pytest.mark.parametrize('voxel_size', [0.05, 0.1])
def test_rays_start_in_free_voxels_and_end_at_occupied_ones(flat, views, voxel_size):
    states, origin = flat.occupancy(voxel_size)

    def state(points):
        return states[tuple(np.floor((points - origin) / voxel_size).astype(int).T)]

    corners = np.stack(np.meshgrid(*[[-0.012, 0.012]] * 3), axis=-1).reshape(8, 3)
    for pose, _, depth in views:
        assert state(pose[:3, 3]) == 0
        ends = points_of(CAMERA, pose, depth).reshape(-1, 3)
        touches = np.any([state(ends + corner) == 100 for corner in corners], axis=0)
        assert touches.all()


@pytest.mark.parametrize('voxel_size', [0.05, 0.1])
def test_occupancy_is_on_the_lattice_of_the_mapper(flat, voxel_size):
    _, origin = flat.occupancy(voxel_size)
    in_voxels = origin / voxel_size + [0.0, 0.0, 0.5]
    np.testing.assert_allclose(in_voxels, np.round(in_voxels), atol=1e-9)
    grid = OccupancyGrid(
        OccupancyConfig(voxel_size=voxel_size), (0.3, -0.2, 0.8), backends.select('reference'))
    apart = (origin - grid.corner) / voxel_size
    np.testing.assert_allclose(apart, np.round(apart), atol=1e-9)


def test_the_floor_fills_the_layer_around_zero(flat):
    states, origin = flat.occupancy(0.05)
    layer = round((-0.025 - origin[2]) / 0.05)
    inside = states[10:-10, 10:-10]
    assert (inside[:, :, layer] == 100).all()
    assert (inside[:, :, layer + 1] == 0).mean() > 0.5


def test_occupancy_can_have_all_that_solids_reach_into(flat):
    states, origin = flat.occupancy(0.05, min_overlap=1e-3)
    random = np.random.default_rng(0)
    for box in flat.boxes:
        low, high = np.array(box.low) + 1e-3, np.array(box.high) - 1e-3
        points = random.uniform(low, high, (200, 3)).clip(flat.low, flat.high - 1e-6)
        assert (states[tuple(np.floor((points - origin) / 0.05).astype(int).T)] == 100).all()
    usual, _ = flat.occupancy(0.05)
    assert (states >= usual).all() and (states > usual).any()  # pictures are 3 cm thick


def test_occupancy_holds_the_volume_of_the_rooms(flat):
    states, _ = flat.occupancy(0.05)
    assert set(np.unique(states)) == {0, 100}
    free = (states == 0).sum() * 0.05**3
    assert 0.75 * 7.0 * 5.0 * 2.5 < free < 7.0 * 5.0 * 2.5
    # A finer grid shrinks the solids, as fewer voxels are cut.
    finer, _ = flat.occupancy(0.025)
    assert free < (finer == 0).sum() * 0.025**3 < 1.15 * free


def test_nothing_is_known_beyond_the_walls(flat):
    states, origin = flat.occupancy(0.25)
    edge = np.ones(states.shape, bool)
    edge[1:-1, 1:-1, 1:-1] = False
    assert (states[edge] == -1).all() and (states != -1).any()
    # Between any free voxel and the unknown there is a wall.
    unknown = states == -1
    for axis in range(3):
        for step in (-1, 1):
            assert not (np.roll(unknown, step, axis) & (states == 0)).any()


def test_map_is_the_highest_state_of_each_column(flat):
    cells, origin = flat.occupancy_map(0.05, 0.1, 1.0)
    states, corner = flat.occupancy(0.05)
    below = round((0.075 - corner[2]) / 0.05)  # the layer around 10 cm is the first
    np.testing.assert_array_equal(cells, states[:, :, below:below + 18].max(axis=2).T)
    np.testing.assert_array_equal(origin, corner[:2])
    # Only the legs of the table stand between 10 and 60 cm; its top is at 70 cm.
    legs, _ = flat.occupancy_map(0.05, 0.1, 0.6)
    assert (legs == 100).sum() < (cells == 100).sum()


def test_both_rooms_are_connected_through_the_doorway(flat):
    cells, _ = flat.occupancy_map(0.05, 0.1, 1.0)
    reached = np.zeros(cells.shape, bool)
    reached[tuple(np.argwhere(cells == 0)[0])] = True
    count = 0
    while reached.sum() != count:
        count = reached.sum()
        for axis in (0, 1):
            for step in (-1, 1):
                reached |= np.roll(reached, step, axis) & (cells == 0)
    assert reached[cells == 0].mean() > 0.98


def test_every_part_of_a_picture_has_detail(views):
    # Without texture a radiance field cannot find geometry from colour.
    for _, image, _ in views:
        gray = image.astype(float).mean(axis=-1)
        blocks = gray[:60, :80].reshape(6, 10, 8, 10).swapaxes(1, 2).reshape(48, 100)
        assert np.median(blocks.std(axis=1)) > 4
        assert 40 < gray.mean() < 210  # neither dark nor burnt out


def test_the_flat_is_the_same_every_time(flat, views):
    again = Flat()
    for pose, image, depth in views[:3]:
        other_image, other_depth = again.render(CAMERA, pose)
        np.testing.assert_array_equal(image, other_image)
        np.testing.assert_array_equal(depth, other_depth)


def test_a_point_looks_the_same_from_two_places(flat, tour):
    camera = Camera(320, 240, 230.0, 230.0, 159.5, 119.5)
    first, second = tour.T_world_camera(5.0), tour.T_world_camera(5.4)
    image, depth = flat.render(camera, first)
    other, other_depth = flat.render(camera, second)
    points = points_of(camera, first, depth)
    seen = (points - second[:3, 3]) @ second[:3, :3]
    column = np.round(camera.fx * seen[..., 0] / seen[..., 2] + camera.cx).astype(int)
    row = np.round(camera.fy * seen[..., 1] / seen[..., 2] + camera.cy).astype(int)
    both = (seen[..., 2] > 0) & (column >= 0) & (column < 320) & (row >= 0) & (row < 240)
    row, column = row[both], column[both]
    visible = np.abs(other_depth[row, column] - seen[both][:, 2]) < 0.02
    difference = np.abs(image[both].astype(float) - other[row, column])[visible]
    assert visible.mean() > 0.8 and np.median(difference) < 6


def test_the_robot_keeps_clear_of_walls_and_furniture(flat, tour):
    for time in np.arange(0, tour.duration, 0.1):
        assert flat.is_free(tour.T_world_base(time)[:2, 3], radius=0.25, height=1.1)


def test_the_robot_drives_as_a_differential_drive_can(tour):
    step = 0.02
    poses = np.array([tour.T_world_base(time) for time in np.arange(0, tour.duration, step)])
    move = np.diff(poses[:, :2, 3], axis=0)
    heading = np.unwrap(np.arctan2(poses[:, 1, 0], poses[:, 0, 0]))
    speed = np.linalg.norm(move, axis=1) / step
    assert speed.max() <= MAX_SPEED * 1.01 and speed.min() > 0
    assert np.abs(np.diff(heading)).max() / step <= MAX_TURN_RATE * 1.01
    # It moves forward, never sideways.
    sideways = move[:, 1] * np.cos(heading[:-1]) - move[:, 0] * np.sin(heading[:-1])
    assert np.abs(sideways).max() / step < 0.02
    # The path is a polygon with steps of 2 mm, which second differences feel.
    assert np.abs(np.diff(speed)).max() / step <= MAX_ACCELERATION * 1.1


def test_the_tour_is_a_lap_through_both_rooms_with_a_look_around(tour):
    assert 60 < tour.duration < 90
    np.testing.assert_allclose(
        tour.T_world_base(0.0), tour.T_world_base(tour.duration), atol=1e-9)
    poses = np.array([tour.T_world_base(time) for time in np.arange(0, tour.duration, 0.1)])
    heading = np.arctan2(poses[:, 1, 0], poses[:, 0, 0])
    for room in (poses[:, 0, 3] < 0.3, poses[:, 0, 3] > 0.6):
        assert room.any()
        octants = np.unique((heading[room] // (np.pi / 4)).astype(int))
        assert len(octants) >= 7


def test_the_camera_looks_ahead_and_slightly_down():
    forward = T_BASE_CAMERA[:3, 2]
    assert forward[0] > 0.9 and -0.3 < forward[2] < 0.0
    assert T_BASE_CAMERA[1, 0] == pytest.approx(-1.0)  # x of the picture is the robot's right
    assert 0.6 <= T_BASE_CAMERA[2, 3] <= 1.0
