"""Masks: what they cover is neither trained on nor measured, and keeps nothing else from it."""
import dataclasses
import json
import math
import warnings

import cv2
import numpy as np
import photo_sets
import pytest
import torch
from photo_sets import CAMERA, room
from randomness import generator
from test_evaluation import painted
from test_mapper import CONFIG

from instant_nerf_ros.data.frames import load_folder
from instant_nerf_ros.data.masks import find_mask, masked_alpha, read_mask
from instant_nerf_ros.nerf import Mapper, backends, scene_bounds
from instant_nerf_ros.nerf.capture.alpha import without_masked
from instant_nerf_ros.nerf.capture.batches import sample_batch, update_error_map
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.ranges import Ranges
from instant_nerf_ros.nerf.capture.rays import Rays, RaySources, keyframe_rays
from instant_nerf_ros.nerf.config import KeyframeConfig
from instant_nerf_ros.nerf.constants import MASKED_ALPHA, TILE_COLUMNS, TILES
from instant_nerf_ros.nerf.held_out import HeldOut
from instant_nerf_ros.scenes import evaluate
from instant_nerf_ros.scenes.evaluation import rendered
from instant_nerf_ros.scenes.photos import _write_masks, find_photos
from instant_nerf_ros.scenes.shrinking import shrunk
from instant_nerf_ros.scenes.sources import open_source

SIZE = CAMERA.height, CAMERA.width
LEFT = np.broadcast_to(np.arange(SIZE[1]) < SIZE[1] // 2, SIZE)  # what is masked in these tests
INTRUDER = 255, 0, 255  # the color of what is masked; nothing else has it


def write_mask(path, masked=LEFT):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.where(masked, np.uint8(0), np.uint8(255)))


def with_intruder(frame):
    """Return a frame whose left half shows something else, and is masked."""
    return dataclasses.replace(
        frame, image=np.where(LEFT[..., None], np.uint8(INTRUDER), frame.image),
        alpha=masked_alpha(None, LEFT))


# Files

@pytest.mark.parametrize(('image', 'mask'), [
    ('images/a.jpg', 'masks/a.jpg.png'), ('images/a.jpg', 'masks/a.png'),
    ('images/a.jpg', 'masks/a.jpg'), ('a.png', 'masks/a.png'),
    ('images/left/a.jpg', 'masks/left/a.jpg.png'), ('images/left/a.jpg', 'masks/left/a.png'),
    ('left/a.jpg', 'masks/left/a.jpg.png'), ('images/a.jpg', 'images/dynamic_mask_a.png')])
def test_the_mask_of_an_image_is_found(tmp_path, image, mask):
    assert find_mask(tmp_path / image) is None
    write_mask(tmp_path / 'masks' / 'b.png')
    write_mask(tmp_path / 'images' / 'dynamic_mask_b.png')
    write_mask(tmp_path / mask)
    assert find_mask(tmp_path / image) == tmp_path / mask


@pytest.mark.parametrize('name', ['m.png', 'm.jpg', 'm.bmp'])
def test_what_is_black_is_masked(tmp_path, name):
    write_mask(tmp_path / name)
    assert (read_mask(tmp_path / name, SIZE[::-1]) == LEFT).all()


def test_in_masks_of_instant_ngp_what_is_not_black_is_masked(tmp_path):
    write_mask(tmp_path / 'dynamic_mask_a.png', ~LEFT)
    assert (read_mask(tmp_path / 'dynamic_mask_a.png', SIZE[::-1]) == LEFT).all()


@pytest.mark.parametrize('values', [
    np.where(LEFT, 0, 1).astype(np.uint8), np.where(LEFT, 0, 40000).astype(np.uint16),
    np.dstack([np.where(LEFT, 0, 9)] * 3 + [np.full(SIZE, 255)]).astype(np.uint8)])
def test_labels_and_colors_are_not_black(tmp_path, values):
    cv2.imwrite(str(tmp_path / 'm.png'), values)
    assert (read_mask(tmp_path / 'm.png', SIZE[::-1]) == LEFT).all()


def test_a_mask_of_another_resolution_is_enlarged(tmp_path):
    write_mask(tmp_path / 'm.png', LEFT[::2, ::2])
    assert (read_mask(tmp_path / 'm.png', SIZE[::-1]) == LEFT).all()


@pytest.mark.parametrize(('masked', 'sentence'), [
    (LEFT[:, :9], 'must have the shape of its image'), (np.ones(SIZE), 'nothing of its image')])
def test_masks_that_cannot_be_used_are_named(tmp_path, masked, sentence):
    write_mask(tmp_path / 'm.png', masked)
    with pytest.raises(ValueError, match=f'm.png.*{sentence}'):
        read_mask(tmp_path / 'm.png', SIZE[::-1])


@pytest.mark.parametrize('key', ['mask_path', 'mask_file_path', None])
def test_masked_pixels_of_a_folder_have_neither_color_nor_depth(tmp_path, key):
    photo_sets.write_rgbd(tmp_path, room(9))
    for k in range(9):
        write_mask(tmp_path / ('dim' if key else 'masks') / f'{k:03d}.png')
    if key:
        document = json.loads((tmp_path / 'transforms.json').read_text())
        for k, frame in enumerate(document['frames']):
            frame[key] = f'dim/{k:03d}.png'
        (tmp_path / 'transforms.json').write_text(json.dumps(document))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        frames = [frame for _, frame in open_source(tmp_path).read(range(9))]
    for frame in frames:
        assert ((frame.alpha == MASKED_ALPHA) == LEFT).all() and (frame.alpha[~LEFT] == 255).all()
        assert ((frame.depth == 0) == LEFT).all()


def test_where_alpha_is_not_used_depth_is_masked_and_a_warning_says_so(tmp_path):
    photo_sets.write_rgbd(tmp_path, room(2))
    document = json.loads((tmp_path / 'transforms.json').read_text())
    write_mask(tmp_path / 'm.png')
    document['mask_path'] = 'm.png'
    (tmp_path / 'transforms.json').write_text(json.dumps(document))
    with pytest.warns(UserWarning, match='only depth is masked'):
        frame = load_folder(tmp_path)[0]
    assert frame.alpha is None and ((frame.depth == 0) == LEFT).all()


def test_images_without_a_mask_among_others_are_counted(tmp_path):
    photo_sets.write_colmap_text(tmp_path, room(5))
    for k in range(3):
        write_mask(tmp_path / 'masks' / f'{k:03d}.png')
    with pytest.warns(UserWarning, match='2 of 5 images have no mask.*003.png'):
        frames = [frame for _, frame in open_source(tmp_path).read(range(5))]
    assert [frame.alpha is None for frame in frames] == [False] * 3 + [True] * 2


def test_a_frame_whose_mask_is_lost_is_left_out(tmp_path):
    photo_sets.write_transforms(tmp_path, room(3))
    document = json.loads((tmp_path / 'transforms.json').read_text())
    write_mask(tmp_path / 'm.png')
    for frame, name in zip(document['frames'], ('m.png', 'lost.png', 'm.png')):
        frame['mask_path'] = name
    (tmp_path / 'transforms.json').write_text(json.dumps(document))
    with pytest.warns(UserWarning, match='1 of 3 frames cannot be read.*lost.png is missing'):
        assert [k for k, _ in open_source(tmp_path).read(range(3))] == [0, 2]


def test_alpha_of_a_file_is_never_taken_for_a_mask():
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16)
    read = masked_alpha(alpha, None)
    assert not (read == MASKED_ALPHA).any() and (abs(read.astype(int) - alpha) <= 1).all()
    assert masked_alpha(None, np.zeros((16, 16), bool)) is None


def test_colmap_gets_a_mask_for_each_photo_by_its_whole_name(tmp_path):
    names = photo_sets.write_images(tmp_path / 'images', room(4))
    write_mask(tmp_path / 'images' / 'dynamic_mask_000.png', ~LEFT)
    write_mask(tmp_path / 'masks' / '002.png')
    folder, found = find_photos(tmp_path)
    assert found == names
    masks = _write_masks(folder, dict.fromkeys(names, SIZE[::-1]), tmp_path / 'work')
    for k in (0, 2):
        written = cv2.imread(f'{masks}/00{k}.png.png', cv2.IMREAD_UNCHANGED)
        assert ((written == 0) == LEFT).all()
    assert len(list((tmp_path / 'work').iterdir())) == 2
    assert _write_masks(folder, {names[1]: SIZE[::-1]}, tmp_path / 'none') == ''


# Training

@pytest.mark.parametrize('as_array', [np.asarray, torch.as_tensor])
def test_rays_of_masked_pixels_are_replaced_by_others_of_the_batch(as_array):
    random, count = generator(), 4000
    alphas = random.choice([0, 255, MASKED_ALPHA, 128], count).astype(np.uint8)
    alphas[:3] = MASKED_ALPHA
    names = np.arange(count)
    pixels = np.stack([names % 256, names // 256, names * 0], axis=-1).astype(np.uint8)
    origins = torch.from_numpy(names).float()[:, None].expand(count, 3)
    rays = Rays(origins, origins, torch.zeros(count), torch.from_numpy(pixels))
    sources = RaySources(*map(as_array, (names, names, pixels, alphas)))
    used, of = without_masked(rays, sources)
    chosen = used.origins[:, 0].numpy().astype(int)
    assert (alphas[chosen] != MASKED_ALPHA).all()
    kept = alphas != MASKED_ALPHA
    assert (chosen[kept] == names[kept]).all()
    assert (used.pixels.numpy() == pixels[chosen]).all()
    assert (np.asarray(of.pixels) == pixels[chosen]).all()
    assert (np.asarray(of.alphas) == alphas[chosen]).all()
    assert (np.asarray(of.masked) == ~kept).all() and (np.asarray(of.keyframes) == names).all()
    shares = [(alphas[chosen] == alpha).mean() for alpha in (0, 128, 255)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.05)


@pytest.mark.parametrize('device', ['reference', 'cpu'])
def test_no_ray_of_any_kind_shows_what_is_masked(device):
    keyframes, random = Keyframes(KeyframeConfig(budget_mb=16)), generator()
    held_out = HeldOut(1)
    for frame in room(3):
        seen = with_intruder(frame)
        keyframes.add(seen.image, CAMERA, seen.T_world_camera, seen.depth, seen.alpha)
        held_out.add(seen.image, CAMERA, seen.T_world_camera, 0, seen.alpha)
    backend = backends.select(device)
    rays, sources = sample_batch(keyframes, Ranges(), Ranges(), backend, 2000, random, 0.5)
    for pixels in (rays.pixels, sources.pixels, held_out.rays().pixels,
                   keyframe_rays(keyframes, 1, 500, random).pixels):
        assert not (np.asarray(pixels) == INTRUDER).all(-1).any()
    assert all((keyframes.image(k)[2] == 0)[LEFT].all() for k in range(3))


@pytest.mark.parametrize('device', ['reference', 'cpu'])
def test_rays_stop_going_where_all_is_masked(device):
    keyframes, random = Keyframes(KeyframeConfig(budget_mb=16)), generator()
    frame = with_intruder(room(1)[0])
    keyframes.add(frame.image, CAMERA, frame.T_world_camera, None, frame.alpha)
    backend = backends.select(device)
    for _ in range(40):
        rays, sources = sample_batch(keyframes, Ranges(), Ranges(), backend, 2000, random, 0.5)
        update_error_map(keyframes, backend, sources, rays, torch.full((2000, 3), 0.5),
                         torch.ones(2000))
    errors = keyframes.error_map.errors[0]
    masked = np.arange(TILES) % TILE_COLUMNS < TILE_COLUMNS // 2
    assert errors[masked].max() < 0.02 and errors[~masked].min() > 0.02


def test_a_field_that_has_seen_masked_intruders_does_not_know_them():
    mapper = Mapper(CONFIG)
    for number, frame in enumerate(room(24)):
        seen = with_intruder(frame) if number % 2 else frame
        mapper.add(seen.image, CAMERA, seen.T_world_camera, seen.depth, seen.alpha)
    for _ in range(150):
        mapper.step()
    for frame in room(24)[1::6]:
        color = mapper.render(CAMERA, frame.T_world_camera).color.astype(int)
        error = np.abs(color - frame.image).mean(-1)
        assert error[LEFT].mean() < 2 * error[~LEFT].mean() + 5
        assert np.abs(color - INTRUDER).mean(-1)[LEFT].mean() > 60


def test_masks_are_no_silhouettes():
    frames = room(6)
    images, poses, depths = zip(*((f.image, f.T_world_camera, f.depth) for f in frames))
    expected = scene_bounds(images, [CAMERA] * 6, poses, depths)
    masked = [masked_alpha(None, LEFT)] * 6
    assert scene_bounds(images, [CAMERA] * 6, poses, depths, masked) == expected


def test_an_image_of_which_nothing_is_left_is_refused():
    mapper, frame = Mapper(CONFIG), room(1)[0]
    with pytest.raises(ValueError, match='all pixels of the image are masked'):
        mapper.add(frame.image, CAMERA, frame.T_world_camera,
                   alpha=np.full(SIZE, MASKED_ALPHA, np.uint8))


# Evaluation

def test_what_is_masked_does_not_count_in_the_evaluation():
    frames = [with_intruder(frame) for frame in room(4)]
    scene = painted(room(4), depth_error=0.25)
    masked = dataclasses.replace(scene, held_out=dict(zip(scene.held_out, frames)))
    got, whole = evaluate(masked), evaluate(scene)
    assert [view.psnr for view in got.views] == pytest.approx(
        [math.inf, *(20 * math.log10(255 / error) for error in (1, 2, 3))])
    assert got.views[0].ssim == 1.0 and got.mean('ssim') == pytest.approx(
        whole.mean('ssim'), abs=0.02)


def test_pictures_are_over_white_where_images_are_transparent_not_where_they_are_masked():
    frame = room(1)[0]
    transparent = np.where(LEFT, np.uint8(0), np.uint8(255))
    scene, colors = painted([frame], opacity=0.5), []
    for alpha in (None, masked_alpha(None, LEFT), transparent):
        image, _ = rendered(scene.mapper, dataclasses.replace(frame, alpha=alpha))
        colors.append(image.astype(float))
    assert (colors[0] == colors[1]).all()
    np.testing.assert_allclose(colors[2], colors[0] + 127.5, atol=1)


def test_a_smaller_image_has_nothing_of_what_is_masked():
    frame = with_intruder(room(1)[0])
    small, plain = shrunk(frame, 0.4), shrunk(room(1)[0], 0.4)
    masked = small.alpha == MASKED_ALPHA
    share = cv2.resize(LEFT.astype(np.float32), masked.shape[::-1], interpolation=cv2.INTER_AREA)
    assert (masked == (share >= 0.5)).all()
    assert (small.alpha[~masked] == 255).all()
    clean = share == 0
    assert np.abs(small.image[clean].astype(int) - plain.image[clean]).max() <= 1
    partly = ~masked & (share > 0)
    assert (small.image[partly].astype(int) - INTRUDER).any(-1).all()
