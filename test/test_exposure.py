"""Exposure: keyframes that are brighter or darker than the others are found, and evened out."""
import itertools

import numpy as np
import pytest
from randomness import generator
from scenes import CAMERA, poses, view

from instant_nerf_ros.data.metrics import psnr
from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.capture.exposure import Exposure

GAINS = np.array([[1.2, 1.0, 1.0], [1.0, 0.8, 1.0], [0.8, 1.2, 1.0]])  # mean 1
OFFSETS = np.array([[0.05, 0.0, 0.0], [-0.05, 0.1, 0.0], [0.0, -0.1, 0.0]])  # mean 0
ROUND = poses(12)


def taught(gains, offsets, rays=20_000, blur=1.0):
    """Return an Exposure that has seen keyframes with gains and offsets (K, 3)."""
    random, exposure = generator(), Exposure()
    for _ in gains:
        exposure.append()
    for _ in range(10):
        keyframes = random.integers(0, len(gains), rays // 10)
        pixels = random.integers(0, 256, (rays // 10, 3)).astype(np.uint8)
        shown = (pixels / 255 - 0.5) * gains[keyframes] + offsets[keyframes]
        exposure.update(keyframes, pixels, 0.5 + blur * shown)
    return exposure


def test_gains_and_offsets_of_all_channels_are_found():
    exposure = taught(GAINS, OFFSETS)
    # The prior, of a tenth of the rays, holds back a little.
    np.testing.assert_allclose(exposure.gains, GAINS, atol=0.12)
    np.testing.assert_allclose(exposure.offsets, OFFSETS, atol=0.02)
    changes = np.abs(GAINS - 1) > 0.01
    assert (np.sign(exposure.gains - 1) == np.sign(GAINS - 1))[changes].all()
    pixels = np.full((3, 3), 100, dtype=np.uint8)
    corrected = exposure.correct(np.arange(3), pixels).astype(float)
    np.testing.assert_allclose(
        corrected, 127.5 + (100 - 127.5) * exposure.gains + 255 * exposure.offsets, atol=0.51)


def test_what_all_keyframes_have_in_common_is_not_exposure():
    # A field that shows too little contrast everywhere does not make all images grey.
    exposure = taught(np.ones((3, 3)), np.zeros((3, 3)), blur=0.6)
    np.testing.assert_allclose(exposure.gains, 1, atol=0.01)
    np.testing.assert_allclose(exposure.offsets, 0, atol=0.01)


def test_a_few_rays_change_little_and_none_nothing():
    exposure = taught(np.array([[1.5] * 3, [0.5] * 3]), np.zeros((2, 3)), rays=20)
    assert (np.abs(exposure.gains - 1) < 0.05).all()
    before = exposure.gains.copy()
    exposure.update(np.empty(0, int), np.empty((0, 3), np.uint8), np.empty((0, 3), np.float32))
    np.testing.assert_array_equal(exposure.gains, before)


def test_removing_a_keyframe_leaves_the_others_as_they_are():
    exposure = taught(GAINS, OFFSETS)
    kept = exposure.gains[[0, 2]].copy()
    exposure.remove(1)
    np.testing.assert_array_equal(exposure.gains, kept)


def test_a_camera_that_adapts_to_the_light_does_not_spoil_the_scene():
    config = replace(Config(), {
        'field.levels': 6, 'field.log2_table': 14, 'field.finest_cell': 0.02,
        'occupancy.length': 6.0, 'occupancy.width': 6.0, 'occupancy.height': 4.0,
        'sampling.samples_per_step': 4096, 'keyframes.min_translation': 0.0})
    quality = {True: [], False: []}
    for adapt, seed in itertools.product(quality, range(4)):  # one run is a matter of luck
        mapper = Mapper(replace(config, {'keyframes.adapt_exposure': adapt, 'seed': seed}))
        random = np.random.default_rng(4)
        for T_world_camera in ROUND:
            image, depth = view(CAMERA, T_world_camera)
            bright = np.clip(image * random.uniform(0.6, 1.4), 0, 255).astype(np.uint8)
            mapper.add(bright, CAMERA, T_world_camera, depth)
        for _ in range(300):
            mapper.step()
        # What counts is the scene, not how bright it is on the whole.
        for T_world_camera in ROUND:
            shown = mapper.render(CAMERA, T_world_camera).color.astype(float)
            image = view(CAMERA, T_world_camera)[0]
            scale = (shown * image).sum() / (shown**2).sum()
            quality[adapt].append(psnr(np.clip(scale * shown, 0, 255).astype(np.uint8), image))
        assert mapper.keyframes.exposure.gains.mean() == pytest.approx(1, abs=1e-5)
    quality = {adapt: np.mean(found) for adapt, found in quality.items()}
    assert quality[True] > quality[False] + 0.5, quality
