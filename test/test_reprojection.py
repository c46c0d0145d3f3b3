"""Reprojection: points in closed form, derivatives, and what is left when they are eliminated."""
import numpy as np
import pytest
from test_alignment import on_plane, random_pose

from instant_nerf_ros.nerf.motion import epipolar, reprojection

COUNT = 20


class Scene:
    """Points that an anchor and another camera see."""

    def __init__(self, seed):
        random = np.random.default_rng(seed)
        self.T_world_anchor, self.T_world_camera = (random_pose(random, 0.1, 0.3) for _ in 'ab')
        points = random.uniform([-1, -1, 2], [1, 1, 4], size=(COUNT, 3))
        self.starts, self.inverse = on_plane(points), 1 / points[:, 2]
        self.focal = random.uniform(100, 300, size=(COUNT, 1))
        self.places = self.seen(np.zeros(13))

    def T_camera_anchor(self, motion):
        """Return (N, 4, 4), all the same: after anchor and camera moved."""
        one = (np.linalg.inv(epipolar.moved(self.T_world_camera, motion[6:12]))
               @ epipolar.moved(self.T_world_anchor, motion[:6]))
        return np.repeat(one[None], COUNT, axis=0)

    def seen(self, motion):
        """Return the places (N, 3) of points: after anchor, camera and inverse depths moved."""
        T = self.T_camera_anchor(motion)[0]
        points = self.starts / (self.inverse + motion[12])[:, None]
        return on_plane(points @ T[:3, :3].T + T[:3, 3])


@pytest.mark.parametrize('axis', range(13))
def test_errors_are_pixels_between_places(axis):
    scene = Scene(axis)
    motion = 0.05 * np.eye(13)[axis]
    errors = reprojection.errors(
        scene.T_camera_anchor(motion), scene.starts, scene.focal, scene.inverse + motion[12],
        scene.places)
    wanted = scene.focal * (scene.seen(motion) - scene.places)[:, :2]
    np.testing.assert_allclose(errors, wanted, atol=1e-9)
    assert abs(wanted).max() > 1


@pytest.mark.parametrize('axis', range(13))
def test_slopes_are_those_of_poses_and_points_that_move(axis):
    scene = Scene(axis)

    def errors(amount):
        return scene.focal * scene.seen(amount * np.eye(13)[axis])[:, :2]

    by_anchor, by_camera, by_depth = reprojection.jacobians(
        scene.T_camera_anchor(np.zeros(13)), scene.starts, scene.focal, scene.inverse)
    jacobians = np.concatenate([by_anchor, by_camera, by_depth[..., None]], axis=-1)[..., axis]
    np.testing.assert_allclose(jacobians, (errors(1e-5) - errors(-1e-5)) / 2e-5, atol=1e-4)


def test_inverse_depths_are_those_of_the_points():
    # Two cameras see each point, whose tracks are mixed.
    one, other = Scene(0), Scene(1)
    other.starts, other.inverse = one.starts, one.inverse
    other.T_world_anchor = one.T_world_anchor
    tracks = np.tile(np.random.default_rng(2).permutation(COUNT), 2)
    T = np.concatenate([scene.T_camera_anchor(np.zeros(13)) for scene in (one, other)])
    starts, focal = np.tile(one.starts, (2, 1)), np.concatenate([one.focal, other.focal])
    places = np.concatenate([scene.seen(np.zeros(13)) for scene in (one, other)])
    inverse, parallax = reprojection.inverse_depths(T, starts, focal, places, tracks)
    np.testing.assert_allclose(inverse[tracks], np.tile(one.inverse, 2))
    # Nothing is off but the inverse depth, so at infinity all is off by the parallax; what is
    # measured on the plane of the anchor is that in the image times the depth there.
    far = on_plane((T[:, :3, :3] @ starts[..., None])[..., 0])
    depths = (T[:, :3, :3] @ starts[..., None])[:, 2]
    off = (focal * depths * (far - places)[:, :2]) ** 2
    np.testing.assert_allclose(parallax**2, np.bincount(tracks, off.sum(-1)))


def test_the_nearest_inverse_depth_is_in_the_middle():
    # To the side, two cameras want another inverse depth; the one with twice the focal length
    # counts four times.
    T = np.repeat(np.eye(4)[None], 2, axis=0)
    T[:, 0, 3] = 1.0
    places = np.array([[0.5, 0, 1], [1.0, 0, 1]])
    inverse, _ = reprojection.inverse_depths(
        T, np.array([[0, 0, 1.0]] * 2), np.array([[100], [200]]), places, np.zeros(2, int))
    np.testing.assert_allclose(inverse, [0.9])


def test_a_camera_that_turns_tells_no_inverse_depth():
    T = random_pose(np.random.default_rng(0), 0.1, 0)[None]
    start = np.array([[0.1, 0.2, 1.0]])
    inverse, parallax = reprojection.inverse_depths(
        T, start, np.array([[100.0]]), start, np.zeros(1, int))
    assert inverse == 0 and parallax == 0


def test_a_point_behind_the_camera_stays_a_number():
    T = epipolar.moved(np.eye(4), np.array([0, np.pi, 0, 0, 0, 0]))[None]
    start, focal = np.array([[0.1, 0.2, 1.0]]), np.array([[100.0]])
    assert np.isfinite(reprojection.errors(T, start, focal, np.ones(1), start)).all()
    assert all(np.isfinite(part).all()
               for part in reprojection.jacobians(T, start, focal, np.ones(1)))


def system(random):
    """Return the arguments of eliminated: 12 tracks of 6 images, that begin in different ones."""
    shown = [np.flatnonzero(random.random(6) < 0.6) for _ in range(12)]
    shown = [images if len(images) > 1 else np.array([1, 4]) for images in shown]
    tracks = np.repeat(np.arange(12), [len(images) - 1 for images in shown])
    anchors = np.array([images[0] for images in shown])[tracks]
    cameras = np.concatenate([images[1:] for images in shown])
    count = len(tracks)
    jacobians = [random.normal(size=(count, 2, *rest)) for rest in ((6,), (6,), (), ())]
    return *jacobians, anchors, cameras, tracks, 6


@pytest.mark.parametrize('first', [0, 2])
def test_what_is_eliminated_is_that_of_the_whole_system(first):
    *jacobians, anchors, cameras, tracks, poses = system(np.random.default_rng(0))
    by_anchor, by_camera, by_depth, errors = jacobians
    whole = np.zeros((len(tracks), 2, 6 * poses + 12))
    for k in range(len(tracks)):
        whole[k, :, 6 * anchors[k]:][:, :6] = by_anchor[k]
        whole[k, :, 6 * cameras[k]:][:, :6] = by_camera[k]
        whole[k, :, 6 * poses + tracks[k]] = by_depth[k]
    whole = whole.reshape(-1, 6 * poses + 12)[:, 6 * first:]
    free = 6 * (poses - first)
    prior = np.diag(np.arange(len(whole.T)) < free)  # of the poses alone
    wanted = np.linalg.solve(whole.T @ whole + prior, whole.T @ errors.ravel())[:free]
    normal, gradient = reprojection.schur_complement(*jacobians, anchors, cameras, tracks, poses, first)
    found = np.linalg.solve(normal.reshape(free, free) + np.eye(free), gradient.ravel())
    np.testing.assert_allclose(found, wanted)


def test_a_point_without_weight_says_nothing():
    *jacobians, anchors, cameras, tracks, poses = system(np.random.default_rng(1))
    last = tracks == 11
    for part in jacobians:
        part[last] = 0
    rest = [part[~last] for part in (*jacobians, anchors, cameras, tracks)]
    both = reprojection.schur_complement(*jacobians, anchors, cameras, tracks, poses, 0)
    for one, other in zip(both, reprojection.schur_complement(*rest, poses, 0)):
        np.testing.assert_allclose(one, other, atol=1e-12)
