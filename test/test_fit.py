"""Fit: data in, a scene on disk out; what stops it, and what is refused without a trace."""
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
import types

import numpy as np
import photo_sets
import pytest
from photo_sets import CAMERA, room

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.data.metrics import psnr
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.scenes import Scene, evaluate, fit
from instant_nerf_ros.scenes.cli import main
from instant_nerf_ros.scenes.fit_training import Limits, SampledRows

FAST = {'field.log2_table': 12, 'sampling.samples_per_step': 4096}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a folder of 24 posed RGB-D frames."""
    folder = tmp_path_factory.mktemp('room')
    photo_sets.write_rgbd(folder, room(24))
    return folder


@pytest.fixture(scope='module')
def scene(folder):
    """Return a fitted scene, in the folder scene/ of the data."""
    reports = []
    scene = fit(folder, folder / 'scene', steps=150, settings=FAST, on_progress=reports.append)
    return scene, reports


def test_the_psnr_of_a_few_rows_is_that_of_whole_views_of_an_object():
    # Discs before white, which are rendered 20 levels too dark; what is white is exact.
    camera = Camera(200, 200, 200.0, 200.0, 99.5, 99.5)
    y, x = np.mgrid[:200, :200]
    frames, inside = [], {}
    for number, (radius, height) in enumerate(zip(np.linspace(30, 55, 8), range(70, 134, 8))):
        disc = (x - 100) ** 2 + (y - height) ** 2 < radius**2
        image = np.where(disc[..., None], np.uint8(100), np.uint8(255)).repeat(3, axis=2)
        T = np.eye(4)
        T[0, 3] = number
        frames.append(Frame(number, image, camera, T))
        inside[number] = image - np.uint8(20) * disc[..., None]
    mapper = types.SimpleNamespace(render=lambda camera, T, rows: types.SimpleNamespace(
        color=inside[int(T[0, 3])][rows].astype(np.float32),
        opacity=np.ones(inside[int(T[0, 3])][rows].shape[:2], np.float32)))
    whole = np.mean([psnr(inside[frame.stamp].astype(np.uint8), frame.image) for frame in frames])
    assert SampledRows(frames).psnr(mapper) == pytest.approx(whole, abs=0.3)


def test_a_scene_is_learnt_and_its_progress_reported(scene):
    scene, reports = scene
    history = scene.provenance.history
    assert history[-1].steps == scene.mapper.steps == 150
    assert scene.provenance.ended == 'the steps are done'
    trained = np.array([frame.image for frame in scene.training_frames().values()])
    mean = trained.mean(axis=(0, 1, 2)).astype(np.uint8)
    guess = np.mean([psnr(np.broadcast_to(mean, frame.image.shape), frame.image)
                     for frame in scene.held_out.values()])
    assert history[-1].psnr > guess + 3 and history[-1].loss < history[0].loss
    assert [record.steps for record in history] == sorted(record.steps for record in history)
    stages = list(dict.fromkeys(report.stage for report in reports))
    assert stages == ['images', 'training', 'saving']
    for stage in stages:
        shares = [report.share for report in reports if report.stage == stage]
        assert shares == sorted(shares) and shares[-1] == 1.0


def test_the_psnr_of_the_last_record_is_that_of_rows_of_the_held_out_views(scene):
    """Of three views, they tell the PSNR of all pixels to a decibel or two only."""
    scene, _ = scene
    last = scene.provenance.history[-1].psnr
    rows = SampledRows([*scene.held_out.values()]).psnr(scene.mapper)
    assert last == pytest.approx(rows, abs=0.05)
    assert last == pytest.approx(evaluate(scene).mean('psnr'), abs=3.0)


def test_a_scene_on_disk_is_the_one_that_was_fitted(scene, folder):
    scene, _ = scene
    loaded = Scene.load(folder / 'scene')
    assert loaded.mapper.steps == scene.mapper.steps
    made, read = scene.provenance, loaded.provenance
    assert (made.frames, made.kind, made.command) == (read.frames, read.kind, read.command)
    assert made.history == read.history
    assert list(loaded.held_out) == list(scene.held_out)
    for name, frame in scene.held_out.items():
        other = loaded.held_out[name]
        assert (other.image == frame.image).all() and other.camera == frame.camera
        np.testing.assert_allclose(other.T_world_camera, frame.T_world_camera, atol=1e-12)
        np.testing.assert_allclose(other.depth, frame.depth, atol=6e-4)
        view, again = (each.mapper.render(frame.camera, frame.T_world_camera)
                       for each in (scene, loaded))
        np.testing.assert_allclose(view.color, again.color, atol=2)


def test_no_frame_is_both_trained_on_and_held_out(scene):
    scene, _ = scene
    trained = scene.training_frames()
    assert len(trained) == 21 and len(scene.held_out) == 3
    assert not set(trained) & set(scene.held_out)
    true = {f'{index:03d}.png': frame for index, frame in enumerate(room(24))}
    for name, frame in {**trained, **scene.held_out}.items():
        assert (frame.image == true[name].image).all()


def test_the_command_that_is_recorded_makes_the_same_scene(scene, folder, tmp_path):
    scene, _ = scene
    words = scene.provenance.command.split()
    assert words[:2] == ['instant-nerf', 'fit']
    words[words.index('--out') + 1] = str(tmp_path / 'again')
    assert main(words[1:]) == 0
    again = Scene.load(tmp_path / 'again')
    assert again.mapper.config == scene.mapper.config and again.mapper.steps == scene.mapper.steps


@pytest.mark.parametrize(('limits', 'share'), [
    (Limits(seconds=10.0), 0.2), (Limits(steps=10), 0.5), (Limits(10.0, 10), 0.5),
    (Limits(), 2 / 60), (Limits(target_psnr=30.0), 0.0), (Limits(1.0), 1.0)])
def test_the_first_limit_counts(limits, share):
    assert limits.share(seconds=2.0, steps=5) == pytest.approx(share)


def test_training_ends_at_a_target(folder, tmp_path):
    scene = fit(folder, tmp_path / 's', target_psnr=12.0, seconds=60.0, settings=FAST)
    assert scene.provenance.ended == 'the target is reached'
    assert scene.provenance.history[-1].psnr >= 12.0


@pytest.mark.parametrize(('factor', 'turn'), [(0.01, False), (20.0, True)])
def test_photos_of_any_scale_and_axes_become_a_scene_in_metres(tmp_path, factor, turn):
    frames = room(12)
    T = np.eye(4)
    if turn:  # y is down, as COLMAP's first camera would have it
        T[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    frames = [dataclasses.replace(frame, T_world_camera=moved(T, frame, factor))
              for frame in frames]
    photo_sets.write_llff(tmp_path / 'data', [
        dataclasses.replace(frame, depth=frame.depth * factor) for frame in frames])
    scene = fit(tmp_path / 'data', tmp_path / 'scene', steps=5, settings=FAST)
    true = np.array([frame.T_world_camera for frame in room(12)])
    got = {**scene.training_frames(), **scene.held_out}
    poses = np.array([got[name].T_world_camera for name in sorted(got)])
    # Upright, and the room that is 4 m long is some metres long again.
    np.testing.assert_allclose(poses[:, 2, 1], true[:, 2, 1], atol=0.2)
    ratio = np.ptp(poses[:, :3, 3]) / np.ptp(true[:, :3, 3])
    assert 0.3 < ratio < 3
    sampling = scene.mapper.config.sampling
    assert sampling.near < 0.5 * ratio and sampling.far > 2.5 * ratio


def moved(T, frame, factor):
    pose = T @ frame.T_world_camera
    pose[:3, 3] *= factor
    return pose


def start_fit(folder, out, *options):
    return subprocess.Popen(
        [sys.executable, '-m', 'instant_nerf_ros.scenes.cli', 'fit', folder, '--out', out,
         '--set', 'field.log2_table=12', *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_learnt(folder, tmp_path):
    process = start_fit(folder, tmp_path / 's', '--seconds', '600')
    while not re.search(r'training.*steps', line := process.stderr.readline()):
        assert line, 'it has ended'
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert 'Ctrl-C' in output and 'Traceback' not in errors
    scene = Scene.load(tmp_path / 's')
    assert scene.mapper.steps > 1 and scene.provenance.ended == 'Ctrl-C'


def test_ctrl_c_before_training_leaves_nothing(folder, tmp_path):
    process = start_fit(folder, tmp_path / 'new' / 's')
    while not process.stderr.readline().startswith('images'):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    # It may have begun to train on a fast machine, and has kept that then.
    assert process.returncode in (0, 130) and 'Traceback' not in errors
    if process.returncode:
        assert os.listdir(tmp_path / 'new') == [] and 'nothing was written' in errors


def no_poses(folder):
    (folder / 'notes.txt').write_text('hello')


def one_photo(folder):
    photo_sets.write_images(folder, room(1))


def one_frame(folder):
    photo_sets.write_transforms(folder, room(1))


def truncated_image(folder):
    photo_sets.write_transforms(folder, room(9))
    for path in (folder / 'images').iterdir():
        path.write_bytes(path.read_bytes()[:100])


def truncated_model(folder):
    photo_sets.write_colmap_text(folder, room(3))
    path = folder / 'sparse' / '0' / 'images.txt'
    path.write_text(path.read_text()[:40])


def left_handed(folder):
    photo_sets.write_transforms(folder, room(3))
    rewrite(folder, lambda T: T @ np.diag([-1.0, 1, 1, 1]))


def not_a_number(folder):
    photo_sets.write_transforms(folder, room(3))
    rewrite(folder, lambda T: T * np.nan)


def too_few_rows(folder):
    photo_sets.write_llff(folder, room(4))
    (folder / 'images' / '000.png').unlink()


def no_images(folder):
    photo_sets.write_colmap_text(folder, room(3))
    for path in (folder / 'images').iterdir():
        path.unlink()


def empty_bag(folder):
    photo_sets.write_bag(folder / 'bag', [])


def rewrite(folder, change):
    path = folder / 'transforms.json'
    document = json.loads(path.read_text())
    for frame in document['frames']:
        frame['transform_matrix'] = change(np.array(frame['transform_matrix'])).tolist()
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(('write', 'sentence'), [
    (no_poses, 'has no photos'), (one_photo, 'has 1 photo, at least 3'),
    (one_frame, 'needs two at least'), (truncated_image, 'none of 7 frames can be read'),
    (truncated_model, 'damaged or truncated|invalid'), (left_handed, 'right-handed'),
    (not_a_number, 'finite'), (too_few_rows, '4 poses, but .* 3 images'),
    (no_images, 'images of .* are not there'), (empty_bag, 'Image')])
def test_bad_data_is_refused_with_a_sentence_and_without_a_trace(
        tmp_path, capsys, write, sentence):
    data = tmp_path / 'data'
    data.mkdir()
    write(data)
    path = data / 'bag' if (data / 'bag').exists() else data
    assert main(['fit', str(path), '--out', str(tmp_path / 'out' / 'scene')]) == 2
    errors = capsys.readouterr().err
    assert re.search(sentence, errors) and 'Traceback' not in errors
    assert not (tmp_path / 'out').exists() or os.listdir(tmp_path / 'out') == []


@pytest.mark.parametrize(('options', 'sentence'), [
    (['missing', '--out', 'out'], 'missing does not exist'),
    (['data', '--out', 'data'], 'data exists already'),
    (['data', '--out', 'out', '--seconds', '-1'], 'seconds must be positive'),
    (['data', '--out', 'out', '--set', 'sampling.near'], 'NAME=VALUE'),
    (['data', '--out', 'out', '--set', 'sampling.near=x'], "'x' is not of the type float"),
    (['data', '--out', 'out', '--set', 'sampling.near=99'], 'between 0.0 and 10.0'),
    (['data', '--out', 'out', '--scale', '0'], 'scale')])
def test_wrong_options_are_refused_with_a_sentence(
        tmp_path, monkeypatch, capsys, options, sentence):
    monkeypatch.chdir(tmp_path)
    photo_sets.write_transforms(tmp_path / 'data', room(3))
    before = sorted(tmp_path.rglob('*'))
    assert main(['fit', *options]) == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert sorted(tmp_path.rglob('*')) == before


def test_images_of_several_cameras_and_sizes_are_one_scene(tmp_path):
    frames = room(4)
    small = CAMERA.scaled(32, 24)
    photo_sets.write_transforms(tmp_path, frames)
    document = json.loads((tmp_path / 'transforms.json').read_text())
    photo_sets.write_image(
        tmp_path / 'images' / '003.png', photo_sets.view(small, frames[3].T_world_camera)[0])
    document['frames'][3] |= {
        'w': 32, 'h': 24, 'fl_x': small.fx, 'fl_y': small.fy, 'cx': small.cx + 0.5,
        'cy': small.cy + 0.5}
    (tmp_path / 'transforms.json').write_text(json.dumps(document))
    scene = fit(tmp_path, tmp_path / 'scene', steps=3, settings=FAST)
    assert [frame.camera.width for frame in scene.training_frames().values()] == [64, 64, 64, 32]
