"""A session under another one: its map is there at once, and nothing changes it."""
import shutil

import numpy as np
import pytest
import scenes
from scenes import CAMERA
from session_drives import (
    CONFIG,
    POSES,
    add,
    assert_same_inputs,
    begin,
    drift,
    drive,
    iou,
    record_views,
    recorded,
    recorder,
    votes,
)

from instant_nerf_ros.nerf import Mapper, replace
from instant_nerf_ros.session.compaction import compact
from instant_nerf_ros.session.history import History
from instant_nerf_ros.session.session_cli import main
from instant_nerf_ros.session.session_folder import SessionFolder

SHIFT = np.eye(4)
SHIFT[:3, 3] = [0.3, -0.2, 0.0]


@pytest.fixture(scope='module')
def building(tmp_path_factory):
    """Return the mapper of a drive with training, and the folder of its session."""
    folder = tmp_path_factory.mktemp('sessions') / 'building'
    return recorded(folder, steps=2), folder


@pytest.fixture
def base(building, tmp_path):
    """Return a copy of that folder."""
    return shutil.copytree(building[1], tmp_path / 'building')


def begun(folder, base='', config=CONFIG, **settings):
    """Return a mapper that has begun with a base, its recording, and sentences."""
    mapper, recording = Mapper(config), recorder(
        folder, base_folder=str(base), **settings)
    return mapper, recording, begin(recording, mapper)


def content(folder):
    """Return the content of the files in a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_map_of_the_base_is_there_before_the_first_image(building, tmp_path):
    before, folder = building
    mapper, recording, [sentence] = begun(tmp_path / 'today', folder)
    assert str(folder) in sentence and 'the votes are as they were' in sentence
    assert votes(mapper) == votes(before)
    assert_same_inputs(mapper, before)
    np.testing.assert_array_equal(mapper.map().cells, before.map().cells)
    np.testing.assert_array_equal(mapper.map().origin, before.map().origin)
    np.testing.assert_array_equal(mapper.voxels().states, before.voxels().states)
    np.testing.assert_array_equal(mapper.points()[1], before.points()[1])
    np.testing.assert_array_equal(
        mapper.render(CAMERA, POSES[1]).color, before.render(CAMERA, POSES[1]).color)
    assert not recording.close(mapper)


def test_nothing_that_the_new_session_does_changes_the_files_of_the_base(base, tmp_path):
    before = content(base)
    for path in (*base.iterdir(), base):
        path.chmod(0o500 if path.is_dir() else 0o400)
    mapper, recording, _ = begun(tmp_path / 'today', base)
    drive(mapper, recording, range(24, 36), steps=2)
    corrections = dict.fromkeys(range(1, mapper.keyframes.next_id), SHIFT)
    mapper.correct_poses(corrections)
    recording.add_corrections(corrections)
    mapper.save(tmp_path / 'map')
    assert not recording.close(mapper)
    assert content(base) == before


def test_the_new_session_holds_only_what_is_new(base, tmp_path):
    mapper, recording, _ = begun(tmp_path / 'today', base)
    assert not recording.close(mapper)
    history = History(SessionFolder(tmp_path / 'today'))
    [(_, entry)] = history.votes
    assert not history.inputs and not len(entry.read().arrays['places'])
    assert history.base == {'folder': str(base), 'id': History(SessionFolder(base)).id}
    mapper, recording, _ = begun(tmp_path / 'today', resume=True)
    added = add(mapper, recording, 30)
    assert not recording.close(mapper)
    history = History(SessionFolder(tmp_path / 'today'))
    assert history.ids() == [added]
    assert 0 < len(history.votes[-1][1].read().arrays['places']) < len(votes(mapper))


@pytest.mark.parametrize('copied', [True, False])
def test_a_resumed_session_goes_on_with_its_base(base, tmp_path, copied):
    mapper, recording, _ = begun(tmp_path / 'today', base)
    drive(mapper, recording, range(24, 36), steps=1)
    assert not recording.close(mapper if copied else None)
    after, recording, sentences = begun(tmp_path / 'today', resume=True)
    assert votes(after) == votes(mapper)
    assert_same_inputs(after, mapper)
    np.testing.assert_array_equal(after.map().cells, mapper.map().cells)
    if copied:
        assert 'the votes are as they were' in sentences[0] and after.steps == mapper.steps
        np.testing.assert_array_equal(
            after.render(CAMERA, POSES[1]).color, mapper.render(CAMERA, POSES[1]).color)
    else:
        assert 'the field is that of the base' in sentences[0]
    whole = Mapper(CONFIG)
    drive(whole, None, range(36))
    assert len(votes(whole).keys() ^ votes(after).keys()) == 0
    assert not recording.close(after)


def test_a_loop_closure_moves_what_is_new_and_nothing_of_the_base(building, tmp_path):
    before, folder = building
    mapper, recording, _ = begun(tmp_path, folder)
    drifted = [add(mapper, recording, k, drift(1.0)) for k in range(24, 36)]
    everything = dict.fromkeys(
        range(1, mapper.keyframes.next_id), np.linalg.inv(drift(1.0)))
    mapper.correct_poses(everything)
    recording.add_corrections(everything)
    exact, none, _ = begun('', folder)
    drive(exact, None, range(24, 36))
    assert len(drifted) == 12 and none.status() == ('', '')
    count = before.keyframe_count
    np.testing.assert_array_equal(mapper.keyframe_poses()[:count], before.keyframe_poses())
    np.testing.assert_allclose(mapper.keyframe_poses(), exact.keyframe_poses(), atol=1e-12)
    assert votes(mapper) == votes(exact)
    assert not recording.close(mapper)
    after, recording, _ = begun(tmp_path, resume=True)
    assert votes(after) == votes(mapper)
    np.testing.assert_array_equal(after.keyframe_poses(), mapper.keyframe_poses())
    recording.close(None)
    none.close(None)


def test_what_has_moved_since_is_where_it_is_now_and_the_rest_as_in_the_base(
        tmp_path, monkeypatch):  # fmt: skip
    def seen(ball):
        with monkeypatch.context() as patched:
            patched.setattr(scenes, 'BALL', ball)
            return [(pose, *scenes.view(CAMERA, pose)) for pose in POSES]

    old, new = scenes.BALL, np.array([1.2, -0.7, 0.8])
    before = record_views(tmp_path / 'base', seen(old))
    mapper, recording, _ = begun('', tmp_path / 'base')
    present = Mapper(CONFIG)
    for pose, image, depth in seen(new):
        mapper.add(image, CAMERA, pose, depth)
        present.add(image, CAMERA, pose, depth)

    def occupied(mapper, ball):
        centers = mapper.points()[0]
        near = np.linalg.norm(centers - ball, axis=-1) < scenes.RADIUS + 0.1
        return {*map(tuple, centers[near].round(3).tolist())}

    assert len(occupied(before, old)) > 30 > 3 > len(occupied(before, new))
    assert len(occupied(mapper, old)) < 0.1 * len(occupied(before, old))
    # Not all of what rays just touch, as the base has seen through it.
    now = occupied(present, new)
    assert len(now & occupied(mapper, new)) > 0.8 * len(now) > 30
    away, other = (
        {*map(tuple, points[np.linalg.norm(points - old, axis=-1) > 0.6].round(3).tolist())}
        for points in (mapper.points()[0], present.points()[0]))
    assert len(away & other) > 0.95 * len(away | other)
    recording.close(None)


def test_the_field_does_not_forget_the_room_of_the_base(tmp_path):
    def room(x):
        views = []
        for pose in POSES[::2]:
            there = pose.copy()
            there[0, 3] += x
            views.append((there, *scenes.view(CAMERA, pose)))
        return views

    record_views(tmp_path, room(0.0), steps=25)
    quality = {}
    for forgets in (False, True):
        # No other images are held out than those of the base.
        mapper, recording, _ = begun('', tmp_path, replace(
            CONFIG, {'keyframes.held_out_every': 0}))
        before = mapper.psnr()
        if forgets:
            mapper.keyframes.keep([])
        for pose, image, depth in room(5.0):
            mapper.add(image, CAMERA, pose, depth)
        for _ in range(600):
            mapper.step()
        quality[forgets] = mapper.psnr()
        recording.close(None)
    assert quality[False] > before - 0.3 and before - 2.0 > quality[True], (before, quality)


def test_the_budget_holds_for_both(tmp_path):
    camera, config = CAMERA.scaled(640, 480), replace(CONFIG, {'keyframes.held_out_every': 0})
    views = [(pose, *scenes.view(camera, pose)) for pose in POSES]  # 10 images in 16 MB
    record_views(tmp_path / 'base', views[:24:3], config, 0, camera)
    mapper, recording, _ = begun(tmp_path / 'today', tmp_path / 'base', config)
    first = mapper.keyframes.next_id
    for pose, image, depth in views[24::3]:
        image_id = mapper.add(image, camera, pose, depth)
        recording.add_image(image_id, image_id, image, camera, pose, depth)
    ids = mapper.keyframes.ids
    assert len(ids) == 10 and min((ids < first).sum(), (ids >= first).sum()) >= 3
    assert not recording.close(mapper)
    after, recording, _ = begun(tmp_path / 'today', resume=True, config=config)
    assert_same_inputs(after, mapper)
    recording.close(None)


def test_frozen_keyframes_train_the_field_but_vote_no_more(tmp_path):
    config = replace(CONFIG, {'keyframes.held_out_every': 0, 'motion.stereo': False})
    mapper, recording = Mapper(config), recorder(tmp_path)
    recording.begin(mapper)
    for k, pose in enumerate(POSES[:12]):  # without depth
        image = scenes.view(CAMERA, pose)[0]
        recording.add_image(mapper.add(image, CAMERA, pose), k, image, CAMERA, pose)
    for _ in range(300):
        mapper.step()
    assert not recording.close(mapper)
    after, recording, _ = begun('', tmp_path, config)
    before, rays = votes(after), after.keyframes.ray_counts.copy()
    for _ in range(40):
        after.step()
        mapper.step()
    assert votes(after) == before != votes(mapper) and (after.keyframes.ray_counts > rays).all()
    recording.close(None)


def test_a_viewpoint_of_the_base_is_new_to_a_new_session(building):
    mapper, recording, _ = begun('', building[1])
    pose = mapper.keyframe_poses()[0]
    assert mapper.is_new_viewpoint(pose) and not building[0].is_new_viewpoint(pose)
    recording.close(None)


def test_several_sessions_have_one_base_at_a_time_and_nobody_writes_to_it(base, tmp_path):
    recordings = [begun(tmp_path / name, base)[1] for name in 'ab']
    with pytest.raises(ValueError, match='or has it as its base: end it'):
        recorder(base, resume=True).begin(Mapper(CONFIG))
    assert main(['compact', str(base)]) == 2
    for recording in recordings:
        recording.close(None)
    writing = recorder(base, resume=True)
    writing.begin(Mapper(CONFIG))
    with pytest.raises(ValueError, match='another process writes to the session .*: end it'):
        begun(tmp_path / 'c', base)
    writing.close(None)


def test_a_reset_begins_again_with_the_base_and_a_loaded_map_takes_its_place(
        building, tmp_path):  # fmt: skip
    before, folder = building
    mapper, recording, _ = begun(tmp_path / 'today', folder)
    drive(mapper, recording, range(24, 30))
    mapper = Mapper(CONFIG)
    [sentence] = begin(recording, mapper)
    assert sentence.startswith('base') and votes(mapper) == votes(before)
    assert not recording.close(mapper)
    assert votes(begun(tmp_path / 'today', resume=True)[0]) == votes(before)
    loaded = Mapper(CONFIG)
    drive(loaded, None, range(3))
    _, recording, _ = begun(tmp_path / 'other', folder)
    recording.replace(loaded, 7)
    assert not recording.close(loaded)
    after, recording, _ = begun(tmp_path / 'other', resume=True)
    assert votes(after) == votes(loaded)
    recording.close(None)


def test_a_base_has_a_base(base, tmp_path):
    mapper, recording, _ = begun(tmp_path / 'monday', base)
    drive(mapper, recording, range(24, 30))
    assert not recording.close(mapper)
    on_both, recording, sentences = begun(tmp_path / 'tuesday', tmp_path / 'monday')
    assert votes(on_both) == votes(mapper) and len(sentences) == 2
    assert_same_inputs(on_both, mapper)
    drive(on_both, recording, range(30, 36))
    assert not recording.close(on_both)
    after, recording, _ = begun(tmp_path / 'tuesday', resume=True)
    assert votes(after) == votes(on_both)
    recording.close(None)


def test_a_base_that_has_moved_or_was_compacted_is_the_same_and_a_longer_one_is_not(
        base, tmp_path):  # fmt: skip
    mapper, recording, _ = begun(tmp_path / 'today', base)
    drive(mapper, recording, range(24, 30))
    assert not recording.close(mapper)
    store = SessionFolder(base)
    store.open()
    compact(store)
    store.close()
    before = content(tmp_path / 'today')
    moved = base.rename(tmp_path / 'elsewhere')
    with pytest.raises(ValueError, match='there is no session in .* say where it is'):
        begun(tmp_path / 'today', resume=True)
    after, recording, _ = begun(tmp_path / 'today', moved, resume=True)
    assert votes(after) == votes(mapper)
    recording.close(None)
    recorded(tmp_path / 'longer', range(30))
    with pytest.raises(ValueError, match='is another one, or has changed since'):
        begun(tmp_path / 'today', tmp_path / 'longer', resume=True)
    longer, writing = Mapper(CONFIG), recorder(moved, resume=True)
    writing.begin(longer)
    drive(longer, writing, range(40, 44))
    writing.close(longer)
    with pytest.raises(ValueError, match='is another one, or has changed since'):
        begun(tmp_path / 'today', moved, resume=True)
    assert {name: each for name, each in content(tmp_path / 'today').items()
            if name in before} == before


@pytest.mark.parametrize('kind', ['inputs', 'votes', 'field'])
def test_a_damaged_part_of_the_base_is_named_and_the_rest_is_used(base, tmp_path, kind):
    mapper, recording, _ = begun(tmp_path / 'today', base)
    new = [add(mapper, recording, k) for k in range(24, 30)]
    assert not recording.close(mapper)
    [*_, path] = SessionFolder(base).segments(kind)
    damaged = bytearray(path.read_bytes())
    for place in ({10} if kind == 'votes' else {len(damaged) // 2}):  # votes: not even its header
        damaged[place] ^= 4
    path.write_bytes(damaged)
    after, recording, sentences = begun(tmp_path / 'today', resume=True)
    assert any(path.name in each and each.startswith('base') for each in sentences)
    assert {*new} <= {*after.keyframes.ids} | {key for key in new if after.is_held_out(key)}
    assert iou(after, mapper) > 0.97
    recording.close(None)


@pytest.mark.parametrize(('changes', 'words'), [
    ({'occupancy.voxel_size': 0.2}, 'with the former, its votes are used'),
    ({'field.log2_table': 11}, 'is trained anew'),
])  # fmt: skip
def test_settings_of_the_base_may_differ_and_what_follows_is_said(
        building, tmp_path, changes, words):  # fmt: skip
    before, folder = building
    config = replace(CONFIG, changes)
    mapper, recording, sentences = begun(tmp_path, folder, config)
    assert words in ' '.join(sentences)
    assert_same_inputs(mapper, before)
    drive(mapper, recording, range(24, 28), steps=1)
    assert not recording.close(mapper)
    after, recording, _ = begun(tmp_path, resume=True, config=config)
    assert votes(after) == votes(mapper)
    recording.close(None)


def test_what_cannot_be_a_base_gets_a_sentence_and_nothing_is_moved(base, tmp_path, monkeypatch):
    def refused(words, folder, **settings):
        before = content(tmp_path / 'today')
        with pytest.raises(ValueError, match=words):
            begun(tmp_path / 'today', folder, **settings)
        assert content(tmp_path / 'today') == before

    recorded(tmp_path / 'today', range(4))
    refused('there is no session in', tmp_path / 'nothing')
    refused("choose another 'session_folder'", tmp_path / 'today')
    refused('has no base: resume it without', base, resume=True)
    refused("is in 'map', not in 'odom'", base, map_frame='odom')
    recorded(tmp_path / 'empty', range(0))
    refused('has no images: map first', tmp_path / 'empty')
    monkeypatch.setattr('instant_nerf_ros.session.records.VERSION', (2, 0))
    recorded(tmp_path / 'newer', range(4))
    monkeypatch.undo()
    refused('of version 2.0', tmp_path / 'newer')
    assert votes(begun(tmp_path / 'today', resume=True)[0])


def test_the_commands_take_the_base_with_a_session(building, base, tmp_path, capsys):
    today = tmp_path / 'today'
    mapper, recording, _ = begun(today, base)
    drive(mapper, recording, range(24, 36), steps=1)
    assert not recording.close(mapper)
    other, recording, _ = begun(tmp_path / 'other', base)
    drive(other, recording, range(36, 48))
    assert not recording.close(other)
    assert main(['list', str(today)]) == 0 and main(['check', str(today)]) == 0
    assert capsys.readouterr().out.count(str(base)) == 2
    assert main(['compact', str(today)]) == 0
    options = '--device', 'cpu'
    assert main(['export', str(today), str(tmp_path / 'map'), *options]) == 0
    assert votes(Mapper.load(tmp_path / 'map', CONFIG)) == votes(mapper)
    options = *options, '--seconds', '0', '--out'
    assert main(['merge', str(base), str(today), *options, str(tmp_path / 'both')]) == 0
    both = str(today), str(tmp_path / 'other')
    assert main(['merge', *both, *options, str(tmp_path / 'all')]) == 0
    base.rename(tmp_path / 'elsewhere')
    both, recording, _ = begun(tmp_path / 'both', resume=True)  # it needs no base any more
    recording.close(None)
    assert votes(both) == votes(mapper)
    assert_same_inputs(both, mapper)
    every, recording, _ = begun(tmp_path / 'all', resume=True)
    recording.close(None)
    whole = Mapper(CONFIG)
    drive(whole, None, range(48))
    assert every.keyframe_count == whole.keyframe_count and iou(every, whole) > 0.97
    assert main(['check', str(today)]) == 1
    assert 'there is no session in' in capsys.readouterr().out
    elsewhere = '--base', str(tmp_path / 'elsewhere')
    assert main(['check', str(today), *elsewhere]) == 0
    assert main(['export', str(today), str(tmp_path / 'again'), *elsewhere]) == 0
