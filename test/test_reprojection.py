"""Reprojection: points in closed form, numerical derivatives, and the full normal equations."""
import numpy as np
import pytest
from test_alignment import normalize, random_pose

from instant_nerf_ros.nerf.motion import epipolar, reprojection

COUNT = 20
SHARED = 2  # parameters of all cameras


class Scene:
    """Points in the images of an anchor and of another camera."""

    def __init__(self, seed):
        random = np.random.default_rng(seed)
        self.T_world_anchor, self.T_world_camera = (random_pose(random, 0.1, 0.3) for _ in 'ab')
        points = random.uniform([-1, -1, 2], [1, 1, 4], size=(COUNT, 3))
        self.anchor_keypoints, self.inverse_depths = normalize(points), 1 / points[:, 2]
        self.focal = random.uniform(100, 300, size=(COUNT, 1))
        self.keypoints = self.project(np.zeros(13))

    def T_camera_anchor(self, motion):
        """Return (N, 4, 4), N times the same, after motions of anchor (6,) and camera (6,)."""
        T = (np.linalg.inv(epipolar.apply_motion(self.T_world_camera, motion[6:12]))
             @ epipolar.apply_motion(self.T_world_anchor, motion[:6]))
        return np.repeat(T[None], COUNT, axis=0)

    def project(self, motion):
        """Return keypoints (N, 3) after motions of anchor, camera and inverse depths (13,)."""
        T = self.T_camera_anchor(motion)[0]
        points = self.anchor_keypoints / (self.inverse_depths + motion[12])[:, None]
        return normalize(points @ T[:3, :3].T + T[:3, 3])


@pytest.mark.parametrize('axis', range(13))
def test_residuals_are_distances_in_pixels(axis):
    scene = Scene(axis)
    motion = 0.05 * np.eye(13)[axis]
    residuals = reprojection.residuals(
        scene.T_camera_anchor(motion), scene.anchor_keypoints, scene.focal,
        scene.inverse_depths + motion[12], scene.keypoints)
    expected = scene.focal * (scene.project(motion) - scene.keypoints)[:, :2]
    np.testing.assert_allclose(residuals, expected, atol=1e-9)
    assert abs(expected).max() > 1


@pytest.mark.parametrize('axis', range(13))
def test_jacobians_are_numerical_derivatives(axis):
    scene = Scene(axis)

    def pixels(amount):
        return scene.focal * scene.project(amount * np.eye(13)[axis])[:, :2]

    J_anchor, J_camera, J_depth, _ = reprojection.jacobians(
        scene.T_camera_anchor(np.zeros(13)), scene.anchor_keypoints, scene.focal,
        scene.inverse_depths)
    J = np.concatenate([J_anchor, J_camera, J_depth[..., None]], axis=-1)[..., axis]
    np.testing.assert_allclose(J, (pixels(1e-5) - pixels(-1e-5)) / 2e-5, atol=1e-4)


@pytest.mark.parametrize('axis', range(3))
def test_jacobians_of_keypoints_are_numerical_derivatives(axis):
    scene = Scene(axis)
    arguments = scene.T_camera_anchor(np.zeros(13)), scene.focal, scene.inverse_depths

    def pixels(amount):
        T, focal, inverse_depths = arguments
        return reprojection.residuals(
            T, scene.anchor_keypoints + amount * np.eye(3)[axis], focal, inverse_depths,
            scene.keypoints)

    *_, J = reprojection.jacobians(
        arguments[0], scene.anchor_keypoints, *arguments[1:])
    np.testing.assert_allclose(
        J[..., axis], (pixels(1e-5) - pixels(-1e-5)) / 2e-5, atol=1e-4)


def test_inverse_depths_are_those_of_the_points():
    # Two cameras observe each point, and the tracks are not sorted.
    one, other = Scene(0), Scene(1)
    other.anchor_keypoints, other.inverse_depths = one.anchor_keypoints, one.inverse_depths
    other.T_world_anchor = one.T_world_anchor
    tracks = np.tile(np.random.default_rng(2).permutation(COUNT), 2)
    T = np.concatenate([scene.T_camera_anchor(np.zeros(13)) for scene in (one, other)])
    anchor_keypoints = np.tile(one.anchor_keypoints, (2, 1))
    focal = np.concatenate([one.focal, other.focal])
    keypoints = np.concatenate([scene.project(np.zeros(13)) for scene in (one, other)])
    inverse, parallax = reprojection.inverse_depths(T, anchor_keypoints, focal, keypoints, tracks)
    np.testing.assert_allclose(inverse[tracks], np.tile(one.inverse_depths, 2))
    # Only the inverse depth is wrong, so that the residual at infinity is the parallax. The
    # residual of the linear equations is that in the image, times the depth of the point.
    at_infinity = (T[:, :3, :3] @ anchor_keypoints[..., None])[..., 0]
    residuals = focal * at_infinity[:, 2:] * (normalize(at_infinity) - keypoints)[:, :2]
    np.testing.assert_allclose(parallax**2, np.bincount(tracks, (residuals**2).sum(-1)))


def test_the_inverse_depth_is_a_weighted_mean():
    # Two cameras at the side give different inverse depths; the one with twice the focal length
    # has four times the weight.
    T = np.repeat(np.eye(4)[None], 2, axis=0)
    T[:, 0, 3] = 1.0
    keypoints = np.array([[0.5, 0, 1], [1.0, 0, 1]])
    inverse, _ = reprojection.inverse_depths(
        T, np.array([[0, 0, 1.0]] * 2), np.array([[100], [200]]), keypoints, np.zeros(2, int))
    np.testing.assert_allclose(inverse, [0.9])


def test_a_rotation_gives_no_inverse_depth():
    T = random_pose(np.random.default_rng(0), 0.1, 0)[None]
    keypoint = np.array([[0.1, 0.2, 1.0]])
    inverse, parallax = reprojection.inverse_depths(
        T, keypoint, np.array([[100.0]]), keypoint, np.zeros(1, int))
    assert inverse == 0 and parallax == 0


def test_residuals_of_a_point_behind_the_camera_are_finite():
    T = epipolar.apply_motion(np.eye(4), np.array([0, np.pi, 0, 0, 0, 0]))[None]
    keypoint, focal = np.array([[0.1, 0.2, 1.0]]), np.array([[100.0]])
    assert np.isfinite(reprojection.residuals(T, keypoint, focal, np.ones(1), keypoint)).all()
    assert all(np.isfinite(part).all()
               for part in reprojection.jacobians(T, keypoint, focal, np.ones(1)))


def observations(random):
    """Return the arguments of schur_complement: 12 tracks in 6 images, with several anchors."""
    images = [np.flatnonzero(random.random(6) < 0.6) for _ in range(12)]
    images = [chosen if len(chosen) > 1 else np.array([1, 4]) for chosen in images]
    tracks = np.repeat(np.arange(12), [len(chosen) - 1 for chosen in images])
    anchors = np.array([chosen[0] for chosen in images])[tracks]
    cameras = np.concatenate([chosen[1:] for chosen in images])
    count = len(tracks)
    values = [random.normal(size=(count, 2, *shape)) for shape in ((6,), (6,), (SHARED,), (), ())]
    return *values, anchors, cameras, tracks, 6


@pytest.mark.parametrize('first_free', [0, 2])
def test_the_reduced_equations_have_the_solution_of_all_equations(first_free):
    *values, anchors, cameras, tracks, poses = observations(np.random.default_rng(0))
    J_anchor, J_camera, J_shared, J_depth, residuals = values
    first_depth = 6 * poses + SHARED
    J = np.zeros((len(tracks), 2, first_depth + 12))
    J[:, :, 6 * poses:][:, :, :SHARED] = J_shared
    for k in range(len(tracks)):
        J[k, :, 6 * anchors[k]:][:, :6] = J_anchor[k]
        J[k, :, 6 * cameras[k]:][:, :6] = J_camera[k]
        J[k, :, first_depth + tracks[k]] = J_depth[k]
    J = J.reshape(-1, first_depth + 12)[:, 6 * first_free:]
    free = first_depth - 6 * first_free
    prior = np.diag(np.arange(len(J.T)) < free)  # of all but the depths
    expected = np.linalg.solve(J.T @ J + prior, J.T @ residuals.ravel())[:free]
    hessian, gradient = reprojection.schur_complement(
        *values, anchors, cameras, tracks, poses, first_free)
    actual = np.linalg.solve(hessian + np.eye(free), gradient)
    np.testing.assert_allclose(actual, expected)


def test_a_point_with_zero_weight_has_no_effect():
    *values, anchors, cameras, tracks, poses = observations(np.random.default_rng(1))
    last = tracks == 11
    for part in values:
        part[last] = 0
    others = [part[~last] for part in (*values, anchors, cameras, tracks)]
    for actual, expected in zip(
            reprojection.schur_complement(*values, anchors, cameras, tracks, poses, 0),
            reprojection.schur_complement(*others, poses, 0)):
        np.testing.assert_allclose(actual, expected, atol=1e-12)
