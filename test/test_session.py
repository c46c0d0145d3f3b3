"""Sessions: what is resumed is what was there, and what may differ is said."""
import numpy as np
import pytest
from scenes import CAMERA, view
from session_drives import (
    CONFIG,
    POSES,
    VIEWS,
    add,
    assert_same_inputs,
    drift,
    drive,
    iou,
    recorded,
    recorder,
    resumed,
    votes,
)

from instant_nerf_ros.nerf import Mapper, replace
from instant_nerf_ros.nerf.adaptation import ROOM_FAR
from instant_nerf_ros.session import recorder as recorder_module
from instant_nerf_ros.session import records, snapshot_schedule, snapshots
from instant_nerf_ros.session.session_folder import SessionFolder


@pytest.fixture(scope='module')
def room(tmp_path_factory):
    """Return the mapper of a drive with training, and the folder of its session."""
    folder = tmp_path_factory.mktemp('sessions') / 'room'
    return recorded(folder, steps=2), folder


@pytest.fixture
def copy(room, tmp_path):
    """Return that mapper, and a copy of the folder."""
    folder = tmp_path / 'room'
    folder.mkdir()
    for path in room[1].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return room[0], folder


def test_a_resumed_mapper_is_as_before(copy):
    before, folder = copy
    after, recording, sentences = resumed(folder)
    assert len(sentences) == 1 and 'the votes are as they were' in sentences[0]
    assert votes(after) == votes(before)
    assert_same_inputs(after, before)
    assert after.steps == before.steps and after.psnr() == pytest.approx(before.psnr())
    np.testing.assert_array_equal(after.map().cells, before.map().cells)
    np.testing.assert_array_equal(
        after.render(CAMERA, POSES[1]).color, before.render(CAMERA, POSES[1]).color)
    assert not recording.close(after)


def test_the_field_comes_back_in_its_unit(tmp_path):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    mapper.adaptation.restore(0.5)
    mapper.set_config(CONFIG)
    recording.begin(mapper)
    drive(mapper, recording, range(12), 2)
    assert not recording.close(mapper)
    after, recording, _ = resumed(tmp_path)
    assert after.trainer.space.unit == after.adaptation.unit == 0.5
    same = after.render(CAMERA, POSES[1]).color == mapper.render(CAMERA, POSES[1]).color
    assert same.mean() > 0.99  # the grid of the densities begins elsewhere
    recording.close(after)


def test_another_backend_continues_it(copy):
    before, folder = copy
    after, recording, _ = resumed(folder, replace(CONFIG, {'device': 'reference'}))
    assert after.backend_name == 'reference'
    assert votes(after) == votes(before)
    assert after.psnr() == pytest.approx(before.psnr(), abs=0.2)
    recording.close(after)


def test_a_drive_in_two_parts_is_the_same_as_in_one(tmp_path):
    recorded(tmp_path, range(12))
    second, recording, _ = resumed(tmp_path)
    drive(second, recording, range(12, 24))
    assert not recording.close(second)
    whole = Mapper(CONFIG)
    drive(whole, None, range(24))
    third, recording, _ = resumed(tmp_path)
    for mapper in (second, third):
        assert votes(mapper) == votes(whole)
        assert_same_inputs(mapper, whole)
    recording.close(third)


def test_inputs_after_the_last_snapshot_vote_again(tmp_path):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    drive(mapper, recording, range(10))
    recording._copy('votes', mapper)
    drive(mapper, recording, range(10, 24))
    assert not recording.close(None)  # as if it was killed
    after, recording, _ = resumed(tmp_path)
    assert votes(after) == votes(mapper)
    assert_same_inputs(after, mapper)
    recording.close(after)


def test_scans_and_corrections_come_back(tmp_path):
    T_new_old = np.eye(4)
    T_new_old[:3, 3] = [0.3, -0.2, 0.0]
    points = np.stack([np.full(30, 1.5), np.linspace(-1, 1, 30), np.full(30, 0.5)], axis=-1)
    for copied in (False, True):  # with votes on the disk, and without
        folder = tmp_path / str(copied)
        mapper, recording = Mapper(CONFIG), recorder(folder)
        recording.begin(mapper)
        ids = [add(mapper, recording, k) for k in range(8)]
        scan_id = mapper.add_ranges(np.zeros(3), points)
        recording.add_scan(scan_id, 9, np.zeros(3), points)
        corrections = {key: T_new_old for key in [*ids, scan_id] if key is not None}
        mapper.correct_poses(corrections)
        recording.add_corrections(corrections)
        assert not recording.close(mapper if copied else None)
        after, recording, _ = resumed(folder)
        assert votes(after) == votes(mapper)
        np.testing.assert_allclose(after.keyframe_poses(), mapper.keyframe_poses())
        [(found, rays)], [(_, expected)] = (
            list(each.measurements.ranges.scans()) for each in (after, mapper))
        assert found == scan_id
        np.testing.assert_allclose(rays.origins, expected.origins, atol=1e-6)
        recording.close(after)


def test_a_loop_closure_after_a_resume_moves_what_was_saved(tmp_path):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    drifts = [(add(mapper, recording, k, drift(k / 23)), drift(k / 23)) for k in range(24)]
    recording.close(mapper)
    after, recording, _ = resumed(tmp_path)
    after.correct_poses({
        key: np.linalg.inv(T) for key, T in drifts if key is not None})
    exact = Mapper(CONFIG)
    drive(exact, None, range(24))
    assert iou(after, exact) > 0.97 > iou(mapper, exact)
    recording.close(after)


def test_without_resume_the_earlier_session_is_moved_aside(copy):
    before, folder = copy
    mapper, recording = Mapper(CONFIG), recorder(folder)
    [sentence] = recording.begin(mapper).sentences
    assert mapper.keyframe_count == 0
    [aside] = [path for path in folder.parent.iterdir() if path != folder]
    assert str(aside) in sentence
    recording.close(mapper)
    assert resumed(aside)[0].keyframe_count == before.keyframe_count


def test_what_was_reset_does_not_come_back(tmp_path):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    drive(mapper, recording, range(8))
    recording._copy('votes', mapper)
    mapper = Mapper(CONFIG)
    assert recording.begin(mapper) is None
    drive(mapper, recording, range(20, 28))
    assert not recording.close(mapper)
    after, recording, _ = resumed(tmp_path)
    assert votes(after) == votes(mapper)
    assert_same_inputs(after, mapper)
    recording.close(after)


def test_a_loaded_map_takes_the_place_of_the_one_before(room, tmp_path):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    drive(mapper, recording, range(30, 34))
    recording.replace(room[0], 7)
    recording.close(room[0])
    after, recording, _ = resumed(tmp_path)
    assert votes(after) == votes(room[0])
    np.testing.assert_array_equal(after.keyframes.ids, room[0].keyframes.ids)
    recording.close(after)


@pytest.mark.parametrize(('changes', 'words'), [
    ({'field.log2_table': 11}, 'is trained anew'),
    ({'occupancy.voxel_size': 0.2}, 'votes were cast anew'),
    ({'keyframes.min_translation': 0.5, 'seed': 3}, 'the votes are as they were'),
])  # fmt: skip
def test_settings_may_differ_and_what_follows_is_said(copy, changes, words):
    before, folder = copy
    after, recording, sentences = resumed(folder, replace(CONFIG, changes))
    assert words in sentences[0]
    np.testing.assert_array_equal(after.keyframes.ids, before.keyframes.ids)
    assert after.voxels().states.any()
    after.step()
    recording.close(after)


def test_another_map_frame_is_refused(copy):
    with pytest.raises(ValueError, match="is in 'map', not in 'odom'"):
        resumed(copy[1], map_frame='odom')


def test_a_smaller_budget_keeps_as_many_keyframes_as_fit(tmp_path):
    camera, size = CAMERA.scaled(640, 480), 16 * 2**20
    mapper = Mapper(replace(CONFIG, {'keyframes.budget_mb': 32, 'keyframes.held_out_every': 0}))
    recording = recorder(tmp_path)
    recording.begin(mapper)
    for pose in POSES[::4]:
        image, depth = view(camera, pose)
        recording.add_image(mapper.add(image, camera, pose, depth), 1, image, camera, pose, depth)
    recording.close(mapper)
    assert size < mapper.keyframes.stored_bytes < 2 * size
    after, recording, _ = resumed(tmp_path, replace(CONFIG, {'keyframes.budget_mb': 16}))
    each = mapper.keyframes.stored_bytes // mapper.keyframe_count
    assert after.keyframe_count == size // each
    assert {*after.keyframes.ids} < {*mapper.keyframes.ids} and votes(after) == votes(mapper)
    recording.close(after)


@pytest.mark.parametrize('copied', [True, False])
def test_samples_end_where_the_hall_did_before(tmp_path, copied):
    config = replace(CONFIG, {'sampling.near': 0.0, 'occupancy.voxel_size': 0.5})
    mapper, recording = Mapper(config), recorder(tmp_path)
    recording.begin(mapper)
    for pose, (image, depth) in zip(POSES[::4], VIEWS[::4]):
        pose = pose.copy()
        pose[:3, 3] *= 10
        image_id = mapper.add(image, CAMERA, pose, 10 * depth)
        recording.add_image(
            image_id, 1, image, CAMERA, pose, 10 * depth, mapper.is_held_out(image_id))
    recording.close(mapper if copied else None)
    after, recording, _ = resumed(tmp_path, config)
    assert mapper.trainer.config.sampling.far > ROOM_FAR
    assert after.trainer.config.sampling.far == pytest.approx(
        mapper.trainer.config.sampling.far, rel=0.2)
    recording.close(after)


def test_votes_are_copied_again_only_if_they_have_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot_schedule, 'VOTES_PERIOD', 0.0)
    monkeypatch.setattr(snapshot_schedule, 'MAX_SHARE', float('inf'))
    copies = []
    monkeypatch.setattr(
        recorder_module, 'votes_snapshot', lambda *given: copies.append(0) or snapshot(*given))
    snapshot = snapshots.votes_snapshot
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    drive(mapper, recording, range(4))

    def copies_of_a_step():
        recording.update(mapper)
        copies.clear()
        mapper.step()
        recording.update(mapper)
        return len(copies)

    assert copies_of_a_step() == 0  # measured depth has voted once and for all
    mapper.add(VIEWS[20][0], CAMERA, POSES[20])  # votes with what is rendered
    assert copies_of_a_step() == 1
    recording.close(mapper)


def test_two_processes_do_not_write_to_one_session(copy):
    after, recording, _ = resumed(copy[1])
    with pytest.raises(ValueError, match='another process writes'):
        recorder(copy[1], resume=True).begin(Mapper(CONFIG))
    recording.close(after)
    resumed(copy[1])[1].close(None)


def test_a_newer_minor_version_is_read_and_another_major_is_refused(copy, monkeypatch):
    before, folder = copy
    store = SessionFolder(folder)
    store.open()
    monkeypatch.setattr(records, 'VERSION', (1, 7))
    store.write('inputs', [records.Record('smell', {'id': 3, 'of': 'coffee'}, {})])
    store.close()
    monkeypatch.undo()
    after, recording, sentences = resumed(folder)
    assert len(sentences) == 1 and votes(after) == votes(before)
    recording.close(after)
    store.open()
    monkeypatch.setattr(records, 'VERSION', (2, 0))
    store.write('inputs', [records.Record('smell', {}, {})])
    store.close()
    monkeypatch.undo()
    with pytest.raises(ValueError, match='of version 2.0'):
        resumed(folder)


def test_jpeg_is_smaller_and_nearly_the_same(tmp_path):
    sizes = {}
    for kind in ('jpeg', 'lossless'):
        mapper = recorded(tmp_path / kind, range(6), images=kind)
        sizes[kind] = sum(
            path.stat().st_size for path in (tmp_path / kind).glob('*-inputs.*'))
    after, recording, _ = resumed(tmp_path / 'jpeg')
    assert sizes['jpeg'] < sizes['lossless'] and votes(after).keys() == votes(mapper).keys()
    error = after.keyframes.image(0)[1].astype(int) - mapper.keyframes.image(0)[1]
    assert np.abs(error).mean() < 3
    np.testing.assert_array_equal(after.keyframes.image(0)[2], mapper.keyframes.image(0)[2])
    recording.close(after)


def test_nothing_is_recorded_without_a_folder():
    mapper, recording = Mapper(CONFIG), recorder('')
    assert recording.begin(mapper) is None
    drive(mapper, recording, range(2))
    recording.update(mapper)
    assert recording.status() == ('', '') and not recording.close(mapper)


def test_votes_of_images_that_made_room_move_after_a_resume_as_before(tmp_path):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    drive(mapper, recording, range(24))
    ids = mapper.keyframes.ids.tolist()
    mapper.keyframes.keep(ids[::10])
    before = (mapper.voxels().states >= 0).sum()
    assert not recording.close(mapper)
    again, recording, _ = resumed(tmp_path)
    T = np.eye(4)
    T[0, 3] = 2 * CONFIG.occupancy.voxel_size
    for each in (mapper, again):
        each.correct_poses(dict.fromkeys(ids, T))
        assert (each.voxels().states >= 0).sum() > 0.97 * before
    assert votes(again) == votes(mapper)
    recording.close(again)


def test_angular_velocities_are_kept(tmp_path):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    velocities = [[0.1, 0.2, 0.3], None, [0.4, 0.5, 0.6]]
    for pose, (image, _), velocity in zip(POSES[::4], VIEWS[::4], velocities):
        image_id = mapper.add(image, CAMERA, pose, angular_velocity=velocity)
        recording.add_image(image_id, 1, image, CAMERA, pose, angular_velocity=velocity)
    recording.close(None)
    after, recording, _ = resumed(tmp_path)
    given, kept = ([image.angular_velocity.tolist() for image in each.images] for each in (
        mapper.measurements.motion.alignment, after.measurements.motion.alignment))
    assert kept == given == [velocities[0], [0, 0, 0], velocities[2]]
    recording.close(after)
