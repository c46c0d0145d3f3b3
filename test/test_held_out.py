"""Held-out images: never trained on, spread over the session, and an honest measure."""
import math

import numpy as np
import pytest
import torch
from randomness import generator
from scenes import CAMERA, poses, view
from test_mapper import CONFIG, TINY
from test_mapper import psnr as psnr_of_images

from instant_nerf_ros.nerf import Mapper, held_out, replace
from instant_nerf_ros.nerf.held_out import HeldOut, psnr

ROUND = poses(256)


def fill(mapper, T_world_cameras):
    """Add images, some of which are held out."""
    for T_world_camera in T_world_cameras:
        image, depth = view(CAMERA, T_world_camera)
        assert mapper.is_new_viewpoint(T_world_camera)
        assert mapper.add(image, CAMERA, T_world_camera, depth) is not None
    return mapper


def test_every_sixteenth_is_held_out_and_not_among_the_keyframes():
    mapper = fill(Mapper(replace(TINY, {'keyframes.held_out_every': 16})), ROUND[:39])
    assert mapper.keyframe_count == 37
    held = mapper.measurements.held_out.T_world_camera
    np.testing.assert_array_equal(held, [ROUND[8], ROUND[24]])
    assert not (mapper.keyframe_poses()[:, None] == held).all((2, 3)).any()
    image, depth = view(CAMERA, ROUND[8])  # nor will it be, from the same place
    assert not mapper.is_new_viewpoint(ROUND[8])
    assert mapper.add(image, CAMERA, ROUND[8], depth) is None


def test_with_zero_none_is_held_out():
    mapper = fill(Mapper(replace(TINY, {'keyframes.held_out_every': 0})), ROUND[:39])
    assert mapper.keyframe_count == 39 and math.isnan(mapper.psnr())


def test_the_first_image_is_a_keyframe_however_often_images_are_held_out():
    mapper = fill(Mapper(replace(TINY, {'keyframes.held_out_every': 1})), ROUND[:3])
    assert mapper.keyframe_count == 1 and len(mapper.measurements.held_out.T_world_camera) == 2


def test_however_long_the_path_a_few_are_held_out_all_along_it():
    store, taken = HeldOut(every=16), []
    image = np.zeros((48, 64, 3), np.uint8)
    for number in range(2000):
        pose = np.eye(4)
        pose[0, 3] = number
        if store.due():
            store.add(image, CAMERA, pose, number)
            taken.append(number)
            assert len(store.rays()) == len(store.T_world_camera) * held_out.PIXELS
        assert len(store.T_world_camera) <= held_out.MAX_IMAGES
    places = store.T_world_camera[:, 0, 3]
    assert len(places) > held_out.MAX_IMAGES / 2 and len(taken) < 50
    assert places[0] < 300 and places[-1] > 1700
    gaps = np.diff(places)
    assert (gaps == gaps[0]).all()


def test_the_psnr_is_that_of_the_pixels():
    random, store = generator(), HeldOut(every=16)
    image = random.integers(0, 256, (48, 64, 3)).astype(np.uint8)
    store.add(image, CAMERA, ROUND[0], 0)
    rays = store.rays()
    assert psnr(rays.pixels / 255, rays.pixels / 255) == 100.0
    assert psnr(torch.full((len(rays), 3), 0.5), rays.pixels / 255) == pytest.approx(
        psnr_of_images(image, np.full_like(image, 127)), abs=1.0)
    # The ray of a pixel has the direction in which the camera saw it.
    directions = CAMERA.directions() @ ROUND[0][:3, :3].T
    index = ((rays.directions.numpy()[:, None] - directions) ** 2).sum(-1).argmin(-1)
    np.testing.assert_array_equal(image.reshape(-1, 3)[index], rays.pixels)


def test_it_is_the_psnr_of_whole_views():
    mapper = Mapper(replace(CONFIG, {'keyframes.held_out_every': 16}))
    assert math.isnan(mapper.psnr())
    fill(mapper, ROUND[::4])
    before = mapper.psnr()
    for _ in range(150):
        mapper.step()
    errors = [
        np.mean((view(CAMERA, pose)[0].astype(float) - mapper.render(CAMERA, pose).color) ** 2)
        for pose in mapper.measurements.held_out.T_world_camera]
    whole = 10 * math.log10(255**2 / np.mean(errors))
    after = mapper.psnr()
    assert after == pytest.approx(whole, abs=2.5) and after > before + 5
