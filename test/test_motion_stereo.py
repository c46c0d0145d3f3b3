"""Motion stereo: distances of a slanted plane, from images in closed form."""
import dataclasses

import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.nerf.backends.cpu.kernels import stereo
from instant_nerf_ros.nerf.backends.reference import stereo
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.motion import plane_sweep

CAMERA = Camera(160, 120, 130.0, 130.0, 79.5, 59.5)
NORMAL = np.array([0.3, -0.2, -1.0]) / np.linalg.norm([0.3, -0.2, -1.0])
THROUGH = np.array([0.0, 0.0, 2.0])  # metres, a point of the plane
WAVES = np.random.default_rng(1).normal(scale=12.0, size=(40, 2))  # per metre


def pose(x=0.0, y=0.0, z=0.0, yaw=0.0):
    T = np.eye(4)
    T[:3, 3] = x, y, z
    T[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    return T


def see(T_world_camera, camera=CAMERA, contrast=1.0):
    """Return the image (H, W) uint8 of the plane and its depth (H, W)."""
    rays = camera.directions().astype(np.float64)
    directions = rays @ T_world_camera[:3, :3].T
    along = (THROUGH - T_world_camera[:3, 3]) @ NORMAL / (directions @ NORMAL)
    points = T_world_camera[:3, 3] + along[:, None] * directions
    phases = np.arange(len(WAVES))
    light = np.sin(points[:, :2] @ WAVES.T + phases).sum(-1) / np.sqrt(len(WAVES))
    size = camera.height, camera.width
    image = (127 + contrast * 60 * light).clip(0, 255).reshape(size).astype(np.uint8)
    return image, (along * rays[:, 2]).reshape(size)


def side(own, others, camera, **how):
    chosen = plane_sweep.stereo_partners(own, np.array(others).reshape(-1, 4, 4))
    return [(plane_sweep.undistort(see(others[k], camera, **how)[0], camera), others[k])
            for k in chosen]


def estimate(own, earlier, later=(), camera=CAMERA, **how):
    image = plane_sweep.undistort(see(own, camera, **how)[0], camera)
    return plane_sweep.depth(
        image, own, side(own, earlier, camera, **how), side(own, later, camera, **how))


DISTORTED = [
    CAMERA,
    Camera(160, 120, 130.0, 130.0, 79.5, 59.5, 'plumb_bob', (-0.2, 0.05, 0.001, 0.002, 0.0)),
    Camera(160, 120, 100.0, 100.0, 79.5, 59.5, 'equidistant', (0.02, -0.01, 0.0, 0.0)),
]  # fmt: skip
NAMES = ['plain', 'plumb_bob', 'equidistant']


@pytest.mark.parametrize('axis', ['x', 'y', 'z'])
@pytest.mark.parametrize('sign', [-1, 1])
@pytest.mark.parametrize('camera', DISTORTED, ids=NAMES)
def test_a_slanted_plane_is_where_it_is(axis, sign, camera):
    shifts = (0.12, 0.0), (0.18, 0.05), (0.25, -0.05)
    earlier, later = ([pose(**{axis: way * shift}, yaw=turn) for shift, turn in shifts]
                      for way in (-sign, sign))
    own = pose(yaw=0.02)
    depth = estimate(own, earlier, later, camera)
    truth = see(own, dataclasses.replace(camera, distortion_model='none', distortion=()))[1]
    known = np.isfinite(depth)
    error = abs(depth - truth)[known]
    assert known.mean() > 0.5
    # Straight ahead what is in the middle of the image hardly moves.
    assert np.median(error) < (0.05 if axis == 'z' else 0.03)
    assert (error > 0.2).mean() < 0.05


@pytest.mark.parametrize('camera', DISTORTED, ids=NAMES)
def test_its_points_lie_on_the_plane(camera):
    own = pose(x=0.3, y=-0.2, yaw=0.2)
    image = plane_sweep.undistort(see(own, camera)[0], camera)
    straight = dataclasses.replace(camera, distortion_model='none', distortion=())
    depth = see(own, straight)[1]
    depth[::2] = np.nan
    points = plane_sweep.points(image, own, depth)
    assert len(points) == np.isfinite(depth).sum()
    np.testing.assert_allclose((points - THROUGH) @ NORMAL, 0, atol=1e-6)


@pytest.mark.parametrize('others', [
    [],
    [pose(yaw=0.1), pose(yaw=-0.1), pose()],  # the camera turns
    [pose(x=0.01), pose(x=0.02), pose(x=0.03)],  # too little
    [pose(x=1.2), pose(x=1.5)],  # too far
], ids=['alone', 'turning', 'standing', 'far'])  # fmt: skip
def test_where_nothing_can_be_told_nothing_is(others):
    assert np.isnan(estimate(pose(), others)).all()


def test_a_bare_plane_has_no_depth():
    # Not even where only some of the images, or some of the planes, show it.
    others = [pose(x=0.12), pose(x=0.18), pose(x=0.25)]
    for both in ([others, []], [others, [pose(x=-x, yaw=0.3) for x in (0.1, 0.2, 0.3)]]):
        assert np.isfinite(estimate(pose(), *both)).mean() > 0.5
        assert np.isnan(estimate(pose(), *both, contrast=0.0)).all()


def test_what_hardly_moves_is_not_told():
    assert np.isfinite(estimate(pose(), [pose(x=0.12)])).mean() > 0.5
    told = np.isfinite(estimate(pose(), [pose(x=0.06)]))  # by 130 * 0.06 / 2 pixels
    assert told.mean() < 0.01


@pytest.mark.parametrize('axis', ['x', 'z'])
def test_parallax_in_closed_form(axis):
    pixels = np.array([[[79.5, 59.5, 1.0], [144.5, 59.5, 1.0]]])  # the middle, and 65 beside it
    matrix = np.array([[130, 0, 79.5], [0, 130, 59.5], [0, 0, 1.0]], np.float32)
    shifts = np.float32([0.1, 0.2]) * matrix[:, 'xyz'.index(axis), None]  # of two cameras
    moved = plane_sweep._parallax(
        pixels, np.full((1, 2), 0.5, np.float32), np.stack([np.eye(3)] * 2), shifts.T)
    expected = {'x': [[13, 13]], 'z': [[0, 65 - 65 / 1.1]]}  # of the one that moves it more
    np.testing.assert_allclose(moved, expected[axis], rtol=1e-4, atol=1e-4)


def test_points_agree_with_the_depth_of_another_image():
    own, other = pose(x=0.3, yaw=-0.1), pose(x=-0.2, z=0.1, yaw=0.05)
    image = plane_sweep.undistort(see(own)[0], CAMERA)
    points = plane_sweep.points(image, own, see(own)[1])
    its_image, its_depth = see(other)

    def agrees(points, depth=its_depth):
        return plane_sweep.agrees(
            plane_sweep.undistort(its_image, CAMERA), other, depth, points)

    T_other_world = np.linalg.inv(other)
    x, y, z = T_other_world[:3, :3] @ points.T + T_other_world[:3, 3:]
    shown = (abs(x / z) < 79 / 130) & (abs(y / z) < 59 / 130)
    hidden = (abs(x / z) > 81 / 130) | (abs(y / z) > 61 / 130)
    assert shown.any() and hidden.any()
    assert agrees(points)[shown].all() and not agrees(points)[hidden].any()
    for share in (0.7, 1.3):
        assert not agrees(other[:3, 3] + share * (points - other[:3, 3])).any()
    assert not agrees(2 * other[:3, 3] - points).any()  # behind it
    assert not agrees(points, np.full_like(its_depth, np.nan)).any()


def test_light_that_changes_is_no_difference():
    own, others = pose(), [pose(x=0.12), pose(x=0.18), pose(x=0.25)]
    image = plane_sweep.undistort(see(own)[0], CAMERA)
    darker = [(plane_sweep.undistort(see(other, contrast=0.5)[0], CAMERA), other)
              for other in others]
    depth = plane_sweep.depth(image, own, darker, [])
    known = np.isfinite(depth)
    assert known.mean() > 0.5 and np.median(abs(depth - see(own)[1])[known]) < 0.03


def test_what_one_side_does_not_show_the_other_does():
    # The images from before show something else: as if it had been hidden.
    own = pose()
    later = [pose(x=0.12), pose(x=0.18), pose(x=0.25)]
    image = plane_sweep.undistort(see(own)[0], CAMERA)
    noise = np.random.default_rng(0).integers(0, 255, (120, 160)).astype(np.uint8)
    hidden = [(plane_sweep.undistort(noise, CAMERA), pose(x=-x)) for x in (0.12, 0.18)]
    depth = plane_sweep.depth(image, own, hidden, side(own, later, CAMERA))
    known = np.isfinite(depth)
    assert known.mean() > 0.4 and np.median(abs(depth - see(own)[1])[known]) < 0.03


def test_partners_are_those_with_the_wanted_baselines():
    T_world_others = np.array([pose(x=x) for x in (0.05, 0.11, 0.14, 0.21, 0.32, 0.5)]
                              + [pose(x=0.2, yaw=0.5)])
    assert plane_sweep.stereo_partners(pose(), T_world_others) == [1, 3, 4]


def matched(random):
    """Return the arguments of costs, of random images whose cameras are near one another."""
    image = random.uniform(0, 100, (12, 16)).astype(np.float32)
    others = random.uniform(0, 100, (5, 24, 32)).astype(np.float32)
    affine = np.diag([2.0, 2.0, 1.0]) + random.normal(scale=0.01, size=(5, 3, 3))
    shift = random.normal(scale=(8, 8, 0.3), size=(5, 3))
    inverse = np.linspace(0.1, 2, 9).astype(np.float32)
    return image, others, affine.astype(np.float32), shift.astype(np.float32), inverse


@pytest.mark.parametrize('before', [0, 2, 5])
def test_costs_are_those_of_the_reference(before):
    some = matched(generator())
    fast, slow = (module.costs(*some, before) for module in (numba_stereo, reference_stereo))
    # Rounded to another pixel where a place lies between two.
    assert (abs(fast - slow) < 1e-3).mean() > 0.99
    assert (slow < stereo.WORST).mean() > 0.3 and (np.ptp(slow, axis=-1) > 10).any()


def test_the_cost_of_the_right_plane_is_nothing():
    image = np.random.default_rng(0).uniform(0, 100, (12, 16)).astype(np.float32)
    other = np.roll(image, -3, axis=1)  # at an inverse depth of 1.5, with 2 pixels each
    costs = stereo.costs(
        image, other[None], np.eye(3, dtype=np.float32)[None],
        np.array([[-2, 0, 0]], np.float32), np.array([0.5, 1.0, 1.5], np.float32), 1)
    assert (costs[:, 3:, 2] == 0).all() and costs[:, 3:, 0].mean() > 10


@pytest.mark.parametrize('module', [numba_stereo, reference_stereo])
def test_a_plane_that_no_image_shows_costs_what_others_do(module):
    image = np.random.default_rng(0).uniform(0, 100, (12, 16)).astype(np.float32)
    # The first moves pixels by 2 in each plane; the second shows another way, nothing at all.
    affine = np.stack([np.eye(3), np.diag([1.0, 1.0, -1.0])]).astype(np.float32)
    shift = np.array([[-2, 0, 0], [0, 0, 0]], np.float32)
    inverse = np.array([0.5, 1.0, 1.5], np.float32)
    costs = module.costs(image, np.stack([image, image]), affine, shift, inverse, 1)
    np.testing.assert_array_equal(
        costs, module.costs(image, image[None], affine[:1], shift[:1], inverse, 0))
    moved = [abs(image[:, 2 - k] - image[:, 2]).clip(max=stereo.WORST) for k in (1, 2)]
    np.testing.assert_allclose(costs[:, 2, :2].T, moved)
    np.testing.assert_allclose(costs[:, 2, 2], np.mean(moved, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(costs[:, 0], 0)  # where no plane is seen, all are alike


def rough(random, planes=9):
    return (random.uniform(0, 60, (12, 16, planes)).astype(np.float32),
            random.integers(0, 256, (12, 16)).astype(np.uint8))


def test_paths_and_places_are_those_of_the_reference():
    some = rough(generator())
    fast, slow = (module.smooth(*some, 8.0, 100.0, 10.0)
                  for module in (numba_stereo, reference_stereo))
    np.testing.assert_allclose(fast, slow, rtol=1e-5)
    for one, other in zip(stereo.best(slow), stereo.best(slow)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('module', [numba_stereo, reference_stereo])
def test_paths_in_closed_form(module):
    costs, gray = rough(np.random.default_rng(1))
    # Where changes cost nothing each pixel is alone, on all four paths.
    np.testing.assert_allclose(module.smooth(costs, gray, 0.0, 0.0, 10.0), 4 * costs, rtol=1e-4)
    # Where they cost too much, a plane is summed along its row and column.
    sums = module.smooth(costs, gray, 1e6, 1e6, 1e9)
    line = costs.cumsum(0) + costs[::-1].cumsum(0)[::-1]
    line += costs.cumsum(1) + costs[:, ::-1].cumsum(1)[:, ::-1]
    assert (sums.argmin(-1) == line.argmin(-1)).all()
    np.testing.assert_allclose(
        sums - sums.min(-1, keepdims=True), line - line.min(-1, keepdims=True), atol=2e-2)


def test_an_edge_of_the_image_lets_distances_jump():
    costs = np.full((1, 16, 9), 30, np.float32)
    costs[0, :8, 2], costs[0, 9:, 7] = 0, 0  # pixel 8 tells nothing
    same, edge = np.full((2, 1, 16), 100, np.uint8)
    edge[0, 8:] = 200
    leaps = [stereo.smooth(costs, gray, 8.0, 100.0, 10.0)[0, 8] for gray in (same, edge)]
    # Between both sides, it goes with the one from which no edge parts it.
    assert leaps[1].argmin() == 7 and leaps[1][2] - leaps[1][7] > leaps[0][2] - leaps[0][7] + 50


def test_the_best_place_is_that_of_a_parabola():
    d = np.arange(9)
    costs = (1 + (d - np.array([3.3, 4.0, 5.45])[:, None]) ** 2).astype(np.float32)[None]
    for module in (numba_stereo, reference_stereo):
        place, margin = module.best(costs)
        np.testing.assert_allclose(place[0], [3.3, 4.0, 5.45], atol=1e-5)
        np.testing.assert_allclose(margin[0, 1], 9 / 10, rtol=1e-5)  # 10 at 3 away, 1 here
        place, margin = module.best(d[None, None].astype(np.float32))
        assert place[0, 0] == 0 and margin[0, 0] == 0
