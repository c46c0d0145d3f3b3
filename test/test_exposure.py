"""Exposure: brighter and darker keyframes are found, and equalized."""
import numpy as np
import pytest
from randomness import generator
from scenes import CAMERA, poses, view

from instant_nerf_ros.data.metrics import psnr
from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.capture.exposure import MEMORY, MIDDLE, PRIOR, Exposure

GAINS = np.array([[1.2, 1.0, 1.0], [1.0, 0.8, 1.0], [0.8, 1.2, 1.0]])  # mean 1
OFFSETS = np.array([[0.05, 0.0, 0.0], [-0.05, 0.1, 0.0], [0.0, -0.1, 0.0]])  # mean 0
RAYS = 1000  # of each keyframe: fewer than those after which old ones fade


def exposure_of(count):
    exposure = Exposure()
    for _ in range(count):
        exposure.append()
    return exposure


def black_and_white(gains, offsets, rays=RAYS):
    """Return keyframes, pixels and renderings of as many black as white pixels.

    Their sum about the middle is zero, so that gains and offsets are independent of each other.
    """
    keyframes = np.repeat(np.arange(len(gains)), rays)
    pixels = np.tile(np.array([[0] * 3, [255] * 3], dtype=np.uint8), (len(keyframes) // 2, 1))
    return keyframes, pixels, MIDDLE + affine(pixels, gains[keyframes], offsets[keyframes])


def affine(pixels, gains, offsets):
    """Return pixels (R, 3) about the middle, after a change of gain and offset."""
    return (pixels / 255 - MIDDLE) * gains + offsets


def recovered(rays=RAYS):
    """Return the shares of gains and offsets that are found with the prior, of black and white."""
    squares = rays * 0.25
    return squares / (squares + PRIOR), rays / (rays + PRIOR)


def test_of_symmetric_pixels_the_known_share_of_gains_and_offsets_is_found():
    exposure = exposure_of(3)
    exposure.update(*black_and_white(GAINS, OFFSETS))
    of_gain, of_offset = recovered()
    np.testing.assert_allclose(exposure.gains, 1 + of_gain * (GAINS - 1), atol=1e-6)
    np.testing.assert_allclose(exposure.offsets, of_offset * OFFSETS, atol=1e-6)


def test_of_any_pixels_gains_and_offsets_are_those_of_ridge_regression():
    random, exposure = generator(), exposure_of(3)
    keyframes = random.integers(0, 3, RAYS)
    pixels = random.integers(0, 256, (RAYS, 3)).astype(np.uint8)
    rendered = random.random((RAYS, 3)).astype(np.float32)
    for part in np.array_split(np.arange(RAYS), 7):
        exposure.update(keyframes[part], pixels[part], rendered[part])
    found = np.empty((2, 3, 3))  # gains - 1, offsets
    for k, channel in np.ndindex(3, 3):
        values = pixels[keyframes == k, channel] / 255 - MIDDLE
        changes = rendered[keyframes == k, channel] - MIDDLE - values
        # The prior: PRIOR rays that measure the gain alone, and the offset alone, as zero.
        rays = np.stack([values, np.ones_like(values)], axis=-1)
        system = np.vstack([rays, np.sqrt(PRIOR) * np.eye(2)])
        found[:, k, channel] = np.linalg.lstsq(system, np.append(changes, [0, 0]), rcond=None)[0]
    found -= found.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(exposure.gains - 1, found[0], atol=1e-5)
    np.testing.assert_allclose(exposure.offsets, found[1], atol=1e-5)


def test_noise_moves_gains_and_offsets_by_no_more_than_its_standard_error():
    random, exposure, noise = generator(), exposure_of(3), 0.1
    keyframes, pixels, rendered = black_and_white(GAINS, OFFSETS)
    exposure.update(keyframes, pixels, rendered + random.normal(scale=noise, size=rendered.shape))
    of_gain, of_offset = recovered()
    # The estimate is the sum of n independent errors, weighted by +-0.5 and by 1.
    gain_error = noise * np.sqrt(RAYS * 0.25) / (RAYS * 0.25 + PRIOR)
    offset_error = noise * np.sqrt(RAYS) / (RAYS + PRIOR)
    assert np.abs(exposure.gains - 1 - of_gain * (GAINS - 1)).max() < 6 * gain_error
    assert np.abs(exposure.offsets - of_offset * OFFSETS).max() < 6 * offset_error
    changed = np.abs(GAINS - 1) > 0.1  # by more than the noise
    assert (np.sign(exposure.gains - 1) == np.sign(GAINS - 1))[changed].all()


def test_old_rays_fade():
    exposure, before, after = exposure_of(3), GAINS, GAINS[::-1]
    for gains in (before, after):
        for _ in range(20):
            exposure.update(*black_and_white(gains, 0 * OFFSETS))
    # Each update leaves MEMORY / (MEMORY + RAYS) of what was there.
    old = (MEMORY / (MEMORY + RAYS)) ** 20
    expected = 1 + recovered(MEMORY)[0] * (after - 1)
    assert np.abs(exposure.gains - expected).max() < old + 1e-6


def test_pixels_are_corrected_by_gain_and_offset():
    exposure = exposure_of(3)
    exposure.update(*black_and_white(GAINS, OFFSETS))
    pixels = np.full((3, 3), 100, dtype=np.uint8)
    corrected = exposure.apply(np.arange(3), pixels).astype(float)
    np.testing.assert_allclose(
        corrected, 127.5 + (100 - 127.5) * exposure.gains + 255 * exposure.offsets, atol=0.51)


def test_what_all_keyframes_have_in_common_is_not_exposure():
    # A field with too little contrast everywhere does not make all images grey.
    exposure = exposure_of(3)
    exposure.update(*black_and_white(np.full((3, 3), 0.6), np.full((3, 3), 0.1)))
    np.testing.assert_allclose(exposure.gains, 1, atol=1e-6)
    np.testing.assert_allclose(exposure.offsets, 0, atol=1e-6)


def test_a_few_rays_change_little_and_none_nothing():
    exposure = exposure_of(2)
    exposure.update(*black_and_white(np.array([[1.5] * 3, [0.5] * 3]), np.zeros((2, 3)), rays=10))
    assert 0 < np.abs(exposure.gains - 1).max() < 0.01
    before = exposure.gains.copy()
    exposure.update(np.empty(0, int), np.empty((0, 3), np.uint8), np.empty((0, 3), np.float32))
    np.testing.assert_array_equal(exposure.gains, before)


def test_removing_a_keyframe_leaves_the_others_as_they_are():
    exposure = exposure_of(3)
    exposure.update(*black_and_white(GAINS, OFFSETS))
    kept = exposure.gains[[0, 2]].copy()
    exposure.remove(1)
    np.testing.assert_array_equal(exposure.gains, kept)


CONFIG = replace(Config(), {
    'field.levels': 6, 'field.log2_table': 14, 'field.finest_cell': 0.02,
    'occupancy.length': 6.0, 'occupancy.width': 6.0, 'occupancy.height': 4.0,
    'sampling.samples_per_step': 4096, 'keyframes.min_translation': 0.0,
    'keyframes.held_out_every': 0})
DARK, BRIGHT = 0.5, 1.0


def mapped(T_world_cameras, brightness, adapt):
    """Return a Mapper that was trained with images of these factors of their brightness."""
    mapper = Mapper(replace(CONFIG, {'keyframes.adapt_exposure': adapt}))
    for T_world_camera, factor in zip(T_world_cameras, brightness, strict=True):
        image, depth = view(CAMERA, T_world_camera)
        mapper.add((factor * image).astype(np.uint8), CAMERA, T_world_camera, depth)
    for _ in range(200):
        mapper.step()
    return mapper


def test_two_exposures_of_the_same_views_become_nearly_one():
    pairs = [pose for pose in poses(6) for _ in range(2)]
    mapper = mapped(pairs, [DARK, BRIGHT] * 6, adapt=True)
    exposure = mapper.keyframes.exposure
    assert exposure.gains.mean() == pytest.approx(1, abs=1e-5)
    conflict, error, ratios = [], [], []
    for k, pose in zip(range(0, 12, 2), poses(6)):
        image = view(CAMERA, pose)[0].reshape(-1, 3)
        recorded = [(factor * image).astype(np.uint8) for factor in (DARK, BRIGHT)]
        dark, bright = (
            exposure.apply(np.full(len(image), k + n), pixels).astype(float)
            for n, pixels in enumerate(recorded))
        ratios.append(bright.mean() / dark.mean())
        # No rendering is nearer to both recorded images than this: it is one image, they are two.
        conflict.append(np.mean((np.subtract(*recorded, dtype=float) / 2) ** 2))
        rendered = mapper.render(CAMERA, pose).color.reshape(-1, 3)
        error.append(np.mean([(rendered - dark) ** 2, (rendered - bright) ** 2]))
    assert np.mean(error) < 0.5 * np.mean(conflict)
    assert (np.log(ratios) < 0.5 * np.log(BRIGHT / DARK)).all()


def test_a_camera_that_adapts_to_the_light_does_not_spoil_the_scene():
    # Each part of the scene is seen both dark and bright, from places near each other.
    round_trip, quality = poses(24), {}
    for adapt in (False, True):
        mapper = mapped(round_trip, [DARK, BRIGHT] * 12, adapt)
        found = []
        for pose in round_trip[::2]:
            image = view(CAMERA, pose)[0]
            rendered = mapper.render(CAMERA, pose).color.astype(float)
            # What counts is the scene, not how bright it is on the whole.
            scale = (rendered * image).sum() / (rendered**2).sum()
            found.append(psnr(np.clip(scale * rendered, 0, 255).astype(np.uint8), image))
        quality[adapt] = np.mean(found)
    assert quality[True] > quality[False] + 2, quality
