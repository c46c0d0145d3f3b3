"""Depth alignment: noisy poses of images with depth become better, exact ones stay."""
import numpy as np
import pytest
from randomness import generator
from scenes import HIGH, LOW, paint, poses, view
from scipy.spatial.transform import Rotation
from test_mapper import TINY

from instant_nerf_ros.nerf import Mapper, replace
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.motion import epipolar
from instant_nerf_ros.nerf.motion.depth_alignment import DepthAlignment
from instant_nerf_ros.nerf.motion.depth_registration import Registration, register
from instant_nerf_ros.nerf.motion.depth_surface import (
    BLUR,
    GRAY_OFFSET,
    GRAY_SCALE,
    DepthSurface,
)
from instant_nerf_ros.nerf.motion.pose_graph import adjoints, motions, optimized
from instant_nerf_ros.nerf.motion.pose_noise import PoseNoise

CAMERA = Camera(160, 120, 120.0, 120.0, 79.5, 59.5)
ROUND = np.array(poses(96)[:40])
NO_DRIFT = np.zeros(6)
SIGMAS = np.repeat([np.radians(1.0) / np.sqrt(3), 0.02], 3)


def surface_at(T_world_camera, camera=CAMERA):
    """Return the surface of the test room."""
    image, depth = view(camera, T_world_camera)
    return DepthSurface.of(image, depth, camera)


def noisy(T_world_cameras, random, sigmas=SIGMAS):
    """Return poses with independent errors."""
    return np.array([
        epipolar.apply_motion(T, sigmas * random.normal(size=6)) for T in T_world_cameras])


def errors(found, true):
    """Return root mean squared errors [degree, m] of poses (N, 4, 4) up to a common motion."""
    differences = found @ np.linalg.inv(true)
    mean = np.eye(4)
    mean[:3, :3] = Rotation.from_matrix(differences[:, :3, :3]).mean().as_matrix()
    mean[:3, 3] = (found[:, :3, 3] - true[:, :3, 3] @ mean[:3, :3].T).mean(0)
    off = np.array([epipolar.motion_of(T) for T in np.linalg.inv(mean @ true) @ found])
    squares = (off.reshape(-1, 2, 3) ** 2).sum(-1).mean(0)
    return np.degrees(np.sqrt(squares[0])), np.sqrt(squares[1])


def test_points_and_normals_are_those_of_the_walls():
    surface, T = surface_at(ROUND[0]), ROUND[0]
    points = surface.points @ T[:3, :3].T + T[:3, 3]
    normals = surface.normals @ T[:3, :3].T
    gaps = np.minimum(abs(points - LOW), abs(points - HIGH))
    on_wall = surface.known & (gaps.min(-1) < 0.01)
    assert on_wall.sum() > 0.6 * surface.known.sum() > 500
    walls = gaps[on_wall].argmin(-1)
    facing = abs(np.take_along_axis(normals[on_wall], walls[:, None], 1)[:, 0])
    assert np.median(facing) > 0.999


def test_the_gradient_predicts_gray_levels_along_the_surface():
    surface, T = surface_at(ROUND[0]), ROUND[0]
    cells = np.flatnonzero(surface.known)
    random = generator()
    step = random.normal(size=(len(cells), 3)) * 0.01
    normals = surface.normals[cells]
    step -= (step * normals).sum(-1, keepdims=True) * normals

    def gray(points):
        """Return the logarithmic levels of a paint at points in the camera."""
        colors = paint(points @ T[:3, :3].T + T[:3, 3]) * 255
        return GRAY_SCALE * np.log(colors @ (0.299, 0.587, 0.114) + GRAY_OFFSET)

    expected = gray(surface.points[cells] + step) - gray(surface.points[cells])
    found = (surface.gradients[cells] * step).sum(-1)
    assert BLUR < 1  # else the gradient is that of another image
    off, change = (np.quantile(abs(each), 0.9) for each in (expected - found, expected))
    assert off < 0.15 * change  # beside an edge of the paint, it is that of both sides


def test_a_registration_finds_the_motion_between_two_images():
    random = generator()
    source, target = surface_at(ROUND[3]), surface_at(ROUND[2])
    true = np.linalg.inv(ROUND[2]) @ ROUND[3]
    T = epipolar.apply_motion(true, SIGMAS * random.normal(size=6))
    for gate in (0.3, 0.1, 0.05, 0.05):
        T = register(source, target, T, gate).best(np.full(6, 1.0))
    off = epipolar.motion_of(np.linalg.inv(true) @ T)
    assert np.degrees(np.linalg.norm(off[:3])) < 0.15 and np.linalg.norm(off[3:]) < 0.006


def test_images_of_other_places_are_not_registered():
    behind = ROUND[0].copy()
    behind[:3, :3] = behind[:3, :3] @ np.diag([-1.0, 1.0, -1.0])
    assert register(
        surface_at(behind), surface_at(ROUND[0]), np.linalg.inv(ROUND[0]) @ behind, 0.3) is None


def test_motions_and_adjoints_are_those_of_matrices():
    random = generator()
    small = 1e-4 * random.normal(size=(5, 6))
    T = noisy(ROUND[:5], random)
    moved = np.array([epipolar.apply_motion(np.eye(4), motion) for motion in small])
    np.testing.assert_allclose(motions(moved), small, atol=1e-11)
    np.testing.assert_allclose(
        motions(T @ moved @ np.linalg.inv(T)), np.einsum('nij,nj->ni', adjoints(T), small),
        atol=1e-6)


def test_a_graph_weighs_priors_and_registrations_by_their_variances():
    """Of two given positions and one difference, the solution is that of three equations."""
    given = np.tile(np.eye(4), (2, 1, 1))
    given[1, 0, 3] = 1.0
    measured, sigma, sigma_between = 1.06, 0.02, 0.01
    edge = np.eye(4)
    edge[0, 3] = measured
    registration = Registration(edge, np.eye(6) / sigma_between**2, np.zeros(6))
    found = optimized(given, given, np.full(6, sigma), NO_DRIFT, [(0, 1, registration)], 0)
    gain = 2 * sigma**2 / (2 * sigma**2 + sigma_between**2)
    np.testing.assert_allclose(found[1, 0, 3] - found[0, 0, 3], 1 + 0.06 * gain, atol=1e-9)
    np.testing.assert_allclose(found[:, 0, 3].sum(), 1.0, atol=1e-9)
    fixed = optimized(given, given, np.full(6, sigma), NO_DRIFT, [(0, 1, registration)], 1)
    np.testing.assert_array_equal(fixed[0], given[0])
    gain = sigma**2 / (sigma**2 + sigma_between**2)
    np.testing.assert_allclose(fixed[1, 0, 3], 1 + 0.06 * gain, atol=1e-9)


def test_a_registration_is_as_certain_as_the_given_poses_drift_little():
    """A drift adds to the variance of a registration, by the square of the images between."""
    given = np.tile(np.eye(4), (4, 1, 1))
    edge = np.eye(4)
    edge[0, 3] = 0.06
    sigma, sigma_between, drift = 0.02, 0.01, 0.005
    for gap in (1, 3):
        registration = Registration(edge, np.eye(6) / sigma_between**2, np.zeros(6))
        found = optimized(
            given, given, np.full(6, sigma), np.full(6, drift), [(0, gap, registration)], 0)
        gain = 2 * sigma**2 / (2 * sigma**2 + sigma_between**2 + (gap * drift) ** 2)
        np.testing.assert_allclose(found[gap, 0, 3] - found[0, 0, 3], 0.06 * gain, atol=1e-9)


def test_a_drift_is_found_in_corrections_that_are_alike():
    noise, independent = PoseNoise(), generator().normal(size=(31, 6))
    least = noise.drift
    for _ in range(20):
        noise.adapt(np.cumsum(independent, axis=0))
    assert noise.drift > 3 * least
    for _ in range(40):
        noise.adapt(np.diff(independent, axis=0))
    assert noise.drift == pytest.approx(least)


def test_the_noise_of_poses_is_measured():
    random, noise = generator(), PoseNoise()
    given = noisy(np.tile(np.eye(4), (200, 1, 1)), random)
    for before, after in zip(given, given[1:]):
        noise.add(np.linalg.inv(before) @ after)
    # A registration's own variance is taken off: the estimate is a little less.
    np.testing.assert_allclose(noise.sigmas(), SIGMAS, rtol=0.4)


def test_noisy_poses_become_better_before_and_after_the_next_images():
    random, alignment = generator(), DepthAlignment(enabled=True)
    given = noisy(ROUND, random)
    corrected, first = dict(enumerate(given)), []
    for k, (true, pose) in enumerate(zip(ROUND, given)):
        corrected |= alignment.add(surface_at(true), pose, k)
        first.append(corrected[k])
    before = errors(given, ROUND)
    at_once = errors(np.array(first)[10:], ROUND[10:])
    later = errors(np.array([corrected[k] for k in range(len(ROUND))]), ROUND)
    assert np.less(at_once, np.multiply(0.6, before)).all()
    assert np.less(later, np.multiply(0.5, before)).all()
    assert alignment.correction == pytest.approx((before[1], before[0]), rel=0.5)


def test_exact_poses_stay():
    alignment = DepthAlignment(enabled=True)
    for k, pose in enumerate(ROUND):
        assert not alignment.add(surface_at(pose), pose, k)
    assert alignment.correction == (0.0, 0.0)


def test_where_the_given_poses_jump_they_are_followed():
    random, alignment = generator(), DepthAlignment(enabled=True)
    jump = np.eye(4)
    jump[0, 3] = 0.25
    given = noisy(ROUND, random)
    given[25:] = jump @ given[25:]
    corrected = dict(enumerate(given))
    for k, (true, pose) in enumerate(zip(ROUND, given)):
        corrected |= alignment.add(surface_at(true), pose, k)
    moved = [epipolar.motion_of(np.linalg.inv(given[k]) @ corrected[k]) for k in corrected]
    assert (np.abs(moved) < 5 * SIGMAS).all()


@pytest.mark.parametrize('enabled', [True, False])
def test_a_mapper_keeps_the_corrected_poses(enabled):
    random = generator()
    mapper = Mapper(replace(TINY, {
        'motion.align_depth': enabled, 'keyframes.min_translation': 0.0}))
    given = noisy(ROUND, random)
    for true, pose in zip(ROUND, given):
        image, depth = view(CAMERA, true)
        mapper.add(image, CAMERA, pose, depth)
    before, after = errors(given, ROUND), errors(mapper.keyframe_poses(), ROUND)
    if enabled:
        assert np.less(after, np.multiply(0.5, before)).all()
    else:
        np.testing.assert_array_equal(mapper.keyframe_poses(), given)
