"""The GPU backend's keyframes: the rays it draws are those of the images' pixels."""
import types

import numpy as np
import pytest
import torch
from randomness import floats, generator
from scenes import poses

from instant_nerf_ros.nerf import Camera, backends
from instant_nerf_ros.nerf.capture.error_map import COLUMNS, FLOOR, NOTHING, TILES, ErrorMap
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.config import KeyframeConfig

pytestmark = pytest.mark.triton

CAMERAS = Camera(48, 36, 40.0, 41.0, 23.0, 18.0), Camera(31, 21, 30.0, 30.0, 15.0, 10.0)


@pytest.fixture(scope='module')
def cuda():
    return backends.select('cuda')


def telling(camera, k):
    """Return an image and a depth that say, of each pixel, which it is."""
    v, u = np.mgrid[: camera.height, : camera.width]
    image = np.stack([u, v, np.full_like(u, k)], axis=-1).astype(np.uint8)
    depth = np.where(u % 5 == 0, 0, 1 + 0.01 * u + 0.002 * v + k)
    return image, depth


def make(count=4, **settings):
    """Return a store of keyframes of two cameras."""
    store = Keyframes(KeyframeConfig(**settings))
    for k, pose in enumerate(poses(count)):
        camera = CAMERAS[k % 2]
        image, depth = telling(camera, k)
        store.add(image, camera, pose, depth)
    return store


def sources(cuda, store, count, error_share=0.0):
    """Return the rays as numpy arrays, and where they come from."""
    values, where = cuda.sample_rays(store, count, generator(), error_share)
    names = 'origins', 'directions', 'surfaces', 'pixels'
    rays = types.SimpleNamespace(**{
        name: value.cpu().numpy() for name, value in zip(names, values)})
    return rays, where


def check(store, rays, where):
    """Assert that each ray is that of the pixel which its colour tells."""
    chosen = where.keyframes.cpu().numpy()
    recorded = where.pixels.cpu().numpy()
    for k in range(len(store)):
        mine = chosen == k
        camera, image, depth = store.image(k)
        u, v, number = recorded[mine].T.astype(int)
        assert (number == image[0, 0, 2]).all()
        pixel = v * camera.width + u
        pose, along = store.T_world_camera[k], camera.directions()[pixel]
        assert np.allclose(rays.origins[mine], pose[:3, 3], rtol=1e-5)
        np.testing.assert_allclose(rays.directions[mine], along @ pose[:3, :3].T, atol=1e-5)
        np.testing.assert_allclose(
            rays.surfaces[mine], depth[v, u] * 0.001 / along[:, 2], rtol=1e-4)
        tiles = v * 12 // camera.height * COLUMNS + u * COLUMNS // camera.width
        assert (where.tiles.cpu().numpy()[mine] == tiles).all()
    return chosen


def test_rays_are_those_of_the_pixels_of_their_keyframes(cuda):
    store = make()
    rays, where = sources(cuda, store, 1500)
    chosen = check(store, rays, where)
    assert (rays.pixels == where.pixels.cpu().numpy()).all()  # all are exposed alike
    assert (rays.surfaces == 0).any() and (rays.surfaces > 0).any()
    share = np.bincount(chosen, minlength=4) / 1500
    assert (abs(share - 0.25) < 0.08).all()
    u = where.pixels[:, 0].cpu().numpy()[chosen % 2 == 0]
    assert u.min() == 0 and u.max() == 47 and abs(u.mean() - 23.5) < 3
    assert store.ray_counts.sum() == pytest.approx(1500)


def test_new_keyframes_are_drawn_and_removed_ones_are_not(cuda):
    store = make(3)
    sources(cuda, store, 200)
    store.mirror.errors[1] = 0.25
    store._remove(0)
    store.ray_counts += 20_000
    image, depth = telling(CAMERAS[1], 9)
    store.add(image, CAMERAS[1], poses(7)[5], depth)
    rays, where = sources(cuda, store, 600)
    chosen = check(store, rays, where)
    assert set(chosen) == {0, 1, 2}
    assert len(store.mirror.images) == 3
    errors = store.mirror.errors.cpu()
    assert (errors[0] == 0.25).all() and (errors[1:] == 1).all()
    # The new one was not drawn before, and so has most of these.
    assert (chosen == 2).mean() > 0.75


def test_rays_go_where_the_error_is(cuda):
    store = make(1)
    sources(cuda, store, 10)
    store.mirror.errors[:] = 0.001
    store.mirror.errors[:, 40] = 1.0
    store.mirror.update_error_map()
    rays, where = sources(cuda, store, 2000, error_share=0.5)
    check(store, rays, where)
    by_error = where.tiles[:1000].cpu()
    weights = np.full(TILES, 0.001)
    weights[40] = 1.0
    weights += FLOOR * weights.mean() + NOTHING
    expected = weights[40] / weights.sum()
    assert (by_error == 40).float().mean().item() == pytest.approx(expected, abs=0.08)
    assert (where.tiles[1000:].cpu() == 40).float().mean() < 0.05


def test_errors_are_taken_in_as_by_the_map_of_the_processor(cuda):
    store = make(3)
    _, where = sources(cuda, store, 500)
    random = generator()
    pixels = torch.from_numpy(random.integers(0, 256, (500, 3), dtype=np.uint8))
    colors, opacities = floats(random.random((500, 3))), floats(random.random(500))
    cuda.update_error_map(store, where, *(x.to(cuda.DEVICE) for x in (pixels, colors, opacities)))
    expected = ErrorMap()
    for _ in range(3):
        expected.append()
    errors = np.abs(colors.numpy() - pixels.numpy() / np.float32(255)).mean(-1)
    expected.learn(
        where.keyframes.cpu().numpy().astype(np.int64), where.tiles.cpu().numpy(), errors)
    assert (expected.errors != 1).sum() > TILES / 2
    np.testing.assert_allclose(store.mirror.errors.cpu(), expected.errors, rtol=1e-4)


def test_colours_are_corrected_for_the_exposure(cuda):
    store = make(2)
    store.exposure.gains = np.array([[1.2, 0.8, 1.0], [0.9, 1.0, 1.1]], dtype=np.float32)
    store.exposure.offsets = np.array([[0.01, 0.0, -0.02], [0.1, -0.4, 0.0]], dtype=np.float32)
    rays, where = sources(cuda, store, 300)
    expected = store.exposure.apply(
        where.keyframes.cpu().numpy(), where.pixels.cpu().numpy())
    assert abs(rays.pixels.astype(int) - expected).max() <= 1
    assert (rays.pixels == expected).mean() > 0.99


def test_what_the_budget_does_not_cover_stays_in_the_memory_of_the_host(cuda):
    store = make(4, gpu_budget_mb=0)
    rays, where = sources(cuda, store, 300)
    check(store, rays, where)
    assert all(image.device.type == 'cpu' for image in store.mirror.images.values())
    if cuda.DEVICE == 'cuda':
        assert all(image.is_pinned() for image in store.mirror.images.values())


def test_where_the_gpu_has_no_memory_left_images_stay_in_that_of_the_host(cuda, monkeypatch):
    move = torch.Tensor.to

    def full(values, *where, **how):
        if values.dtype == torch.uint8:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')
        return move(values, *where, **how)

    store = make(3)
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, 'to', full)
        rays, where = sources(cuda, store, 200)
    check(store, rays, where)
    assert all(image.device.type == 'cpu' for image in store.mirror.images.values())
