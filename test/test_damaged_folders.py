"""Folders with something damaged: it is named and counted, and the rest is used."""
import codecs
import json
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_listener import player
from posed_folders import SIZE, load_quietly, write_document, write_folder

from instant_nerf_ros.data.frames import load_folder
from instant_nerf_ros.data.images import decode

ROOT = Path(__file__).parents[1]
COUNT = 10


def damage_pose(path, document):
    document['frames'][3]['transform_matrix'][0][3] = -np.inf


def turn_pose_over(path, document):
    document['frames'][3]['transform_matrix'] = np.diag([1.0, 1.0, -1.0, 1.0]).tolist()


def transpose_pose(path, document):
    document['frames'][3]['transform_matrix'][3] = [1.0, 2.0, 3.0, 1.0]


def forget_pose(path, document):
    del document['frames'][3]['transform_matrix']


def misspell_focal_length(path, document):
    document['frames'][3]['fl_x'] = 'long'


def tear_image(path, document):
    data = (path / '3.png').read_bytes()
    (path / '3.png').write_bytes(data[:-20])


def tear_photo(path, document):
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    data = cv2.imencode('.jpg', noise)[1].tobytes()
    (path / '3.png').write_bytes(data[:-20])  # OpenCV fills the rest with gray


def lengthen_chunk(path, document):
    data = bytearray((path / '3.png').read_bytes())
    data[data.index(b'IDAT') - 4] = 0x7f  # 2 GB, which OpenCV would allocate
    (path / '3.png').write_bytes(data)


def empty_image(path, document):
    (path / '3.png').write_bytes(b'')


def change_size(path, document):
    cv2.imwrite(str(path / '3.png'), np.zeros((7, 12, 3), np.uint8))


def lose_image(path, document):
    (path / '3.png').unlink()


def lose_depth(path, document):
    (path / 'd3.png').unlink()


def tear_depth(path, document):
    (path / 'd3.png').write_bytes((path / 'd3.png').read_bytes()[:40])


ON_LOADING = damage_pose, turn_pose_over, transpose_pose, forget_pose, misspell_focal_length, (
    lose_image)
ON_READING = tear_image, tear_photo, lengthen_chunk, empty_image, change_size, lose_depth, (
    tear_depth)


def write_damaged(path, damage):
    """Write a folder of frames with depth, the fourth of which is damaged."""
    document = write_folder(path, COUNT)
    for number, frame in enumerate(document['frames']):
        frame['depth_path'] = f'd{number}.png'
        cv2.imwrite(str(path / frame['depth_path']), np.full(SIZE, 1000 + number, np.uint16))
    damage(path, document)
    write_document(path, document)


@pytest.mark.parametrize('damage', ON_LOADING)
def test_a_frame_that_cannot_be_used_is_named_and_the_others_are_loaded(tmp_path, damage):
    write_damaged(tmp_path, damage)
    with pytest.warns(UserWarning, match=r'lists 10 frames: .*\b1\b.*3\.png') as caught:
        frames = load_folder(tmp_path)
    assert len(caught) == 1
    assert [round(float(frame.depth[0, 0]) * 1e3) for frame in frames] == [
        1000 + number for number in range(COUNT) if number != 3]


@pytest.mark.parametrize('damage', ON_READING)
def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path, damage):
    write_damaged(tmp_path, damage)
    frames = load_folder(tmp_path)
    with pytest.warns(UserWarning, match=r'1 of 10 frames .*3\.png') as caught:
        numbers = [index for index, _ in frames.readable(range(COUNT))]
    assert len(caught) == 1 and numbers == [number for number in range(COUNT) if number != 3]
    with pytest.warns(UserWarning, match='1 of 10'):
        assert len(list(frames)) == COUNT - 1


@pytest.mark.parametrize('damage', [tear_image, tear_photo, lengthen_chunk])
def test_damage_is_found_before_the_image_is_decoded(tmp_path, damage, monkeypatch):
    write_damaged(tmp_path, damage)
    monkeypatch.delattr(cv2, 'imdecode')
    with pytest.raises(ValueError, match=r'3\.png is damaged or truncated'):
        decode(tmp_path / '3.png', cv2.IMREAD_COLOR)


def test_a_folder_without_a_readable_frame_is_refused(tmp_path):
    write_folder(tmp_path, 2)
    for number in range(2):
        (tmp_path / f'{number}.png').write_bytes(b'')
    with pytest.raises(ValueError, match='none of 2 frames can be read: .*0.png is empty'):
        list(load_folder(tmp_path))


@pytest.mark.ros
@pytest.mark.parametrize('damage', [damage_pose, tear_photo, lose_depth])
def test_replay_names_counts_and_leaves_out_a_damaged_frame(tmp_path, damage):
    write_damaged(tmp_path, damage)
    with player(
            'replay', path=tmp_path, frame_rate=100.0, wait_for_subscriber=0.1) as process:
        status, output = process.wait(), process.text()
    assert status == 0 and 'Traceback' not in output, output
    assert '3.png' in output and 'replay finished: 9 frames' in output
    assert 'lists 10 frames' in output if damage is damage_pose else ', 1 left out' in output


@pytest.mark.slow
@pytest.mark.parametrize('damage', [damage_pose, empty_image])
def test_a_folder_with_a_damaged_frame_is_mapped(tmp_path, damage):
    write_damaged(tmp_path, damage)
    done = subprocess.run(
        [sys.executable, '-m', 'instant_nerf_ros.scenes.cli', 'fit', tmp_path,
         '--out', tmp_path / 'scene', '--seconds', '0.1'],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200)
    assert done.returncode == 0 and 'Traceback' not in done.stdout, done.stdout
    assert '3.png' in done.stdout and '7 images trained on' in done.stdout


@pytest.mark.parametrize('damaged', [0, 8])
def test_the_demo_compares_with_what_can_be_read(tmp_path, damaged):
    open_scene = runpy.run_path(str(ROOT / 'examples' / 'scenes.py'))['open_scene']
    write_folder(tmp_path, COUNT)
    (tmp_path / f'{damaged}.png').write_bytes(b'')
    with pytest.warns(UserWarning, match=f'1 of 2 frames .*{damaged}.png'):
        scene = open_scene(str(tmp_path), True, 1.0, 96)
    assert len(scene.held_out()) == len(scene.held_out_poses()) == 1


@pytest.mark.parametrize('coding', ['utf-8-sig', 'utf-16', 'utf-8'])
def test_a_byte_order_mark_is_no_obstacle(tmp_path, coding):
    text = json.dumps(write_folder(tmp_path))
    (tmp_path / 'transforms.json').write_bytes(codecs.encode(text, coding))
    assert len(load_quietly(tmp_path)) == 1


@pytest.mark.parametrize(('text', 'sentence'), [
    ('[]', 'must contain a JSON object, contains a list'),
    ('null', 'must contain a JSON object'), ('', 'not valid JSON'),
    ('[' * 100_000, 'not valid JSON'), ('{"frames": null}', 'names no image'),
    ('{"frames": {}}', 'names no image'), ('{"frames": 3}', "'frames' must be a list"),
    ('{"frames": [null]}', 'frame 0 has no file_path'),
    ('{"frames": [{"file_path": 3}]}', 'frame 0 has no file_path')])
def test_a_json_of_another_form_is_refused_in_a_sentence(tmp_path, text, sentence):
    (tmp_path / 'transforms.json').write_text(text)
    with pytest.raises(ValueError, match=sentence):
        load_folder(tmp_path)


@pytest.mark.parametrize('key', ['w', 'h', 'cx', 'cy', 'k1', 'camera_model', 'depth_path'])
def test_null_is_as_good_as_a_missing_key(tmp_path, key):
    document = write_folder(tmp_path)
    write_document(tmp_path, {**document, key: None})
    assert load_quietly(tmp_path)[0].camera.width == SIZE[1]


@pytest.mark.ros
def test_replay_logs_a_name_that_is_no_text(tmp_path):
    document = write_folder(tmp_path, 2)
    document['frames'][1]['file_path'] = '\ud800.png'
    write_document(tmp_path, document)
    with player(
            'replay', path=tmp_path, frame_rate=100.0, wait_for_subscriber=0.1) as process:
        status, output = process.wait(), process.text()
    assert status == 0 and 'Traceback' not in output
    assert '\\ud800.png is missing' in output


def test_an_array_with_a_wrong_size_in_its_header_takes_no_memory(tmp_path):
    document = write_folder(tmp_path, 2)
    np.save(tmp_path / 'd.npy', np.zeros(SIZE))
    data = (tmp_path / 'd.npy').read_bytes()
    (tmp_path / 'd.npy').write_bytes(
        data.replace(b'(8, 12), }          ', b'(99999999, 99999), }'))
    document['frames'][1]['depth_path'] = 'd.npy'
    write_document(tmp_path, document)
    with pytest.warns(UserWarning, match='1 of 2 frames cannot be read .*d.npy'):
        assert len(list(load_folder(tmp_path))) == 1
