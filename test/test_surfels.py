"""Surfels, meshes and Gaussians of a scene in closed form lie on its surfaces and look like it."""
import dataclasses

import numpy as np
import pytest
from rasterizing import rasterize, splat
from scenes import BALL, CAMERA, HIGH, LOW, RADIUS, paint, poses, view

from instant_nerf_ros.nerf import Camera
from instant_nerf_ros.scenes.exports.fusion import fuse
from instant_nerf_ros.scenes.exports.gaussians import FLATNESS, from_surfels
from instant_nerf_ros.scenes.exports.rendered_views import RenderedView
from instant_nerf_ros.scenes.exports.surfels import surfels

UTM = np.array([4.5e5, 5.2e6, 300.0])  # metres, where float32 has steps of half a metre


def rendered(pose, offset=0.0):
    image, depth = view(CAMERA, pose)
    moved = pose.copy()
    moved[:3, 3] += offset
    return RenderedView(CAMERA, moved, image, depth, np.ones_like(depth))


def seen_area(views):
    """Return the area [m^2] of walls, floor and ceiling that some view sees, by Monte Carlo."""
    random = np.random.default_rng(0)
    size, total = HIGH - LOW, 0.0
    for axis, wall in ((axis, wall) for axis in range(3) for wall in (LOW, HIGH)):
        points = LOW + size * random.random((4000, 3))
        points[:, axis] = wall[axis]
        seen = np.zeros(len(points), bool)
        for one in views:
            index, depth, pixel = one.look_up(points)
            seen[index[np.abs(one.depth.ravel()[pixel] - depth) < 0.02 * depth]] = True
        total += seen.mean() * np.prod(np.delete(size, axis))
    return total


@pytest.fixture(scope='module')
def views():
    return [rendered(pose) for pose in poses(48)]


@pytest.fixture(scope='module')
def disks(views):
    return surfels(views, 20_000)


def depth_below_surface(points):
    """Return the distances (N,) of points to the nearest wall or the ball."""
    walls = np.minimum(np.abs(points - LOW), np.abs(points - HIGH)).min(1)
    return np.minimum(walls, np.abs(np.linalg.norm(points - BALL, axis=1) - RADIUS))


def normal_of(points):
    """Return the true normals (N, 3), toward the inside of the room."""
    offset = points - BALL
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    gaps = np.concatenate([points - LOW, HIGH - points], axis=1)
    walls = np.concatenate([np.eye(3), -np.eye(3)])[gaps.argmin(1)]
    return np.where(np.abs(distance - RADIUS) < np.abs(gaps).min(1, keepdims=True),
                    offset / distance, walls)


def test_surfels_lie_on_the_surfaces(disks):
    assert 5_000 < len(disks.positions) <= 20_000
    errors = depth_below_surface(disks.positions)
    assert np.percentile(errors, 95) < 0.01 and np.median(errors) < 0.002
    agreement = (disks.normals * normal_of(disks.positions)).sum(1)
    assert np.median(agreement) > 0.99 and (agreement > 0).mean() > 0.99
    assert np.abs(disks.colors / 255 - paint(disks.positions)).mean() < 0.02


def test_the_color_of_a_surfel_is_the_mean_of_the_views_that_see_it(views, disks):
    random = np.random.default_rng(3)
    flaws = [random.random((*one.depth.shape, 1)) < 0.2 for one in views]  # white pixels
    whitened = surfels([
        dataclasses.replace(one, color=np.where(flaw, np.uint8(255), one.color))
        for one, flaw in zip(views, flaws)], 20_000)
    assert (whitened.positions == disks.positions).all()
    expected = 0.8 * disks.colors + 0.2 * 255
    errors = np.abs(whitened.colors - expected).mean()
    of_one = 2 * 0.2 * 0.8 * (255 - disks.colors.astype(float)).mean()
    assert errors < 0.5 * of_one  # four views or more are averaged


def test_fewer_surfels_cover_the_same_surface(views, disks):
    few = surfels(views, 2_000)
    assert 1_000 < len(few.positions) <= 2_000
    assert np.allclose(few.positions.min(0), disks.positions.min(0), atol=0.1)
    assert np.median(few.spacings) == pytest.approx(
        np.median(disks.spacings) * np.sqrt(len(disks.positions) / len(few.positions)), rel=0.25)


def test_what_most_views_see_through_is_left_out(views):
    fog = views[0].depth.copy()
    fog[10:20, 10:20] = 0.3  # in front of one camera, as the field has it where nobody else looks
    broken = [RenderedView(CAMERA, views[0].T_world_camera, views[0].color, fog,
                           views[0].opacity), *views[1:]]
    found = surfels(broken, 20_000)
    assert depth_below_surface(found.positions).max() < 0.2


def test_views_without_a_surface_are_refused(views):
    empty = RenderedView(CAMERA, np.eye(4), np.zeros((48, 64, 3), np.uint8),
                         np.full((48, 64), np.nan, np.float32), np.zeros((48, 64), np.float32))
    with pytest.raises(ValueError, match='train longer'):
        surfels([empty], 1000)
    with pytest.raises(ValueError, match='train longer'):  # one view with 9 pixels
        small = Camera(3, 3, 3.0, 3.0, 1.0, 1.0)
        surfels([RenderedView(small, np.eye(4), np.zeros((3, 3, 3), np.uint8),
                              np.ones((3, 3), np.float32), np.ones((3, 3), np.float32))], 1000)


def test_the_mesh_lies_on_the_surfaces_and_faces_the_room(views, disks):
    mesh, origin = fuse(views, disks)
    positions = mesh.positions + origin
    assert np.percentile(depth_below_surface(positions), 95) < 0.02
    assert np.median(depth_below_surface(positions)) < 0.003
    corners = positions[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1)
    agreement = (normals * normal_of(corners.mean(1))).sum(1) / areas.clip(1e-12)
    assert np.average(agreement > 0.8, weights=areas) > 0.95
    walls = np.linalg.norm(corners.mean(1) - BALL, axis=1) > 1.2 * RADIUS
    assert 0.9 < areas[walls].sum() / 2 / seen_area(views) < 1.1  # no hole, no second layer


def test_a_picture_of_the_mesh_is_that_of_the_scene(views, disks):
    mesh, origin = fuse(views, disks)
    for seen in views[5::16]:
        image, depth = rasterize(mesh.positions + origin, mesh.faces, mesh.colors, CAMERA,
                                 seen.T_world_camera)
        hit = np.isfinite(depth)
        assert hit.mean() > 0.95
        assert np.median(np.abs(depth - seen.depth)[hit]) < 0.01
        assert np.sqrt(((image - seen.color)[hit] ** 2).mean()) / 255 < 0.06


def test_a_picture_of_the_gaussians_is_that_of_the_scene(views, disks):
    gaussians = from_surfels(disks)
    for seen in views[5::16]:
        image, opacity = splat(gaussians, CAMERA, seen.T_world_camera)
        assert opacity.mean() > 0.97
        assert np.sqrt(((image - seen.color / 255) ** 2).mean()) < 0.06


def test_gaussians_are_flat_along_the_surface(disks):
    gaussians = from_surfels(disks)
    x, y, z, w = gaussians.rotations.T
    third = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x**2 + y**2)], -1)
    assert np.allclose(third, disks.normals, atol=1e-9)
    assert np.allclose(gaussians.scales[:, 2], FLATNESS * gaussians.scales[:, 0])
    assert (gaussians.scales[:, 0] == gaussians.scales[:, 1]).all()


def test_the_surface_is_as_exact_far_from_the_origin(views):
    far = [rendered(pose, UTM) for pose in poses(48)]
    near = surfels(views, 5_000)
    moved = surfels(far, 5_000)
    assert len(near.positions) == pytest.approx(len(moved.positions), rel=0.02)
    errors, others = (np.percentile(depth_below_surface(positions), 95)
                      for positions in (near.positions, moved.positions - UTM))
    assert others == pytest.approx(errors, rel=0.2)
    mesh, origin = fuse(far, moved)
    positions = mesh.positions.astype(np.float64) + origin - UTM
    expected, place = fuse(views, near)
    errors, others = (np.percentile(depth_below_surface(where), 95)
                      for where in (expected.positions + place, positions))
    assert others == pytest.approx(errors, rel=0.2)
