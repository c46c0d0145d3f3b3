"""Keyframes on a GPU: the rays that are sampled there are those of the pixels of the images."""
import importlib
import types

import numpy as np
import pytest
import torch
from randomness import floats, generator
from scenes import poses

from instant_nerf_ros.nerf import Camera, backends
from instant_nerf_ros.nerf.capture.error_map import ErrorMap
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.config import KeyframeConfig
from instant_nerf_ros.nerf.constants import (
    ERROR_FLOOR,
    NO_ERROR,
    OPAQUE_ALPHA,
    TILE_COLUMNS,
    TILES,
)

pytestmark = pytest.mark.triton

CAMERAS = Camera(48, 36, 40.0, 41.0, 23.0, 18.0), Camera(31, 21, 30.0, 30.0, 15.0, 10.0)


@pytest.fixture(scope='module')
def cuda():
    return backends.select('triton')


def coded(camera, k):
    """Return an image and a depth that encode, in each pixel, which it is."""
    v, u = np.mgrid[: camera.height, : camera.width]
    image = np.stack([u, v, np.full_like(u, k)], axis=-1).astype(np.uint8)
    depth = np.where(u % 5 == 0, 0, 1 + 0.01 * u + 0.002 * v + k)
    return image, depth


def make(count=4, **settings):
    """Return keyframes of two cameras."""
    keyframes = Keyframes(KeyframeConfig(**settings))
    for k, pose in enumerate(poses(count)):
        camera = CAMERAS[k % 2]
        image, depth = coded(camera, k)
        keyframes.add(image, camera, pose, depth)
    return keyframes


def on_device(keyframes):
    """Return the copy of the keyframes on the GPU."""
    module = importlib.import_module('instant_nerf_ros.nerf.backends.cuda.device_keyframes')
    return keyframes.backend_state(module.DeviceKeyframes)


def sample(cuda, keyframes, count, error_share=0.0):
    """Return the rays as NumPy arrays, and their sources."""
    rays, sources = cuda.sample_rays(keyframes, count, generator(), error_share)
    return types.SimpleNamespace(**{
        name: value.cpu().numpy() for name, value in vars(rays).items()}), sources


def check(keyframes, rays, sources):
    """Assert that each ray is that of the pixel that its color encodes."""
    chosen = sources.keyframes.cpu().numpy()
    recorded = sources.pixels.cpu().numpy()
    for k in range(len(keyframes)):
        mine = chosen == k
        camera, image, depth = keyframes.image(k)
        u, v, number = recorded[mine].T.astype(int)
        assert (number == image[0, 0, 2]).all()
        pixel = v * camera.width + u
        pose, along = keyframes.T_world_camera[k], camera.directions()[pixel]
        assert np.allclose(rays.origins[mine], pose[:3, 3], rtol=1e-5)
        np.testing.assert_allclose(rays.directions[mine], along @ pose[:3, :3].T, atol=1e-5)
        np.testing.assert_allclose(
            rays.surfaces[mine], depth[v, u] * 0.001 / along[:, 2], rtol=1e-4)
        tiles = v * 12 // camera.height * TILE_COLUMNS + u * TILE_COLUMNS // camera.width
        assert (sources.tiles.cpu().numpy()[mine] == tiles).all()
    return chosen


def test_rays_are_those_of_the_pixels_of_their_keyframes(cuda):
    keyframes = make()
    rays, sources = sample(cuda, keyframes, 1500)
    chosen = check(keyframes, rays, sources)
    assert (rays.pixels == sources.pixels.cpu().numpy()).all()  # all have the same exposure
    assert (rays.surfaces == 0).any() and (rays.surfaces > 0).any()
    share = np.bincount(chosen, minlength=4) / 1500
    assert (abs(share - 0.25) < 0.08).all()
    u = sources.pixels[:, 0].cpu().numpy()[chosen % 2 == 0]
    assert u.min() == 0 and u.max() == 47 and abs(u.mean() - 23.5) < 3
    assert keyframes.ray_counts.sum() == pytest.approx(1500)


def test_new_keyframes_are_sampled_and_removed_ones_are_not(cuda):
    keyframes = make(3)
    sample(cuda, keyframes, 200)
    on_device(keyframes).errors[1] = 0.25
    keyframes._remove(0)
    keyframes.count_rays(np.full(2, 20_000))
    image, depth = coded(CAMERAS[1], 9)
    keyframes.add(image, CAMERAS[1], poses(7)[5], depth)
    rays, sources = sample(cuda, keyframes, 600)
    chosen = check(keyframes, rays, sources)
    assert set(chosen) == {0, 1, 2}
    assert len(on_device(keyframes).images) == 3
    errors = on_device(keyframes).errors.cpu()
    assert (errors[0] == 0.25).all() and (errors[1:] == 1).all()
    # The new one was not sampled before, and so has most of these.
    assert (chosen == 2).mean() > 0.75


def test_alphas_are_those_of_the_pixels_where_a_keyframe_has_any(cuda):
    keyframes = make(2)
    assert sample(cuda, keyframes, 10)[1].alphas is None
    camera = CAMERAS[0]
    image, depth = coded(camera, 7)
    keyframes.add(image, camera, poses(5)[4], depth, image[..., 0] ^ image[..., 1])
    rays, sources = sample(cuda, keyframes, 900)
    chosen = check(keyframes, rays, sources)
    pixels = sources.pixels.cpu().numpy()
    np.testing.assert_array_equal(
        sources.alphas.cpu().numpy(),
        np.where(chosen == 2, pixels[:, 0] ^ pixels[:, 1], OPAQUE_ALPHA))
    assert (chosen == 2).any() and (chosen < 2).any()


def test_rays_go_where_the_error_is(cuda):
    keyframes = make(1)
    sample(cuda, keyframes, 10)
    on_device(keyframes).errors[:] = 0.001
    on_device(keyframes).errors[:, 40] = 1.0
    on_device(keyframes).update_shares()
    rays, sources = sample(cuda, keyframes, 2000, error_share=0.5)
    check(keyframes, rays, sources)
    by_error = sources.tiles[:1000].cpu()
    weights = np.full(TILES, 0.001)
    weights[40] = 1.0
    weights += ERROR_FLOOR * weights.mean() + NO_ERROR
    expected = weights[40] / weights.sum()
    assert (by_error == 40).float().mean().item() == pytest.approx(expected, abs=0.08)
    assert (sources.tiles[1000:].cpu() == 40).float().mean() < 0.05


def test_the_error_map_is_updated_like_that_of_the_processor(cuda):
    keyframes = make(3)
    _, sources = sample(cuda, keyframes, 500)
    random = generator()
    pixels = torch.from_numpy(random.integers(0, 256, (500, 3), dtype=np.uint8))
    colors, opacities = floats(random.random((500, 3))), floats(random.random(500))
    cuda.update_error_map(
        keyframes, sources, *(x.to(cuda.DEVICE) for x in (pixels, colors, opacities)))
    expected = ErrorMap()
    for _ in range(3):
        expected.append()
    errors = np.abs(colors.numpy() - pixels.numpy() / np.float32(255)).mean(-1)
    expected.update(
        sources.keyframes.cpu().numpy().astype(np.int64), sources.tiles.cpu().numpy(), errors)
    assert (expected.errors != 1).sum() > TILES / 2
    np.testing.assert_allclose(on_device(keyframes).errors.cpu(), expected.errors, rtol=1e-4)


def test_colors_are_corrected_for_the_exposure(cuda, monkeypatch):
    keyframes = make(2)
    gains = np.array([[1.2, 0.8, 1.0], [0.9, 1.0, 1.1]], dtype=np.float32)
    offsets = np.array([[0.01, 0.0, -0.02], [0.1, -0.4, 0.0]], dtype=np.float32)
    monkeypatch.setattr(keyframes.exposure, 'gains', gains)
    monkeypatch.setattr(keyframes.exposure, 'offsets', offsets)
    rays, sources = sample(cuda, keyframes, 300)
    expected = keyframes.exposure.apply(
        sources.keyframes.cpu().numpy(), sources.pixels.cpu().numpy())
    assert abs(rays.pixels.astype(int) - expected).max() <= 1
    assert (rays.pixels == expected).mean() > 0.99


def test_what_the_budget_does_not_cover_stays_in_the_memory_of_the_host(cuda):
    keyframes = make(4, gpu_budget_mb=0)
    rays, sources = sample(cuda, keyframes, 300)
    check(keyframes, rays, sources)
    assert all(image.device.type == 'cpu' for image in on_device(keyframes).images.values())
    if cuda.DEVICE == 'cuda':
        assert all(image.is_pinned() for image in on_device(keyframes).images.values())


def test_where_the_gpu_has_no_memory_left_images_stay_in_that_of_the_host(cuda, monkeypatch):
    move = torch.Tensor.to

    def full(values, *where, **how):
        if values.dtype == torch.uint8:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')
        return move(values, *where, **how)

    keyframes = make(3)
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, 'to', full)
        rays, sources = sample(cuda, keyframes, 200)
    check(keyframes, rays, sources)
    assert all(image.device.type == 'cpu' for image in on_device(keyframes).images.values())
