"""What is made of a scene: by the example of the documentation, by Python, and by the command."""
import json
import re
from pathlib import Path

import cv2
import numpy as np
import photo_sets
import pytest
from photo_sets import CAMERA, room

from instant_nerf_ros.scenes import Scene, export, fit, make_report, render
from instant_nerf_ros.scenes.cli import main
from instant_nerf_ros.scenes.sources import open_source

PAGE = Path(__file__).parents[1] / 'docs' / 'how-to' / 'photos.md'


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """Return a scene of the painted room, and its folder, whose poses are 10 times too large."""
    folder = tmp_path_factory.mktemp('products')
    frames = room(24)
    for frame in frames:
        frame.T_world_camera[:3, 3] *= 10
    photo_sets.write_transforms(folder / 'data', frames)
    return fit(folder / 'data', folder / 'scene', steps=200, scale=0.1), folder / 'scene'


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch, capsys):
    [example] = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    photo_sets.write_rgbd(tmp_path / 'photos', room(24))
    exec(compile(example.replace('seconds=30', 'seconds=8'), str(PAGE), 'exec'), {})
    assert len(list(Path('flight').iterdir())) == 12
    assert Path('scene.ply').read_bytes().startswith(b'ply')
    assert 'instant-nerf fit' in Path('scene.html').read_text()


def test_depth_along_a_camera_path_of_nerfstudio_is_that_of_the_room(scene, tmp_path):
    scene, _ = scene
    true = room(24)[3]
    pose = true.T_world_camera @ photo_sets.OPENGL
    pose[:3, 3] *= 10  # the world of the data
    fov = 2 * np.degrees(np.arctan(CAMERA.height / 2 / CAMERA.fy))
    (tmp_path / 'path.json').write_text(json.dumps({
        'camera_type': 'perspective', 'render_width': CAMERA.width, 'fps': 24, 'seconds': 1,
        'render_height': CAMERA.height,
        'camera_path': [{'camera_to_world': pose.ravel().tolist(), 'fov': fov, 'aspect': 4 / 3}]}))
    render(scene, tmp_path / 'views', route=str(tmp_path / 'path.json'))
    image = cv2.imread(str(tmp_path / 'views' / '00000.png'))[..., ::-1]
    same = scene.mapper.render(CAMERA, true.T_world_camera)
    np.testing.assert_allclose(image, same.color, atol=3)


def test_what_is_exported_to_colmap_is_read_back_the_same(scene, tmp_path):
    scene, _ = scene
    export(scene, 'colmap', tmp_path / 'model')
    source = open_source(tmp_path / 'model')
    np.testing.assert_allclose(source.poses, scene.mapper.keyframe_poses(), atol=1e-9)
    frames = scene.training_frames()
    assert source.names == sorted(frames)
    for (_, frame), name in zip(source.read(range(len(frames))), source.names):
        assert (frame.image == frames[name].image).all()


@pytest.mark.parametrize(('size', 'shape'), [(None, (48, 64)), ((30, 20), (20, 30))])
def test_frames_have_the_size_of_the_images_or_another(scene, tmp_path, size, shape):
    scene, _ = scene
    render(scene, tmp_path / 'frames', seconds=0.1, fps=20, size=size, kind='normals')
    paths = sorted((tmp_path / 'frames').iterdir())
    assert len(paths) == 2 and cv2.imread(str(paths[0])).shape[:2] == shape


def test_the_report_has_the_numbers_and_the_command(scene, tmp_path):
    scene, _ = scene
    make_report(scene, tmp_path / 'page.html')
    page = (tmp_path / 'page.html').read_text()
    assert scene.provenance.command in page and '200' in page


@pytest.mark.parametrize(('words', 'sentence'), [
    (['export', 'SCENE', 'hologram', 'x.ply'], "'hologram' cannot be exported; choose mesh"),
    (['export', 'SCENE', 'mesh', 'x.obj'], 'to a file .ply or .glb, not'),
    (['export', 'SCENE', 'octomap', 'there.bt'], 'exists already'),
    (['export', 'SCENE', 'gaussians', 'there.ply'], 'exists already'),
    (['render', 'SCENE', 'x', '--seconds', '0'], 'must be positive'),
    (['render', 'SCENE', 'x', '--route', 'no.json'], 'no.json'),
    (['render', 'SCENE', 'x', '--size', '0x5'], 'must be positive'),
    (['report', 'SCENE', 'there.html'], 'exists already'),
    (['report', 'nowhere', 'x.html'], 'is no scene')])
def test_wrong_requests_are_refused_with_a_sentence(
        scene, tmp_path, monkeypatch, capsys, words, sentence):
    _, folder = scene
    monkeypatch.chdir(tmp_path)
    for name in ('there.bt', 'there.ply', 'there.html'):
        Path(name).write_text('mine')
    assert main([str(folder) if word == 'SCENE' else word for word in words]) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == [
        'there.bt', 'there.html', 'there.ply']
    assert Path('there.ply').read_text() == 'mine'


@pytest.mark.parametrize(('words', 'name', 'begin'), [
    (['export', 'SCENE', 'octomap', 'there.bt'], 'there.bt', b'# Octomap'),
    (['export', 'SCENE', 'points', 'there.ply'], 'there.ply', b'ply'),
    (['report', 'SCENE', 'there.html'], 'there.html', b'<!'),
    (['render', 'SCENE', 'there', '--seconds', '0.1'], 'there/00000.png', b'\x89PNG')])
def test_what_exists_is_replaced_where_it_is_wanted(
        scene, tmp_path, monkeypatch, words, name, begin):
    _, folder = scene
    monkeypatch.chdir(tmp_path)
    Path('there').mkdir()
    Path(name).write_text('mine')
    words = [str(folder) if word == 'SCENE' else word for word in words]
    assert main(words) == 2 and Path(name).read_text() == 'mine'
    assert main([*words, '--overwrite']) == 0 and Path(name).read_bytes().startswith(begin)


def test_a_damaged_scene_is_named(scene, tmp_path, capsys):
    _, folder = scene
    document = json.loads((folder / 'scene.json').read_text())
    del document['history']
    (tmp_path / 'scene.json').write_text(json.dumps(document))
    assert main(['eval', str(tmp_path)]) == 2
    assert "is damaged: KeyError('history')" in capsys.readouterr().err
    with pytest.raises(ValueError, match='damaged'):
        Scene.load(tmp_path)
