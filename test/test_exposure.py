"""Exposure: brighter and darker keyframes are found and equalized, and others are left alone."""
import numpy as np
from randomness import generator
from scenes import CAMERA, poses, view

from instant_nerf_ros.data.metrics import psnr
from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.capture.exposure import (
    MEMORY,
    MIDDLE,
    MIN_EXPLAINED,
    PRIOR,
    SUMS,
    Exposure,
)

# Of three keyframes and three channels; the product of each channel is 1.
GAINS = np.array([[1.25, 1.0, 1.0], [1.0, 0.8, 1.0], [0.8, 1.25, 1.0]])
RAYS = 1000  # of each keyframe: fewer than those after which old ones fade


def exposure_of(count):
    exposure = Exposure()
    for _ in range(count):
        exposure.append()
    return exposure


def seen(gains, rays=RAYS):
    """Return keyframes, grey pixels of middle brightness, and renderings brighter by gains."""
    keyframes = np.repeat(np.arange(len(gains)), rays)
    pixels = np.tile(np.array([[102] * 3, [153] * 3], np.uint8), (len(keyframes) // 2, 1))
    return keyframes, pixels, pixels / 255 * gains[keyframes]


def found(gains, rays=RAYS):
    """Return the gains that are found of such pixels: of all rays, PRIOR more say 1."""
    gains = (rays * gains + PRIOR) / (rays + PRIOR)
    return gains / np.exp(np.log(gains).mean(0))


def test_of_images_scaled_by_known_gains_the_known_share_of_the_gains_is_found():
    exposure, (keyframes, pixels, rendered) = exposure_of(3), seen(GAINS)
    for part in np.array_split(generator().permutation(len(keyframes)), 7):
        exposure.update(keyframes[part], pixels[part], rendered[part])
    np.testing.assert_allclose(exposure.gains, found(GAINS), atol=1e-6)


def test_explained_is_the_share_of_the_squared_differences_that_is_of_whole_images():
    random, sizes = generator(), (0.02, 0.05, 0.1, 0.2)
    keyframes, pixels, _ = seen(GAINS)
    # Means of images that differ, their sum 0, and differences within images, of mean 0.
    means, within = np.array([-0.05, 0.01, 0.04]), np.tile([-1, 1], len(keyframes) // 2)
    for size in sizes:
        exposure = exposure_of(3)
        differences = means[keyframes] + size * within
        part = random.permutation(len(keyframes))
        exposure.update(keyframes[part], pixels[part], (pixels / 255 + differences[:, None])[part])
        between, share = (means**2).mean(), RAYS / (RAYS + PRIOR)
        expected = share * between / (between + size**2)
        np.testing.assert_allclose(exposure.explained(), expected, rtol=1e-5)
        changed = bool((exposure.gains != 1).all())
        assert changed == (expected > MIN_EXPLAINED)


def test_a_gain_of_one_changes_no_pixel():
    pixels = np.tile(np.arange(256, dtype=np.uint8)[:, None], 3)
    np.testing.assert_array_equal(exposure_of(1).apply(np.zeros(256, int), pixels), pixels)


def test_pixels_are_multiplied_by_the_gain_and_do_not_exceed_white():
    exposure = exposure_of(3)
    exposure.update(*seen(GAINS))
    for value in (0, 100, 250):
        pixels = np.full((3, 3), value, dtype=np.uint8)
        expected = np.minimum(value * exposure.gains, 255)
        corrected = exposure.apply(np.arange(3), pixels).astype(float)
        np.testing.assert_allclose(corrected, expected, atol=0.51)


def test_a_blurred_field_is_not_a_difference_of_exposure():
    # Each keyframe has another contrast, and all are rendered as their mean color.
    keyframes, half = np.repeat(np.arange(3), RAYS), np.tile([-1, 1], 3 * RAYS // 2)
    pixels = np.tile((120 + half * np.array([10, 50, 100])[keyframes])[:, None], 3)
    exposure = exposure_of(3)
    exposure.update(keyframes, pixels.astype(np.uint8), np.full(pixels.shape, 120 / 255))
    assert exposure.explained() < 1e-6


def test_noise_moves_gains_by_no_more_than_its_standard_error():
    random, exposure, noise = generator(), exposure_of(3), 0.1
    keyframes, pixels, rendered = seen(GAINS)
    exposure.update(keyframes, pixels, rendered + random.normal(scale=noise, size=rendered.shape))
    error = noise * np.sqrt(RAYS) / ((RAYS + PRIOR) * MIDDLE)  # of the sum, by what it is divided
    assert np.abs(exposure.gains - found(GAINS)).max() < 6 * error


def test_old_rays_fade():
    exposure, before, after = exposure_of(3), GAINS, GAINS[::-1]
    for gains in (before, after):
        for _ in range(20):
            exposure.update(*seen(gains))
    # Each update leaves MEMORY / (MEMORY + RAYS) of what was there.
    old = (MEMORY / (MEMORY + RAYS)) ** 20
    assert np.abs(exposure.gains - found(after, MEMORY)).max() < old + 1e-6


def test_what_all_keyframes_have_in_common_is_not_exposure():
    # A field that is too dark everywhere does not make all images dark.
    exposure = exposure_of(3)
    exposure.update(*seen(0.9 * GAINS))
    np.testing.assert_allclose(exposure.gains, found(0.9 * GAINS), atol=1e-6)
    np.testing.assert_allclose(exposure.gains.prod(0), 1, atol=1e-6)
    exposure = exposure_of(3)
    exposure.update(*seen(np.full((3, 3), 0.6)))
    np.testing.assert_array_equal(exposure.gains, 1)
    assert exposure.explained() < 1e-6


def test_if_the_user_says_so_gains_are_used_that_explain_little():
    gains = np.array([[1.02] * 3, [0.98] * 3])
    keyframes, pixels, rendered = seen(gains)
    noisy = rendered + np.tile([[0.1], [0.1], [-0.1], [-0.1]], (len(rendered) // 4, 1))
    automatic, always = exposure_of(2), Exposure(always=True)
    for _ in range(2):
        always.append()
    for exposure in (automatic, always):
        exposure.update(keyframes, pixels, noisy)
        assert exposure.explained() < MIN_EXPLAINED
    np.testing.assert_array_equal(automatic.gains, 1)
    np.testing.assert_allclose(always.gains, found(gains), atol=1e-5)


def test_a_few_rays_change_nothing_and_none_neither():
    exposure = exposure_of(2)
    exposure.update(*seen(np.array([[1.5] * 3, [0.5] * 3]), rays=10))
    np.testing.assert_array_equal(exposure.gains, 1)
    sums = exposure.sums.copy()
    exposure.update(np.empty(0, int), np.empty((0, 3), np.uint8), np.empty((0, 3), np.float32))
    np.testing.assert_array_equal(exposure.sums, sums)


def test_removing_a_keyframe_leaves_the_others_as_they_are():
    exposure = exposure_of(3)
    exposure.update(*seen(GAINS))
    kept = exposure.gains[[0, 2]].copy()
    exposure.remove(1)
    np.testing.assert_array_equal(exposure.gains, kept)


def test_without_keyframes_there_is_nothing_to_solve():
    exposure = exposure_of(0)
    exposure.solve()
    assert exposure.gains.shape == (0, 3)
    assert exposure.explained() == 0


def test_sums_of_another_form_are_left_out():
    exposure = exposure_of(2)
    exposure.restore(0, np.full((5, 3), 100.0))
    exposure.restore(1, np.full((SUMS, 3), 100.0))
    exposure.solve()
    np.testing.assert_array_equal(exposure.sums[0], 0)
    np.testing.assert_array_equal(exposure.sums[1], 100)


CONFIG = replace(Config(), {
    'field.levels': 6, 'field.log2_table': 14, 'field.finest_cell': 0.02,
    'occupancy.length': 6.0, 'occupancy.width': 6.0, 'occupancy.height': 4.0,
    'sampling.samples_per_step': 4096, 'keyframes.min_translation': 0.0,
    'keyframes.held_out_every': 0})
DARK, BRIGHT = 0.5, 1.0


def mapped(T_world_cameras, brightness, adapt='auto'):
    """Return a Mapper that was trained with images of these factors of their brightness."""
    mapper = Mapper(replace(CONFIG, {'keyframes.adapt_exposure': adapt}))
    for T_world_camera, factor in zip(T_world_cameras, brightness, strict=True):
        image, depth = view(CAMERA, T_world_camera)
        mapper.add((factor * image).astype(np.uint8), CAMERA, T_world_camera, depth)
    for _ in range(200):
        mapper.step()
        if set(brightness) == {BRIGHT}:
            np.testing.assert_array_equal(mapper.keyframes.exposure.gains, 1)
    return mapper


def test_two_exposures_of_the_same_views_become_nearly_one():
    pairs = [pose for pose in poses(6) for _ in range(2)]
    exposure = mapped(pairs, [DARK, BRIGHT] * 6).keyframes.exposure
    ratios = []
    for k, pose in zip(range(0, 12, 2), poses(6)):
        image = view(CAMERA, pose)[0].reshape(-1, 3)
        dark, bright = (
            exposure.apply(np.full(len(image), k + n), (factor * image).astype(np.uint8))
            for n, factor in enumerate((DARK, BRIGHT)))
        ratios.append(bright.mean() / dark.mean())
    assert (np.abs(np.log(ratios)) < 0.2 * np.log(BRIGHT / DARK)).all()


def test_a_camera_that_adapts_to_the_light_does_not_spoil_the_scene():
    # Each part of the scene is seen both dark and bright, from places near each other.
    round_trip, quality = poses(24), {}
    for adapt in ('never', 'auto', 'always'):
        mapper = mapped(round_trip, [DARK, BRIGHT] * 12, adapt)
        scores = []
        for pose in round_trip[::2]:
            image = view(CAMERA, pose)[0]
            rendered = mapper.render(CAMERA, pose).color.astype(float)
            # What counts is the scene, not how bright it is on the whole.
            scale = (rendered * image).sum() / (rendered**2).sum()
            scores.append(psnr(np.clip(scale * rendered, 0, 255).astype(np.uint8), image))
        quality[adapt] = np.mean(scores)
    assert min(quality['auto'], quality['always']) > quality['never'] + 2, quality


def test_constant_exposure_is_left_alone_from_the_first_step_on():
    mapper = mapped(poses(12), [BRIGHT] * 12)  # asserted there, after each step
    assert 0 < mapper.keyframes.exposure.explained() < MIN_EXPLAINED
