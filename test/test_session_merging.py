"""Merging: the map of two halves of a drive is that of the whole drive."""
import itertools
import shutil

import numpy as np
import pytest
from scenes import CAMERA, view
from session_drives import (
    CONFIG,
    FLAT_CAMERA,
    POSES,
    SECOND,
    VIEWS,
    drift,
    flat_views,
    iou,
    record_views,
    recorded,
    recorder,
    resumed,
    votes,
)

from instant_nerf_ros.nerf import Mapper, replace
from instant_nerf_ros.nerf.constants import FREE, MAX_MISSES, MAX_VOTES, OCCUPIED
from instant_nerf_ros.nerf.occupancy.blocks import VOTES, block_type, to_blocks
from instant_nerf_ros.session.history import History
from instant_nerf_ros.session.session_cli import main
from instant_nerf_ros.session.session_folder import SessionFolder

UTM = np.array([4e5, 5e6, 100.0])  # m


@pytest.fixture(scope='module')
def flat():
    """Return pose, image and depth along a lap through the flat."""
    return flat_views()


def room(offset, first, last):
    """Return views (pose, image, depth) of the painted room somewhere in the world."""
    views = []
    for pose, (image, depth) in zip(POSES[first:last], VIEWS[first:last]):
        pose = pose.copy()
        pose[:3, 3] += offset
        views.append((pose, image, depth))
    return views


def merge(tmp_path, *options):
    """Merge the sessions a and b to c, without training; return the exit status."""
    return main(['merge', *(str(tmp_path / name) for name in 'ab'), '--out', str(tmp_path / 'c'),
                 '--device', 'cpu', '--seconds', '0', *options])


def test_the_map_of_two_halves_of_a_drive_is_that_of_the_whole(tmp_path, flat, capsys):
    config, half = replace(CONFIG, {'keyframes.held_out_every': 0}), len(flat) // 2
    first = record_views(tmp_path / 'a', flat[:half], config, 0, FLAT_CAMERA)
    second = record_views(tmp_path / 'b', flat[half:], config, half, FLAT_CAMERA)
    assert merge(tmp_path) == 0
    assert 'same time' not in capsys.readouterr().out
    merged, recording, sentences = resumed(tmp_path / 'c', config)
    recording.close(None)
    whole = record_views('', flat, config, 0, FLAT_CAMERA)
    assert len(sentences) == 1 and 'the votes are as they were' in sentences[0]
    assert merged.keyframe_count == first.keyframe_count + second.keyframe_count
    assert iou(merged, whole) > 0.99 and max(iou(first, whole), iou(second, whole)) < 0.9
    both, one = merged.map(), whole.map()
    np.testing.assert_array_equal(both.origin, one.origin)
    for state in (OCCUPIED, FREE):
        mine, other = both.cells == state, one.cells == state
        assert (mine & other).sum() > 0.99 * (mine | other).sum() > 100


def test_hits_and_misses_are_the_sum_where_a_voxel_holds_it(tmp_path):
    config = replace(CONFIG, {'keyframes.held_out_every': 0})
    drives = record_views(tmp_path / 'a', room(0, 0, 2), config), record_views(
        tmp_path / 'b', room(0, 24, 26), config, stamp=9)
    merge(tmp_path)
    merged, recording, _ = resumed(tmp_path / 'c', config)
    recording.close(None)
    blocks = [dict(zip(map(tuple, places), content)) for places, content in (
        to_blocks(each.occupancy, VOTES) for each in (*drives, merged))]
    zero = np.zeros((), block_type(VOTES))
    assert blocks[2].keys() == blocks[0].keys() | blocks[1].keys()
    for place, found in blocks[2].items():
        one, other = (each.get(place, zero) for each in blocks[:2])
        hits, misses = (one[name].astype(int) + other[name] for name in ('hits', 'misses'))
        fits = (hits + misses <= MAX_VOTES) & ((hits > 0) | (misses <= MAX_MISSES))
        np.testing.assert_array_equal(found['hits'][fits], hits[fits])
        np.testing.assert_array_equal(found['misses'][fits], misses[fits])
        share = hits / np.maximum(hits + misses, 1)
        assert (np.abs(found['hits'] - 64 * share)[hits + misses > MAX_VOTES] < 1).all()


def test_far_from_the_origin_each_drive_has_a_local_frame_of_its_own(tmp_path):
    first, second = (
        record_views(tmp_path / name, room(UTM, begin, begin + 24), stamp=begin)
        for name, begin in (('a', 0), ('b', 24)))
    assert first.measurements.frame != second.measurements.frame
    assert merge(tmp_path) == 0
    merged, recording, _ = resumed(tmp_path / 'c')
    recording.close(None)
    assert iou(merged, record_views('', room(UTM, 0, 48))) > 0.97


def test_a_loop_closure_moves_the_second_drive_onto_the_first(tmp_path):
    record_views(tmp_path / 'a', room(0, 0, 24))
    drifted = [(drift(1.0) @ pose, *view) for pose, *view in room(0, 24, 48)]
    record_views(tmp_path / 'b', drifted, stamp=24)
    assert merge(tmp_path) == 0
    merged, recording = Mapper(CONFIG), recorder(tmp_path / 'c', resume=True)
    stamps = recording.begin(merged).stamps
    whole = record_views('', room(0, 0, 48))
    before = iou(merged, whole)
    corrections = {key: np.linalg.inv(drift(1.0)) for key, stamp_ns in stamps.items()
                   if stamp_ns >= 24 * SECOND}
    merged.correct_poses(corrections)
    recording.add_corrections(corrections)
    assert before < 0.9 and iou(merged, whole) > 0.97
    assert not recording.close(merged)
    again, recording, _ = resumed(tmp_path / 'c')
    recording.close(None)
    assert votes(again) == votes(merged)


def test_the_field_of_the_first_is_trained_on_with_the_images_of_both(tmp_path, capsys):
    first = record_views(tmp_path / 'a', room(0, 0, 12), steps=4)
    record_views(tmp_path / 'b', room(0, 24, 36), stamp=24, steps=1)
    assert merge(tmp_path) == 0
    before, recording, _ = resumed(tmp_path / 'c')
    recording.close(None)
    assert before.steps == first.steps
    shutil.rmtree(tmp_path / 'c')
    assert merge(tmp_path, '--seconds', '3') == 0
    assert 'training for 3 s' in capsys.readouterr().out
    after, recording, _ = resumed(tmp_path / 'c')
    recording.close(None)
    assert after.steps > first.steps and after.psnr() > before.psnr()
    assert main(['export', str(tmp_path / 'c'), str(tmp_path / 'map'), '--device', 'cpu']) == 0
    assert votes(Mapper.load(tmp_path / 'map', CONFIG)) == votes(after)


def test_a_small_budget_keeps_keyframes_of_both(tmp_path):
    config = replace(CONFIG, {'keyframes.held_out_every': 0})
    camera = CAMERA.scaled(640, 480)  # 10 images in 16 MB, of 12
    for name, begin in (('a', 0), ('b', 24)):
        views = [(pose, *view(camera, pose)) for pose in POSES[begin : begin + 24 : 4]]
        record_views(tmp_path / name, views, config, begin, camera)
    merge(tmp_path)
    merged, recording, _ = resumed(tmp_path / 'c', config)
    recording.close(None)
    ids = {entry.values['stamp_ns'] // SECOND: entry.values['id']
           for entry in History(SessionFolder(tmp_path / 'c')).inputs}
    kept = {stamp for stamp, image_id in ids.items() if image_id in merged.keyframes.ids}
    assert len(kept) == 10 and min(sum(stamp < 24 for stamp in kept),
                                   sum(stamp >= 24 for stamp in kept)) >= 3


@pytest.mark.parametrize(('changes', 'words'), [
    ({'occupancy.voxel_size': 0.2}, 'the voxels are 0.1 m and 0.2 m large'),
    ({'field.log2_table': 11, 'keyframes.min_rotation': 12.0},
     'others differ: field.log2_table, keyframes.min_rotation'),
    ({}, ''),
])  # fmt: skip
def test_settings_that_differ_are_those_of_the_first_and_it_is_said(
        tmp_path, capsys, changes, words):  # fmt: skip
    record_views(tmp_path / 'a', room(0, 0, 24))
    record_views(tmp_path / 'b', room(0, 24, 48), replace(CONFIG, changes), 24)
    assert merge(tmp_path) == 0
    *said, last = capsys.readouterr().out.splitlines()
    assert len(said) == bool(changes) and words in ''.join(said) and '40 keyframes' in last
    merged, recording, sentences = resumed(tmp_path / 'c')
    recording.close(None)
    assert len(sentences) == 1
    assert iou(merged, record_views('', room(0, 0, 48))) > 0.97


def test_drives_of_the_same_time_are_merged_and_what_that_means_is_said(tmp_path, capsys):
    record_views(tmp_path / 'a', room(0, 0, 6))
    record_views(tmp_path / 'b', room(0, 24, 30))
    assert merge(tmp_path) == 0
    assert 'stamps of the same time' in capsys.readouterr().out


def test_what_cannot_be_merged_gets_a_sentence_and_nothing_is_written(
        tmp_path, capsys, monkeypatch):  # fmt: skip
    def refused(words):
        assert merge(tmp_path) == 2 and words in capsys.readouterr().err
        assert not [*(tmp_path / 'c').glob('*.safetensors')]
        shutil.rmtree(tmp_path / 'b')

    record_views(tmp_path / 'a', room(0, 0, 6))
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    refused('images are in both sessions')
    recorded(tmp_path / 'b', range(12, 18), map_frame='odom')
    refused("in 'map' and 'odom'")
    recorded(tmp_path / 'b', range(0))
    refused('has no images')
    recorded(tmp_path / 'b', range(12, 18))
    put, count = SessionFolder._put, itertools.count()

    def put_once(*given):
        if next(count):
            raise OSError(28, 'No space left on device')
        put(*given)

    with monkeypatch.context() as patched:
        patched.setattr(SessionFolder, '_put', put_once)
        refused('No space left on device')
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    shutil.copytree(tmp_path / 'a', tmp_path / 'c', dirs_exist_ok=True)
    assert merge(tmp_path) == 2 and 'already' in capsys.readouterr().err
    shutil.rmtree(tmp_path / 'b')
    assert merge(tmp_path) == 2 and 'there is no session' in capsys.readouterr().err
