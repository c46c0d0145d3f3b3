"""Evaluation of scenes: figures in closed form, and the pictures and files that it writes."""
import dataclasses
import json
import math

import cv2
import numpy as np
import photo_sets
import pytest
from photo_sets import CAMERA, room

from instant_nerf_ros.nerf.field.render import View
from instant_nerf_ros.scenes.cli import main
from instant_nerf_ros.scenes.evaluation import comparison, evaluate, reference, rendered, write
from instant_nerf_ros.scenes.scene_folder import Provenance, Scene

SIZE = CAMERA.height, CAMERA.width


class Painter:
    """A mapper that renders the true image of a pose, plus an error that grows with each view."""

    def __init__(self, frames, opacity=1.0, depth_error=0.0):
        self.frames, self.opacity, self.depth_error = frames, opacity, depth_error

    def render(self, camera, pose):
        """Render a view."""
        index = next(k for k, frame in enumerate(self.frames)
                     if np.allclose(frame.T_world_camera, pose))
        image = self.frames[index].image.astype(int)
        noise = np.where(image > 127, -index, index)
        color = ((image + noise) * self.opacity).astype(np.uint8)
        return View(color, self.frames[index].depth + np.float32(self.depth_error),
                    np.full(SIZE, self.opacity, np.float32))


def painted(frames, **kind):
    named = {f'{k:03d}.png': frame for k, frame in enumerate(frames)}
    made = Provenance('nowhere', 'photos', '', '0', np.eye(4), True, [], [], '')
    return Scene(Painter(frames, **kind), named, made)


def test_the_psnr_of_a_constant_error_is_its_logarithm():
    evaluation = evaluate(painted(room(4), depth_error=0.25))
    assert [view.psnr for view in evaluation.views] == pytest.approx(
        [math.inf, *(20 * math.log10(255 / error) for error in (1, 2, 3))])
    assert evaluation.views[0].ssim == 1.0
    ssims = [view.ssim for view in evaluation.views]
    assert ssims == sorted(ssims, reverse=True) and ssims[-1] < 1
    assert evaluation.mean('depth_error') == pytest.approx(0.25, abs=1e-6)
    assert [view.name for view in evaluation.worst(2)] == ['003.png', '002.png']


def test_without_depth_there_is_no_error_of_depth():
    frames = [dataclasses.replace(frame) for frame in room(2)]
    scene = painted(frames)
    held_out = {name: dataclasses.replace(frame, depth=None)
                for name, frame in scene.held_out.items()}
    evaluation = evaluate(dataclasses.replace(scene, held_out=held_out))
    assert math.isnan(evaluation.mean('depth_error'))
    assert evaluation.json()['mean']['depth_error'] is None


def test_transparent_images_are_compared_over_white():
    alpha = np.full(SIZE, 64, np.uint8)
    frame = dataclasses.replace(room(1)[0], alpha=alpha)
    share = 64 / 255
    expected = frame.image * share + 255 * (1 - share)
    np.testing.assert_allclose(reference(frame), expected, atol=0.5)
    image, _ = rendered(Painter([frame], opacity=share), frame)
    np.testing.assert_allclose(image, expected, atol=1.5)


def test_a_comparison_shows_both_images_and_where_they_differ():
    one = np.full((20, 30, 3), 100, np.uint8)
    two = one.copy()
    two[5, 7] = 150
    used = np.ones((20, 30), bool)
    used[9, 9], two[9, 9] = False, 0
    picture = comparison(one, two, used)
    assert (picture[:, :30] == one).all() and (picture[:, 34:64] == two).all()
    difference = picture[:, 68:].sum(axis=-1).astype(int)
    assert np.unravel_index(difference.argmax(), difference.shape) == (5, 7)


def test_the_worst_views_and_all_figures_are_written(tmp_path):
    scene = painted(room(4))
    evaluation = evaluate(scene)
    write(evaluation, scene, tmp_path / 'eval', worst=2)
    names = sorted(path.name for path in (tmp_path / 'eval').iterdir())
    assert names == ['results.json', 'worst_1_003_38.6dB.png', 'worst_2_002_42.1dB.png']
    document = json.loads((tmp_path / 'eval' / 'results.json').read_text())
    assert document['mean']['ssim'] == evaluation.mean('ssim')
    assert document['views'][0]['psnr'] is None  # infinite, which JSON cannot say
    picture = cv2.imread(str(tmp_path / 'eval' / names[1]))[..., ::-1]
    assert (picture[:, :CAMERA.width] == scene.held_out['003.png'].image).all()


def test_eval_prints_and_writes_and_overwrites_nothing(tmp_path, capsys):
    photo_sets.write_rgbd(tmp_path / 'data', room(9))
    assert main(['fit', str(tmp_path / 'data'), '--out', str(tmp_path / 's'), '--steps', '5',
                 '--set', 'field.log2_table=12']) == 0
    capsys.readouterr()
    assert main(['eval', str(tmp_path / 's'), '--json', '--out', str(tmp_path / 'e')]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [view['name'] for view in document['views']] == ['000.png', '008.png']
    assert document['mean']['depth_error'] > 0 and not document['trained_on']
    assert main(['eval', str(tmp_path / 's')]) == 0
    table = capsys.readouterr().out
    assert '000.png' in table and f"{document['mean']['psnr']:.2f}" in table
    assert main(['eval', str(tmp_path / 's'), '--out', str(tmp_path / 'e')]) == 2
    assert 'exists already' in capsys.readouterr().err
    assert main(['eval', str(tmp_path / 'data')]) == 2
    assert 'is no scene' in capsys.readouterr().err


def test_without_held_out_views_those_trained_on_are_measured_and_named_so(tmp_path, capsys):
    photo_sets.write_transforms(tmp_path / 'data', room(4))
    assert main(['fit', str(tmp_path / 'data'), '--out', str(tmp_path / 's'), '--steps', '3',
                 '--set', 'field.log2_table=12']) == 0
    assert main(['eval', str(tmp_path / 's')]) == 0
    assert '4 views, trained on' in capsys.readouterr().out
