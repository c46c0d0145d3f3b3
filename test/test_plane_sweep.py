"""Plane sweep: depths of a slanted plane in closed form, and the kernels against the reference."""
import dataclasses

import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.backends.cpu.kernels import stereo as cpu_stereo
from instant_nerf_ros.nerf.backends.reference import stereo as reference_stereo
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.motion import plane_sweep, stereo_image

CAMERA = Camera(160, 120, 130.0, 130.0, 79.5, 59.5)
NORMAL = np.array([0.3, -0.2, -1.0]) / np.linalg.norm([0.3, -0.2, -1.0])  # of the plane
POINT = np.array([0.0, 0.0, 2.0])  # metres, on the plane
WAVES = np.random.default_rng(1).normal(scale=12.0, size=(40, 2))  # of its texture, per metre


def pose(x=0.0, y=0.0, z=0.0, yaw=0.0):
    T = np.eye(4)
    T[:3, 3] = x, y, z
    T[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    return T


def render_plane(T_world_camera, camera=CAMERA, contrast=1.0, detail=1):
    """Return the image (H, W) uint8 of the plane and its depth (H, W) [m].

    detail: factor of the frequencies of its texture.
    """
    rays = camera.directions().astype(np.float64)
    directions = rays @ T_world_camera[:3, :3].T
    along = (POINT - T_world_camera[:3, 3]) @ NORMAL / (directions @ NORMAL)
    points = T_world_camera[:3, 3] + along[:, None] * directions
    phases = np.arange(len(WAVES))
    texture = np.sin(detail * points[:, :2] @ WAVES.T + phases).sum(-1) / np.sqrt(len(WAVES))
    size = camera.height, camera.width
    image = (127 + contrast * 60 * texture).clip(0, 255).reshape(size).astype(np.uint8)
    return image, (along * rays[:, 2]).reshape(size)


def undistorted(T_world_camera, camera=CAMERA, contrast=1.0):
    return stereo_image.undistort(render_plane(T_world_camera, camera, contrast)[0], camera)


def partners(own, poses, camera=CAMERA, contrast=1.0):
    """Return the stereo partners among views of the plane from some poses."""
    views = [(undistorted(other, camera, contrast), other) for other in poses]
    return plane_sweep.stereo_partners(own, views)


def estimate(image, own, earlier, later=()):
    return plane_sweep.depth(image, own, earlier, later, backends.select('cpu'))


def estimate_plane(own, earlier, later=(), camera=CAMERA, contrast=1.0):
    """Return the depth of the plane from views at a pose, and at poses before and after it."""
    return estimate(
        undistorted(own, camera, contrast), own, partners(own, earlier, camera, contrast),
        partners(own, later, camera, contrast))


CAMERAS = [
    CAMERA,
    Camera(160, 120, 130.0, 130.0, 79.5, 59.5, 'plumb_bob', (-0.2, 0.05, 0.001, 0.002, 0.0)),
    Camera(160, 120, 100.0, 100.0, 79.5, 59.5, 'equidistant', (0.02, -0.01, 0.0, 0.0)),
]  # fmt: skip
NAMES = ['none', 'plumb_bob', 'equidistant']


@pytest.mark.parametrize('axis', ['x', 'y', 'z'])
@pytest.mark.parametrize('sign', [-1, 1])
@pytest.mark.parametrize('camera', CAMERAS, ids=NAMES)
def test_the_depth_of_a_slanted_plane(axis, sign, camera):
    shifts = (0.12, 0.0), (0.18, 0.05), (0.25, -0.05)
    earlier, later = ([pose(**{axis: direction * shift}, yaw=turn) for shift, turn in shifts]
                      for direction in (-sign, sign))
    own = pose(yaw=0.02)
    depth = estimate_plane(own, earlier, later, camera)
    pinhole = dataclasses.replace(camera, distortion_model='none', distortion=())
    truth = render_plane(own, pinhole)[1]
    known = np.isfinite(depth)
    error = abs(depth - truth)[known]
    assert known.mean() > 0.5
    # When the camera moves forward, the center of the image has little parallax.
    assert np.median(error) < (0.05 if axis == 'z' else 0.03)
    assert (error > 0.2).mean() < 0.05


@pytest.mark.parametrize('others', [
    [],
    [pose(yaw=0.1), pose(yaw=-0.1), pose()],
    [pose(x=0.01), pose(x=0.02), pose(x=0.03)],
    [pose(x=1.6), pose(x=1.9)],
], ids=['no partner', 'only rotation', 'too near', 'too far'])  # fmt: skip
def test_without_suitable_partners_no_depth_is_known(others):
    assert np.isnan(estimate_plane(pose(), others)).all()


def test_a_plane_without_texture_has_no_depth():
    # Not even if some of the partners, or some of the depths, are outside of the images.
    others = [pose(x=0.12), pose(x=0.18), pose(x=0.25)]
    for both in ([others, []], [others, [pose(x=-x, yaw=0.3) for x in (0.1, 0.2, 0.3)]]):
        assert np.isfinite(estimate_plane(pose(), *both)).mean() > 0.5
        assert np.isnan(estimate_plane(pose(), *both, contrast=0.0)).all()


def test_depth_with_little_parallax_is_unknown():
    assert np.isfinite(estimate_plane(pose(), [pose(x=0.12)])).mean() > 0.5
    known = np.isfinite(estimate_plane(pose(), [pose(x=0.06)]))  # 130 * 0.06 / 2 pixels
    assert known.mean() < 0.01


@pytest.mark.parametrize('axis', ['x', 'z'])
def test_parallax_in_closed_form(axis):
    pixels = np.array([[[79.5, 59.5, 1.0], [144.5, 59.5, 1.0]]])  # the center, and 65 beside it
    matrix = np.array([[130, 0, 79.5], [0, 130, 59.5], [0, 0, 1.0]], np.float32)
    shifts = np.float32([0.1, 0.2]) * matrix[:, 'xyz'.index(axis), None]  # of two cameras
    parallax = plane_sweep._parallax(
        pixels, np.full((1, 2), 0.5, np.float32), np.stack([np.eye(3)] * 2), shifts.T)
    expected = {'x': [[13, 13]], 'z': [[0, 65 - 65 / 1.1]]}  # of the camera with the larger shift
    np.testing.assert_allclose(parallax, expected[axis], rtol=1e-4, atol=1e-4)


def test_a_change_of_contrast_is_compensated():
    own, others = pose(), [pose(x=0.12), pose(x=0.18), pose(x=0.25)]
    darker = [(undistorted(other, contrast=0.5), other) for other in others]
    depth = estimate(undistorted(own), own, darker)
    known = np.isfinite(depth)
    assert known.mean() > 0.5
    assert np.median(abs(depth - render_plane(own)[1])[known]) < 0.03


def test_one_side_is_enough_where_the_other_is_occluded():
    # The images from before show something else, as if the plane were occluded.
    own = pose()
    later = [pose(x=0.12), pose(x=0.18), pose(x=0.25)]
    noise = np.random.default_rng(0).integers(0, 255, (120, 160)).astype(np.uint8)
    occluded = [(stereo_image.undistort(noise, CAMERA), pose(x=-x)) for x in (0.12, 0.18)]
    depth = estimate(undistorted(own), own, occluded, partners(own, later))
    known = np.isfinite(depth)
    assert known.mean() > 0.4
    assert np.median(abs(depth - render_plane(own)[1])[known]) < 0.03


def test_partners_are_those_with_the_wanted_baselines():
    poses = [pose(x=x) for x in (0.05, 0.11, 0.14, 0.21, 0.32, 0.5)] + [pose(x=0.2, yaw=1.0)]
    views = [(None, other) for other in poses]
    assert plane_sweep.stereo_partners(pose(), views) == [views[k] for k in (1, 3, 4, 5)]


def random_views(random):
    """Return the arguments of plane_costs, for random images of cameras near each other."""
    image = random.uniform(0, 100, (12, 16)).astype(np.float32)
    others = random.uniform(0, 100, (5, 24, 32)).astype(np.float32)
    affine = np.diag([2.0, 2.0, 1.0]) + random.normal(scale=0.01, size=(5, 3, 3))
    shift = random.normal(scale=(8, 8, 0.3), size=(5, 3))
    inverse_depths = np.linspace(0.1, 2, 9).astype(np.float32)
    return image, others, affine.astype(np.float32), shift.astype(np.float32), inverse_depths


@pytest.mark.parametrize('before', [0, 2, 5])
def test_costs_are_those_of_the_reference(before):
    views = random_views(generator())
    fast, slow = (
        module.plane_costs(*views, before) for module in (cpu_stereo, reference_stereo))
    # A position between two pixels may be rounded to either.
    assert (abs(fast - slow) < 1e-3).mean() > 0.99
    assert (slow < reference_stereo.MAX_COST).mean() > 0.3
    assert (np.ptp(slow, axis=-1) > 10).any()


def test_the_cost_of_the_right_plane_is_zero():
    image = np.random.default_rng(0).uniform(0, 100, (12, 16)).astype(np.float32)
    other = np.roll(image, -3, axis=1)  # a shift of 2 pixels times an inverse depth of 1.5
    costs = cpu_stereo.plane_costs(
        image, other[None], np.eye(3, dtype=np.float32)[None],
        np.array([[-2, 0, 0]], np.float32), np.array([0.5, 1.0, 1.5], np.float32), 1)
    assert (costs[:, 3:, 2] == 0).all() and costs[:, 3:, 0].mean() > 10


@pytest.mark.parametrize('module', [cpu_stereo, reference_stereo])
def test_a_plane_that_is_in_no_image_costs_the_mean_of_the_others(module):
    image = np.random.default_rng(0).uniform(0, 100, (12, 16)).astype(np.float32)
    # The first camera shifts pixels by 2 in each plane; the second one faces backwards.
    affine = np.stack([np.eye(3), np.diag([1.0, 1.0, -1.0])]).astype(np.float32)
    shift = np.array([[-2, 0, 0], [0, 0, 0]], np.float32)
    inverse_depths = np.array([0.5, 1.0, 1.5], np.float32)
    costs = module.plane_costs(image, np.stack([image, image]), affine, shift, inverse_depths, 1)
    np.testing.assert_array_equal(costs, module.plane_costs(
        image, image[None], affine[:1], shift[:1], inverse_depths, 0))
    shifted = [abs(image[:, 2 - k] - image[:, 2]).clip(max=reference_stereo.MAX_COST)
               for k in (1, 2)]
    np.testing.assert_allclose(costs[:, 2, :2].T, shifted)
    np.testing.assert_allclose(costs[:, 2, 2], np.mean(shifted, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(costs[:, 0], 0)  # if no plane is visible, all cost the same


def random_costs(random, planes=9):
    return (random.uniform(0, 60, (12, 16, planes)).astype(np.float32),
            random.integers(0, 256, (12, 16)).astype(np.uint8))


def test_smooth_costs_and_best_planes_are_those_of_the_reference():
    costs = random_costs(generator())
    fast, slow = (module.smooth_costs(*costs, 8.0, 100.0, 10.0)
                  for module in (cpu_stereo, reference_stereo))
    np.testing.assert_allclose(fast, slow, rtol=1e-5)
    for actual, expected in zip(cpu_stereo.best_planes(slow), reference_stereo.best_planes(slow)):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('module', [cpu_stereo, reference_stereo])
def test_smooth_costs_in_closed_form(module):
    costs, gray = random_costs(np.random.default_rng(1))
    # Without penalties the pixels are independent, on all four paths.
    np.testing.assert_allclose(
        module.smooth_costs(costs, gray, 0.0, 0.0, 10.0), 4 * costs, rtol=1e-4)
    # With very large penalties, the costs of a plane are summed along its row and column.
    sums = module.smooth_costs(costs, gray, 1e6, 1e6, 1e9)
    expected = costs.cumsum(0) + costs[::-1].cumsum(0)[::-1]
    expected += costs.cumsum(1) + costs[:, ::-1].cumsum(1)[:, ::-1]
    assert (sums.argmin(-1) == expected.argmin(-1)).all()
    np.testing.assert_allclose(
        sums - sums.min(-1, keepdims=True), expected - expected.min(-1, keepdims=True), atol=2e-2)


def test_depth_may_jump_at_an_edge_of_the_image():
    costs = np.full((1, 16, 9), 30, np.float32)
    costs[0, :8, 2], costs[0, 9:, 7] = 0, 0  # pixel 8 is ambiguous
    uniform, edge = np.full((2, 1, 16), 100, np.uint8)
    edge[0, 8:] = 200
    smoothed = [cpu_stereo.smooth_costs(costs, gray, 8.0, 100.0, 10.0)[0, 8]
                for gray in (uniform, edge)]
    # It takes the plane of the side from which no edge separates it.
    assert smoothed[1].argmin() == 7
    assert smoothed[1][2] - smoothed[1][7] > smoothed[0][2] - smoothed[0][7] + 50


def test_the_best_plane_is_the_minimum_of_a_parabola():
    d = np.arange(9)
    costs = (1 + (d - np.array([3.3, 4.0, 5.45])[:, None]) ** 2).astype(np.float32)[None]
    for module in (cpu_stereo, reference_stereo):
        plane, margin = module.best_planes(costs)
        np.testing.assert_allclose(plane[0], [3.3, 4.0, 5.45], atol=1e-5)
        np.testing.assert_allclose(margin[0, 1], 9 / 10, rtol=1e-5)  # 10 at a distance of 3
        plane, margin = module.best_planes(d[None, None].astype(np.float32))
        assert plane[0, 0] == 0 and margin[0, 0] == 0


@pytest.mark.parametrize('distortion', [
    (-0.05, 0.0, 0.0, 0.0, 0.0), (0.1, -0.05, 0.001, -0.001, 0.0), (-0.3, 0.1, 0.0, 0.0, 0.0)])
def test_the_sources_of_a_lens_that_only_grows_are_those_of_the_camera(distortion):
    camera = Camera(160, 120, 130.0, 130.0, 79.5, 59.5, 'plumb_bob', distortion)
    columns, rows = stereo_image._sources(camera)
    row, column = np.mgrid[:120, :160]
    pixels = np.stack([column, row, np.ones_like(row)], axis=-1).reshape(-1, 3)
    expected = camera.project(pixels @ np.linalg.inv(camera.matrix()).T).reshape(120, 160, 2)
    known = np.isfinite(expected).all(-1)
    assert known.mean() > 0.9
    np.testing.assert_allclose(columns[known], expected[known][:, 0], atol=1e-3)
    np.testing.assert_allclose(rows[known], expected[known][:, 1], atol=1e-3)
