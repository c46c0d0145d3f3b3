"""Motion stereo: distances of a slanted plane, from images in closed form."""
import numpy as np
import pytest

from instant_nerf_ros.nerf import motion_stereo
from instant_nerf_ros.nerf.camera import Camera

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


def estimate(own, others, camera=CAMERA, **how):
    T_world_others = np.array(others)
    chosen = motion_stereo.partners(own, T_world_others)
    seen = [(see(others[k], camera, **how)[0], others[k]) for k in chosen]
    return motion_stereo.depth(see(own, camera, **how)[0], camera, own, seen)


@pytest.mark.parametrize('axis', ['x', 'y'])
@pytest.mark.parametrize('sign', [-1, 1])
@pytest.mark.parametrize('camera', [
    CAMERA,
    Camera(160, 120, 130.0, 130.0, 79.5, 59.5, 'plumb_bob', (-0.2, 0.05, 0.001, 0.002, 0.0)),
    Camera(160, 120, 100.0, 100.0, 79.5, 59.5, 'equidistant', (0.02, -0.01, 0.0, 0.0)),
], ids=['plain', 'plumb_bob', 'equidistant'])  # fmt: skip
def test_a_slanted_plane_is_where_it_is(axis, sign, camera):
    others = [pose(**{axis: sign * shift}, yaw=turn) for shift, turn in (
        (0.12, 0.0), (0.18, 0.05), (0.25, -0.05))]
    own = pose(yaw=0.02)
    depth, truth = estimate(own, others, camera), see(own, camera)[1]
    known = np.isfinite(depth)
    error = abs(depth - truth)[known]
    assert known.mean() > 0.5
    assert np.median(error) < 0.03 and np.percentile(error, 95) < 0.2


@pytest.mark.parametrize('others', [
    [pose(yaw=0.1), pose(yaw=-0.1), pose()],  # the camera turns
    [pose(x=0.01), pose(x=0.02), pose(x=0.03)],  # too little
    [pose(z=-0.1), pose(z=-0.2), pose(z=-0.3)],  # straight ahead: the epipole is in the image
    [pose(x=0.2)],  # nobody agrees
    [pose(x=1.2), pose(x=1.5)],  # too far
], ids=['turning', 'standing', 'ahead', 'one', 'far'])  # fmt: skip
def test_where_nothing_can_be_told_nothing_is(others):
    assert np.isnan(estimate(pose(), others)).all()


def test_a_bare_plane_has_no_depth():
    others = [pose(x=0.12), pose(x=0.18), pose(x=0.25)]
    assert np.isfinite(estimate(pose(), others)).mean() > 0.5
    assert np.isnan(estimate(pose(), others, contrast=0.0)).all()


def test_others_that_disagree_are_not_believed():
    own, others = pose(), [pose(x=0.12), pose(x=0.18)]
    image = see(own)[0]
    lies = [pose(x=0.12), pose(x=0.24)]  # the second is not where it says
    seen = [(see(true)[0], told) for true, told in zip(others, lies)]
    depth = motion_stereo.depth(image, CAMERA, own, seen)
    assert np.isfinite(depth).mean() < 0.02


def test_partners_are_those_with_the_wanted_baselines():
    T_world_others = np.array([pose(x=x) for x in (0.05, 0.1, 0.13, 0.18, 0.2, 0.26)]
                              + [pose(x=0.18, yaw=0.5), pose(x=0.1, z=0.2)])
    assert motion_stereo.partners(pose(), T_world_others) == [2, 3, 5]
