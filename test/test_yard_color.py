"""The evaluation of maps from color alone, in benchmarks/: what mappers are given, and tables."""
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.simulation.tour import T_BASE_CAMERA, Tour

ROOT = Path(__file__).resolve().parents[1]
# The tests and the examples have other modules of the names `scenes` and `report`.
with pytest.MonkeyPatch.context() as patch:
    for folder in 'examples', 'benchmarks':
        patch.syspath_prepend(ROOT / folder)
    for name in 'scenes', 'report':
        patch.delitem(sys.modules, name, raising=False)
    import datasets
    import yard_color
    import yard_scenes
    from report import Table
    from yard_mapper import add_frames
    for name in 'scenes', 'report':
        del sys.modules[name]

CAMERA = Camera(8, 6, 6.0, 6.0, 3.5, 2.5)
IMAGE = np.zeros((6, 8, 3), np.uint8)
DEPTH = np.ones((6, 8), np.float32)


class Calls:
    """A Mapper that only notes what it is told."""

    def __init__(self):
        self.made = []

    def add(self, image, camera, T_world_camera, depth, angular_velocity):
        """Note whether there is depth."""
        self.made.append('color' if depth is None else 'depth')

    def add_body_pose(self, T_world_base):
        """Note the pose."""
        self.made.append(T_world_base)

    def step(self):
        """Note the step."""
        self.made.append('step')


def test_the_body_follows_the_images_and_training_comes_after_each():
    mapper = Calls()
    frames = [Frame(stamp, IMAGE, CAMERA, np.eye(4), DEPTH) for stamp in (0, 100, 200)]
    base = [(0, 'a'), (60, 'b'), (100, 'c'), (180, 'd'), (300, 'e')]
    add_frames(mapper, frames, base, 2)
    assert mapper.made == ['depth', 'a', 'step', 'step', 'depth', 'b', 'c', 'step', 'step',
                           'depth', 'd', 'step', 'step']


def test_images_without_depth_are_closer_together_than_those_of_the_truth(monkeypatch):
    asked = []

    def captures(translation, rotation):
        asked.append((translation, rotation))
        frame = Frame(0, IMAGE, CAMERA, np.eye(4), DEPTH)
        return [SimpleNamespace(frame=frame)] * 3

    recorded = yard_scenes.Recorded(
        yard_scenes.DEVELOPED[0], [], 'truth', np.zeros(0, bool), np.zeros(0, np.int8), 0.1)
    monkeypatch.setattr(yard_color, 'recording', lambda scene, exact: (
        None, SimpleNamespace(captures=captures)))
    monkeypatch.setattr(yard_color, 'load_yard', lambda scene, exact: recorded)
    frames = yard_color.load(recorded.scene, False)
    assert frames.truth == 'truth' and [frame.depth for frame in frames.frames] == [None] * 3
    (translation, rotation), = asked
    assert translation < yard_scenes.TRANSLATION
    assert rotation / yard_scenes.ROTATION == pytest.approx(translation / yard_scenes.TRANSLATION)


def test_a_map_is_taken_at_the_last_image_and_after_more_training(monkeypatch):
    made = []
    monkeypatch.setattr(yard_color, 'Mapper', lambda config: Calls())
    monkeypatch.setattr(yard_color, 'base_poses', lambda scene, exact: [(0, 'pose')])
    monkeypatch.setattr(yard_color, 'mapped_result', lambda title, mapper, truth, seconds: (
        made.append((title, mapper.made[:2], mapper.made.count('step')))))
    recorded = SimpleNamespace(
        scene=None, truth=None, frames=[Frame(0, IMAGE, CAMERA, np.eye(4), None)])
    yard_color.mapped(recorded, False, None, None)
    begin, few = ['color', 'pose'], yard_color.STEPS
    assert made == [(yard_color.BODY_ALONE, begin, 0), (yard_color.NOW, begin, few),
                    (yard_color.LATER, begin, few + yard_color.MORE_STEPS)]


def test_the_map_of_the_body_alone_has_all_of_its_poses_and_one_image(monkeypatch):
    mapper = Calls()
    monkeypatch.setattr(yard_color, 'Mapper', lambda config: mapper)
    monkeypatch.setattr(yard_color, 'mapped_result', lambda *arguments: None)
    recorded = SimpleNamespace(truth=None, frames=[
        Frame(stamp, IMAGE, CAMERA, np.eye(4), None) for stamp in (0, 100)])
    yard_color.body_alone(recorded, [(0, 'a'), (60, 'b'), (100, 'c')])
    assert mapper.made == ['color', 'a', 'b', 'c']


def test_the_brief_table_has_a_line_for_each_scene_with_the_figures_of_the_later_map():
    headings = ['1: flat', yard_color.NOW, yard_color.LATER]
    rows = [['time [s]', 1.0, 2.0], *([name, 0.0, index] for index, name in enumerate(
        yard_color.BRIEF))]
    table = yard_color.brief([Table(headings, rows)])
    assert table.rows == [['1: flat', *range(len(yard_color.BRIEF))]]
    assert len(table.headings) == len(table.rows[0])


def test_the_base_in_the_flat_is_below_the_camera_of_each_frame():
    poses = datasets.flat_base()
    assert len(poses) == datasets.FLAT_FRAMES
    tour = Tour()
    for number in (0, 1, 77):
        time = number * tour.duration / datasets.FLAT_FRAMES
        np.testing.assert_allclose(
            poses[int(time * 1e9)][-1] @ T_BASE_CAMERA, tour.T_world_camera(time), atol=1e-9)
    path = np.array([pose[:2, 3] for stamp in sorted(poses) for pose in poses[stamp]])
    assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 0.045  # a quarter of the radius


@pytest.mark.parametrize('body', [False, True])
def test_a_scene_tells_the_mapper_the_base_at_its_frames_only_if_it_has_one(body):
    frame = Frame(7, IMAGE, CAMERA, np.eye(4), DEPTH)
    scene = datasets.Scene('flat', False, [frame], [], {7: ['pose']} if body else {})
    mapper = Calls()
    scene.add(frame, mapper)
    assert mapper.made == ['color', 'pose'][:1 + body]
    assert scene.title == ('flat RGB, with the body' if body else 'flat RGB')
    assert (scene.mapper().config.body.radius > 0) == body
