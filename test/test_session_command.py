"""The command session: it lists, checks, compacts and exports."""
import numpy as np
from session_drives import CONFIG, add, drive, recorded, recorder, resumed, votes

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.session.compaction import compact
from instant_nerf_ros.session.history import History
from instant_nerf_ros.session.session_cli import main
from instant_nerf_ros.session.session_folder import SessionFolder


def test_the_command_lists_checks_compacts_and_exports(tmp_path, capsys):
    folder = tmp_path / 'room'
    before = recorded(folder, steps=2)
    assert main(['list', str(folder)]) == 0
    assert f'votes of {before.keyframe_count} keyframes' in capsys.readouterr().out
    assert main(['check', str(folder)]) == 0
    assert main(['compact', str(folder)]) == 0
    assert main(['export', str(folder), str(tmp_path / 'map'), '--device', 'reference']) == 0
    loaded = Mapper.load(tmp_path / 'map', CONFIG)
    assert votes(loaded) == votes(before)
    assert main(['list', str(tmp_path / 'nothing')]) == 2
    assert 'there is no session' in capsys.readouterr().err


def test_a_session_without_images_is_not_exported_and_the_command_says_so(tmp_path, capsys):
    recorded(tmp_path / 'empty', range(0))
    assert main(['export', str(tmp_path / 'empty'), str(tmp_path / 'map')]) == 2
    assert 'has no images' in capsys.readouterr().err and not (tmp_path / 'map').exists()


def test_what_has_made_room_meanwhile_is_not_damaged_but_lost_images_are(tmp_path):
    recorded(tmp_path, steps=1)
    folder = SessionFolder(tmp_path)
    for kind, damaged in (('votes', False), ('field', False), ('inputs', True)):
        segments, [*_, path] = folder.segments(), folder.segments(kind)
        known = History(folder)
        path.unlink()
        folder.segments = lambda *_, segments=segments: segments  # listed a moment ago
        late = History(folder)
        del folder.segments
        for history in (known, late):
            for entry in [*history.inputs, *(each for _, each in history.votes), *history.fields]:
                history.read(entry)
            assert bool(history.findings) == damaged


def test_compaction_removes_what_a_resume_does_not_use(tmp_path):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    drive(mapper, recording, range(6))
    mapper = Mapper(CONFIG)
    recording.begin(mapper)  # the first images are of a map that was reset
    for k in range(24):
        if k == 23:
            mapper.keyframes._remove(3)  # as when an image needs room
        add(mapper, recording, k)
        if k % 8 == 7:
            recording._copy('votes', mapper)
            recording._copy('field', mapper)
    recording.close(mapper)
    folder = SessionFolder(tmp_path)
    images = len(History(folder).inputs)
    folder.open()
    assert compact(folder) > 0
    folder.close()
    history = History(folder)
    assert len(history.inputs) == images - 1 and not history.findings
    assert len(history.fields) == 1
    after, recording, sentences = resumed(tmp_path)
    assert votes(after) == votes(mapper) and len(sentences) == 1
    np.testing.assert_array_equal(after.keyframes.ids, mapper.keyframes.ids)
    recording.close(after)


def test_a_map_that_was_reset_does_not_come_back_after_a_compaction(tmp_path):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    drive(mapper, recording, range(6), steps=1)
    recording._copy('votes', mapper)
    recording._copy('field', mapper)
    again = Mapper(CONFIG)
    recording.begin(again)
    drive(again, recording, range(12, 16))
    recording.close(None)  # before votes or field of the new map are due
    folder = SessionFolder(tmp_path)
    folder.open()
    assert compact(folder) > 0
    folder.close()
    after, recording, _ = resumed(tmp_path)
    assert votes(after) == votes(again) and after.steps == 0
    recording.close(after)
