"""Alpha: where an image is transparent, the field learns to be, over any background."""
import numpy as np
import pytest
import torch
from randomness import generator
from scenes import BALL, RADIUS, look_at, view
from test_mapper import CONFIG, TINY

from instant_nerf_ros.nerf import Camera, Mapper, backends, replace
from instant_nerf_ros.nerf.capture import rays as reference_rays
from instant_nerf_ros.nerf.capture.alpha import keyframe_alpha, over_background
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.rays import NO_COLOR, Rays, RaySources
from instant_nerf_ros.nerf.config import KeyframeConfig
from instant_nerf_ros.nerf.constants import EMPTY, EMPTY_MISSES, FREE, OPAQUE_ALPHA

CAMERA = Camera(80, 60, 75.0, 75.0, 39.5, 29.5)
DISTANCE = 1.2  # m, of the cameras from the center of the ball
AROUND = {'sampling.near': DISTANCE - 0.6, 'sampling.far': DISTANCE + 0.6,
          'keyframes.min_translation': 0.0, 'motion.align': False, 'motion.stereo': False}


def ball_views(count):
    """Return images, alphas and poses of the ball alone, from all around."""
    views = []
    for angle in np.arange(count) * 2 * np.pi / count:
        offset = [np.cos(angle), np.sin(angle), 0.6 * np.sin(2 * angle)]
        pose = look_at(BALL + DISTANCE * np.array(offset) / np.linalg.norm(offset), BALL)
        image, depth = view(CAMERA, pose)
        rays = CAMERA.directions() @ pose[:3, :3].T
        nearest = np.linalg.norm(np.cross(rays, BALL - pose[:3, 3]), axis=-1)
        alpha = np.where(nearest < RADIUS, 255, 0).reshape(depth.shape).astype(np.uint8)
        views.append((image, alpha, pose))
    return views


def mapper_of_ball(count, config):
    """Return a Mapper that knows the ball from so many views with alpha."""
    mapper = Mapper(replace(config, AROUND))
    for image, alpha, pose in ball_views(count):
        assert mapper.add(image, CAMERA, pose, alpha=alpha) is not None
    return mapper


def batch(random, count):
    """Return rays of random colors, and their sources with random alphas."""
    pixels = random.integers(0, 256, (count, 3)).astype(np.uint8)
    alphas = random.choice([0, 255, *range(1, 255)], count).astype(np.uint8)
    rays = Rays(torch.zeros(count, 3), torch.zeros(count, 3), torch.zeros(count),
                torch.from_numpy(pixels))
    return rays, RaySources(np.zeros(count, int), np.zeros(count, int), pixels, alphas)


def test_a_ray_that_renders_color_and_alpha_of_its_pixel_has_no_error_over_any_background():
    random = generator()
    rays, sources = batch(random, 200)
    opacities = torch.from_numpy(sources.alphas)[:, None] / 255
    background = torch.rand(200, 3)
    rendered = opacities * rays.pixels / 255 + (1 - opacities) * background
    target = over_background(rays, sources, background).pixels / 255
    torch.testing.assert_close(target, rendered)


def test_opaque_rays_and_rays_of_range_sensors_keep_their_pixels():
    rays, sources = batch(generator(), 50)
    sources = RaySources(sources.keyframes, sources.tiles, sources.pixels,
                         np.full(50, OPAQUE_ALPHA, np.uint8))
    scan = Rays(torch.zeros(7, 3), torch.zeros(7, 3), torch.ones(7),
                torch.full((7, 3), NO_COLOR, dtype=torch.int16))
    both = rays.concatenated(scan)
    torch.testing.assert_close(
        over_background(both, sources, torch.rand(57, 3)).pixels, both.pixels.float())
    none = RaySources(sources.keyframes, sources.tiles, sources.pixels)
    assert over_background(both, none, torch.rand(57, 3)) is both


@pytest.mark.parametrize('sample', [
    reference_rays.sample_rays, backends.select('cpu').sample_rays], ids=['reference', 'cpu'])
def test_sampled_alphas_are_those_of_the_pixels(sample):
    keyframes, random = Keyframes(KeyframeConfig(budget_mb=16)), generator()
    for k in range(3):
        image = random.integers(0, 256, (60, 80, 3)).astype(np.uint8)
        alpha = image[..., 0] ^ image[..., 1]
        keyframes.add(image, CAMERA, np.eye(4), alpha=None if k == 1 else alpha)
    _, sources = sample(keyframes, 500, random, 0.3)
    coded = np.where(
        sources.keyframes == 1, OPAQUE_ALPHA, sources.pixels[:, 0] ^ sources.pixels[:, 1])
    np.testing.assert_array_equal(sources.alphas, coded)
    assert keyframe_alpha(keyframes, 1) is None
    image = keyframes.image(2)[1]
    np.testing.assert_array_equal(keyframe_alpha(keyframes, 2), image[..., 0] ^ image[..., 1])


def test_transparent_pixels_clear_the_space_before_them_and_nothing_of_the_object():
    mapper = mapper_of_ball(24, replace(CONFIG, {'occupancy.voxel_size': 0.04}))
    voxels, grid = mapper.voxels(), mapper.occupancy
    places = voxels.origin + (np.argwhere(voxels.states == FREE) + 0.5) * voxels.voxel_size
    distances = np.linalg.norm(places - BALL, axis=-1)
    assert distances.min() > RADIUS
    ring = (distances < RADIUS + 0.25).sum() * voxels.voxel_size**3
    shell = 4 / 3 * np.pi * ((RADIUS + 0.25)**3 - RADIUS**3)
    assert ring > 0.3 * shell
    window = grid.density_state[grid.window()].numpy()
    sure = grid.misses[grid.window()].numpy() >= EMPTY_MISSES  # seen from two cameras
    assert (window[(voxels.states == FREE) & sure] == EMPTY).all()
    assert sure.sum() > 0.5 * (voxels.states == FREE).sum()


def test_beside_the_object_the_field_becomes_transparent_and_the_object_opaque():
    mapper = mapper_of_ball(16, CONFIG)
    for _ in range(200):
        mapper.step()
    image, alpha, pose = ball_views(7)[3]
    seen = mapper.render(CAMERA, pose)
    assert seen.opacity[alpha == 0].mean() < 0.05 and seen.opacity[alpha > 0].mean() > 0.9
    error = np.abs(seen.color.astype(float) - image)[alpha > 0].mean()
    assert error < 30


def test_saved_alpha_is_loaded_again(tmp_path):
    mapper = mapper_of_ball(3, TINY)
    image, _, pose = ball_views(5)[4]
    mapper.add(image, CAMERA, pose)
    mapper.step()
    mapper.save(tmp_path / 'map')
    loaded = Mapper.load(tmp_path / 'map').keyframes
    for k in range(3):
        np.testing.assert_array_equal(
            keyframe_alpha(loaded, k), keyframe_alpha(mapper.keyframes, k))
    assert keyframe_alpha(loaded, 3) is None


@pytest.mark.parametrize('alpha', [
    np.zeros((60, 80, 1), np.uint8), np.zeros((80, 60), np.uint8), np.zeros((60, 80))])
def test_alpha_of_another_shape_or_type_is_refused(alpha):
    mapper = Mapper(TINY)
    image, _, pose = ball_views(1)[0]
    with pytest.raises(ValueError, match='alpha must be'):
        mapper.add(image, CAMERA, pose, alpha=alpha)
    assert mapper.keyframe_count == 0
