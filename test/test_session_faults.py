"""Faults: a session survives kill -9, a full disk and flipped bits; what is lost is named."""
import multiprocessing
import os
import random
import resource
import signal
import time

import numpy as np
import pytest
from session_drives import CONFIG, VIEWS, add, drive, recorded, recorder, resumed, votes

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.session import snapshot_schedule
from instant_nerf_ros.session import writer as writer_module
from instant_nerf_ros.session.history import History
from instant_nerf_ros.session.session_cli import main
from instant_nerf_ros.session.session_folder import SessionFolder

PERIOD = 0.05  # s between batches, so that a test is short
PERIODS = ((writer_module, 'PERIOD', PERIOD), (writer_module, 'RETRY', PERIOD),
           (snapshot_schedule, 'VOTES_PERIOD', 0.2), (snapshot_schedule, 'FIELD_PERIOD', 0.4),
           (snapshot_schedule, 'MAX_SHARE', 1.0))
SLACK = 1.0  # s in which an input must be on the disk, on a busy machine


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Write more often."""
    for module, name, value in PERIODS:
        monkeypatch.setattr(module, name, value)


def run_drive(folder, connection):
    """Continue the session of a folder until the process is killed, and tell what was added."""
    for module, name, value in PERIODS:  # in a process of its own
        setattr(module, name, value)
    mapper, recording, _ = resumed(folder)
    begin = mapper.keyframes.next_id
    for k in range(begin, begin + 1000):
        T_lap = np.eye(4)
        T_lap[0, 3] = 0.6 * (k // len(VIEWS))  # another lap shows the same from elsewhere
        image_id = add(mapper, recording, k, T_lap)
        recording.update(mapper)
        if image_id is not None:
            connection.send((image_id, time.monotonic()))
        time.sleep(0.02)


@pytest.mark.parametrize('cycles', [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_9_at_random_moments_loses_only_the_last_moment(tmp_path, cycles):
    generator, context = random.Random(cycles), multiprocessing.get_context('spawn')
    known = []  # ids that must be there
    for cycle in range(cycles):
        receiver, sender = context.Pipe(False)
        process = context.Process(target=run_drive, args=(tmp_path, sender), daemon=True)
        process.start()
        assert receiver.poll(300)
        added = [receiver.recv()]
        duration = generator.uniform(0.2, 1.0) + (SLACK if cycle == cycles - 1 else 0.0)
        end = time.monotonic() + duration
        while (left := end - time.monotonic()) > 0:
            if receiver.poll(left):
                added.append(receiver.recv())
        os.kill(process.pid, signal.SIGKILL)
        killed = time.monotonic()
        process.join()
        known += [image_id for image_id, at in added if at < killed - 2 * PERIOD - SLACK]
        mapper, recording, sentences = resumed(tmp_path)
        assert len(sentences) <= 1  # nothing is damaged
        kept = {entry.values['id'] for entry in History(SessionFolder(tmp_path)).inputs}
        assert {*known} - kept == set()
        recording.close(None)
    assert known
    again = Mapper(CONFIG)  # the votes are those of the images that were kept
    for k in range(mapper.keyframe_count):
        camera, image, depth = mapper.keyframes.image(k)
        again.keyframes.continue_ids(int(mapper.keyframes.ids[k]))
        again.measurements.add_keyframe(
            image, camera, mapper.keyframe_poses()[k], depth * np.float32(0.001))
    actual, expected = states(mapper), states(again)
    # Of grids with other corners, rays that end between two voxels end in the other one.
    assert len(actual & expected) > 0.99 * max(len(actual), len(expected)) > 100


def states(mapper):
    """Return the states of the voxels that are known: {(x, y, z, state)} of the world."""
    grid = mapper.voxels()
    known = np.argwhere(grid.states >= 0)
    places = np.round(grid.origin / grid.voxel_size).astype(int) + known
    return {*map(tuple, np.column_stack([places, grid.states[tuple(known.T)]]).tolist())}


def test_a_full_disk_loses_nothing_that_was_written_and_goes_on_when_there_is_room(tmp_path):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    drive(mapper, recording, range(6))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    time.sleep(1.0)
    written = recording.status()[0]
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        drive(mapper, recording, range(6, 12))
        end = time.monotonic() + 60
        while not recording.status()[1]:
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    problem = recording.status()[1]
    assert 'the session is not written' in problem and str(tmp_path) in problem
    assert written != '0 inputs'
    drive(mapper, recording, range(12, 18))
    assert not recording.close(mapper) and recording.status() == ('', '')
    after, recording, sentences = resumed(tmp_path)
    assert len(sentences) == 1 and votes(after) == votes(mapper)
    np.testing.assert_array_equal(after.keyframes.ids, mapper.keyframes.ids)
    recording.close(None)


def test_while_the_disk_is_full_memory_stays_bounded_and_the_loss_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, 'MAX_PENDING', 100_000)
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    monkeypatch.setattr(recording._source.folder, '_put', _no_space)
    drive(mapper, recording, range(24))
    assert recording._writer._pending <= 100_000
    assert 'images or scans are not in the session' in recording.status()[1]
    assert 'images or scans were not written' in recording.close(None)


def test_votes_and_field_that_met_a_full_disk_follow_when_there_is_room(tmp_path, monkeypatch):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    drive(mapper, recording, range(8), steps=1)
    put = recording._source.folder._put
    monkeypatch.setattr(recording._source.folder, '_put', _no_space)
    end = time.monotonic() + 60
    while 'is not written' not in recording.status()[1]:
        assert time.monotonic() < end
        update_for(0.1, recording, mapper)
    monkeypatch.setattr(recording._source.folder, '_put', put)
    update_for(1.0, recording, mapper)  # nothing has changed since they were copied
    assert not recording.close(None)  # as if it was killed
    history = History(SessionFolder(tmp_path))
    assert history.votes[-1][0] == len(history.inputs)
    assert history.fields[-1].values['steps'] == mapper.steps


def test_votes_that_could_not_be_written_at_the_end_are_named(tmp_path, monkeypatch):
    mapper, recording = Mapper(CONFIG), recorder(tmp_path)
    recording.begin(mapper)
    drive(mapper, recording, range(4))
    time.sleep(1.0)
    monkeypatch.setattr(recording._source.folder, '_put', _no_space)
    problem = recording.close(mapper)
    assert 'the latest votes' in problem and 'No space left on device' in problem


def update_for(duration, recording, mapper):
    """Let a recorder copy for some seconds."""
    end = time.monotonic() + duration
    while time.monotonic() < end:
        recording.update(mapper)
        time.sleep(0.01)


def _no_space(*_):
    raise OSError(28, 'No space left on device')


@pytest.mark.parametrize('seed', range(12))
def test_a_flipped_bit_is_named_and_the_rest_is_used(tmp_path, capsys, seed):
    generator = random.Random(seed)
    mapper = recorded(tmp_path, range(12), steps=1)
    files = sorted(tmp_path.glob('*.safetensors'))
    path = files[seed % len(files)]
    content = bytearray(path.read_bytes())
    bit = generator.randrange(8 * len(content)) if seed > 3 else generator.randrange(800)
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert main(['check', str(tmp_path)]) == 1
    assert path.name in capsys.readouterr().out
    after, recording, sentences = resumed(tmp_path)
    if 'votes' in path.name:
        assert 'the votes were cast anew' in sentences[0]
    if 'field' in path.name:
        assert 'is trained anew' in sentences[0]
    if 'inputs' not in path.name:  # all is there, or can be made again
        np.testing.assert_array_equal(after.keyframes.ids, mapper.keyframes.ids)
        np.testing.assert_array_equal(after.voxels().states, mapper.voxels().states)
    assert any(path.name in sentence for sentence in sentences)
    if after.keyframe_count:  # else the only file of inputs was lost
        after.step()
    recording.close(None)
