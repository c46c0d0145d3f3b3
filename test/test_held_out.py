"""Held-out images: not learnt from, spread over the session, and a truthful measure."""
import math

import numpy as np
import pytest
import torch
from randomness import generator
from scenes import CAMERA, poses, view
from test_mapper import CONFIG, TINY, psnr

from instant_nerf_ros.nerf import Mapper, held_out
from instant_nerf_ros.nerf.held_out import HeldOut

ROUND = poses(256)


def fill(mapper, T_world_cameras):
    """Add images, some of which may be held out."""
    for T_world_camera in T_world_cameras:
        image, depth = view(CAMERA, T_world_camera)
        assert mapper.is_new_viewpoint(T_world_camera)
        if not mapper.held_out.takes(image, CAMERA, T_world_camera, mapper.keyframes.count):
            mapper.add(image, CAMERA, T_world_camera, depth)
    return mapper


def test_every_sixteenth_is_held_out_and_not_among_the_keyframes():
    mapper = fill(Mapper(TINY), ROUND[:39])
    assert mapper.keyframe_count == 37
    held = mapper.held_out.T_world_camera
    np.testing.assert_array_equal(held, [ROUND[7], ROUND[23]])
    assert not (mapper.keyframes.T_world_camera[:, None] == held).all((2, 3)).any()
    image, depth = view(CAMERA, ROUND[7])  # nor will it be, from the same place
    assert not mapper.is_new_viewpoint(ROUND[7])
    assert not mapper.add(image, CAMERA, ROUND[7], depth)


def test_however_long_the_way_a_few_are_held_out_all_along_it():
    store, taken = HeldOut(), []
    image = np.zeros((48, 64, 3), np.uint8)
    for number in range(2000):
        pose = np.eye(4)
        pose[0, 3] = number
        if store.takes(image, CAMERA, pose, number):
            taken.append(number)
        assert len(store.rays) == len(store.T_world_camera) <= held_out.MOST
    places = store.T_world_camera[:, 0, 3]
    assert len(places) > held_out.MOST / 2 and len(taken) < 50
    assert places[0] < 300 and places[-1] > 1700
    gaps = np.diff(places)
    assert (gaps == gaps[0]).all()


def test_the_psnr_is_that_of_the_pixels(monkeypatch):
    random, store = generator(), HeldOut()
    image = random.integers(0, 256, (48, 64, 3)).astype(np.uint8)
    while not store.takes(image, CAMERA, ROUND[0], 0):
        pass
    (rays,) = store.rays

    mapper = Mapper(TINY)

    def psnr_of(colors):
        monkeypatch.setattr(held_out, 'look', lambda *_: (colors, None, None))
        return store.psnr(mapper)

    assert psnr_of(rays.pixels / 255) == 100.0
    assert psnr_of(torch.full((len(rays), 3), 0.5)) == pytest.approx(
        psnr(image, np.full_like(image, 127)), abs=1.0)
    # The ray of a pixel looks where the camera saw it.
    directions = CAMERA.directions() @ ROUND[0][:3, :3].T
    index = ((rays.directions.numpy()[:, None] - directions) ** 2).sum(-1).argmin(-1)
    np.testing.assert_array_equal(image.reshape(-1, 3)[index], rays.pixels)


def test_it_says_how_good_views_are():
    mapper = Mapper(CONFIG)
    assert math.isnan(mapper.held_out.psnr(mapper))
    fill(mapper, ROUND[::4])
    before = mapper.held_out.psnr(mapper)
    for _ in range(150):
        mapper.step()
    errors = [
        np.mean((view(CAMERA, pose)[0].astype(float) - mapper.render(CAMERA, pose).color) ** 2)
        for pose in mapper.held_out.T_world_camera]
    whole = 10 * math.log10(255**2 / np.mean(errors))
    after = mapper.held_out.psnr(mapper)
    assert after == pytest.approx(whole, abs=2.5) and after > before + 5
