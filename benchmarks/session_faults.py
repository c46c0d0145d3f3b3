"""A session is killed, its disk fills, its bits flip, it is merged: prints what was seen."""
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / 'test'))

from session_drives import (  # noqa: E402
    CONFIG,
    FLAT_CAMERA,
    POSES,
    VIEWS,
    add,
    drift,
    flat_views,
    iou,
    record_views,
    recorder,
    resumed,
    votes,
)

from instant_nerf_ros.nerf import Mapper  # noqa: E402
from instant_nerf_ros.nerf.capture.validation import to_millimetres  # noqa: E402
from instant_nerf_ros.nerf.occupancy.blocks import VOTES, block_type  # noqa: E402
from instant_nerf_ros.session import writer as writer_module  # noqa: E402
from instant_nerf_ros.session.history import History  # noqa: E402
from instant_nerf_ros.session.image_codecs import compress, encode_image  # noqa: E402
from instant_nerf_ros.session.records import Record  # noqa: E402
from instant_nerf_ros.session.session_folder import SessionFolder  # noqa: E402
from instant_nerf_ros.session.session_merging import merge  # noqa: E402
from instant_nerf_ros.session.snapshots import VotesSnapshot  # noqa: E402
from instant_nerf_ros.session.writer import Input, WriterThread  # noqa: E402

KILLS, FLIPS = 100, 200
RATE = 20  # images a second
LIFE = 0.5, 4.0  # s until a process is killed
DISK = 4  # MB
LIMIT = 10.0  # s of input that may be lost


@contextlib.contextmanager
def _folder():
    with tempfile.TemporaryDirectory() as path:
        yield Path(path) / 'session'


def _write(path, first, stamp=None):
    """Write a drive to a session until the process ends; stamp(id) is called for each image."""
    folder = SessionFolder(path)
    folder.open()
    writer = WriterThread(folder)
    writer.start()
    blocks = np.zeros(300, block_type(VOTES))
    places = np.argwhere(np.ones((10, 10, 3)))
    generator = np.random.default_rng(first)
    for k in range(first, first + 10**6):
        image, depth = VIEWS[k % len(VIEWS)]

        def encode(k=k, image=image, depth=depth):
            return Record('image', {'id': k}, {
                'image': encode_image(image, 'jpeg'), 'depth': compress(to_millimetres(depth))})

        writer.add(Input(encode, image.nbytes + depth.nbytes))
        if stamp:
            stamp((k, time.monotonic()))
        blocks['hits'][generator.integers(0, 300, 20)] = k % 256
        if k % 40 == 0:
            writer.add(VotesSnapshot({'keyframes': k, 'voxel_size': 0.1}, {}, places,
                                     blocks.copy(), 1))
        if stamp is None and writer.error:
            return writer, folder
        time.sleep(1 / RATE)


def _killed():
    """Kill the process that writes, at random moments, and look for what it had been given."""
    generator, context = random.Random(0), multiprocessing.get_context('fork')
    given, oldest, damaged, killed = {}, 0.0, 0, 0
    with _folder() as path:
        for _ in range(KILLS):
            receiver, sender = context.Pipe(False)
            process = context.Process(
                target=_write, args=(path, max(given, default=0) + 1, sender.send), daemon=True)
            process.start()
            end = time.monotonic() + generator.uniform(*LIFE)
            while (left := end - time.monotonic()) > 0:
                if receiver.poll(left):
                    image_id, at = receiver.recv()
                    given[image_id] = at
            os.kill(process.pid, signal.SIGKILL)
            moment, killed = time.monotonic(), killed + 1
            process.join()
            history = History(SessionFolder(path))
            damaged += len(history.findings)
            kept = {entry.values['id'] for entry in history.inputs}
            lost = [moment - at for image_id, at in given.items() if image_id not in kept]
            oldest = max([oldest, *lost])
            for image_id in set(given) - kept:
                del given[image_id]  # counted once
        whole = sum(history.read(entry) is not None for entry in history.inputs)
    yield [f'kill -9 at {killed} random moments of a drive', f'at most {LIMIT:.0f} s are lost, no '
           'file is damaged', f'at most {oldest:.1f} s were lost; {damaged} files damaged; '
           f'{whole} of {len(history.inputs)} images whole']


def _full_disk():
    """Fill a small file system, and go on when there is room."""
    with tempfile.TemporaryDirectory() as mount:
        mounted = subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', f'size={DISK}m', 'tmpfs', mount],
            capture_output=True, check=False).returncode == 0
        if not mounted:
            yield ['disk full', 'what was written stays, the rest follows',
                   'not run: a file system cannot be mounted here']
            return
        try:
            filler, path = Path(mount) / 'filler', Path(mount) / 'session'
            filler.write_bytes(bytes((DISK - 1) * 2**20))
            writer, folder = _write(path, 1)
            error, before = writer.error, len(History(folder).inputs)
            filler.unlink()
            given = before + sum(isinstance(item, Input) for item in writer._queue)
            problem, history = writer.close(60), History(folder)
            folder.close()
            yield [f'disk of {DISK} MB full', 'said; what was written stays, and the rest follows '
                   'when there is room',
                   f'"{error.partition(":")[0]}"; {before} images on the disk while it was full, '
                   f'{len(history.inputs)} of {max(given, len(history.inputs))} after; '
                   f'{len(history.findings)} files damaged; all written: {not problem}']
        finally:
            subprocess.run(['umount', mount], check=True)


def _flipped_bits():
    """Flip a bit of a random file, and count what can still be read."""
    generator = random.Random(0)
    # A file every 0.1 s in place of every 2 s, so that there are several.
    with _folder() as path, mock.patch.object(writer_module, 'PERIOD', 0.1):
        mapper, recording = Mapper(CONFIG), recorder(path)
        recording.begin(mapper)
        for k in range(48):
            add(mapper, recording, k)
            time.sleep(0.05)
        recording.close(mapper)
        folder = SessionFolder(path)
        named, most_lost, total = 0, 0, len(_readable(History(folder)))
        for _ in range(FLIPS):
            file = generator.choice(folder.segments())
            content = bytearray(file.read_bytes())
            bit = generator.randrange(8 * len(content))
            content[bit // 8] ^= 1 << bit % 8
            backup = shutil.copy(file, path.parent / 'backup')
            file.write_bytes(content)
            history = History(folder)
            readable = _readable(history)
            named += any(file.name in finding for finding in history.findings)
            most_lost = max(most_lost, total - len(readable))
            shutil.copy(backup, file)
    yield [f'a bit flipped, {FLIPS} times', 'named; records of other files are used',
           f'named {named} times; at most {most_lost} of {total} records were lost']


def _readable(history):
    entries = [*history.inputs, *(entry for _, entry in history.votes), *history.fields]
    return [entry for entry in entries if history.read(entry) is not None]


def _resumed():
    """Compare a map before and after a resume, and close a drift after it."""
    with _folder() as path:
        mapper, recording = Mapper(CONFIG), recorder(path)
        recording.begin(mapper)
        drifts = {}
        for k in range(len(POSES)):
            T_drifted_true = drift(k / (len(POSES) - 1))
            image_id = add(mapper, recording, k, T_drifted_true)
            if image_id is not None:
                drifts[image_id] = T_drifted_true
            for _ in range(3):
                mapper.step()
        recording.close(mapper)
        after, recording, _ = resumed(path)
        same = votes(after) == votes(mapper)
        yield ['process ends, and resumes', 'the votes are the same, the PSNR too',
               f'{"same" if same else "other"} votes; {mapper.psnr():.2f} dB before, '
               f'{after.psnr():.2f} dB after']
        after.correct_poses({key: np.linalg.inv(T) for key, T in drifts.items()})
        exact = Mapper(CONFIG)
        for k in range(len(POSES)):
            add(exact, None, k)
        yield ['drift of 0.3 m and 5 degrees, closed after a resume',
               'IoU of occupied voxels with the run without drift at least 97 %',
               f'{100 * iou(after, exact):.1f} % ({100 * iou(mapper, exact):.1f} % before)']
        recording.close(None)


def _merged():
    """Merge the sessions of two halves of a lap, and compare the map with that of all of it."""
    views = flat_views()
    half = len(views) // 2
    with _folder() as path:
        parts = [record_views(path / name, part, stamp=stamp, camera=FLAT_CAMERA)
                 for name, part, stamp in (
                     ('first', views[:half], 0), ('second', views[half:], half))]
        merge(*(History(SessionFolder(path / name)) for name in ('first', 'second')),
              SessionFolder(path / 'both'), lambda: Mapper(CONFIG))
        merged, recording, _ = resumed(path / 'both')
        recording.close(None)
    whole = record_views('', views, camera=FLAT_CAMERA)
    alone = ' and '.join(f'{100 * iou(part, whole):.1f}' for part in parts)
    yield ['two halves of a lap through the simulated flat, merged',
           'IoU of occupied voxels with the whole lap at least 97 %',
           f'{100 * iou(merged, whole):.1f} % ({alone} % of the halves)']


if __name__ == '__main__':
    json.dump(
        [*_killed(), *_full_disk(), *_flipped_bits(), *_resumed(), *_merged()], sys.stdout)
