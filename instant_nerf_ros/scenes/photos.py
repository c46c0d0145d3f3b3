"""Photos: their poses, by structure from motion with COLMAP."""
import contextlib
import dataclasses
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np

from instant_nerf_ros.data.colmap import read_colmap
from instant_nerf_ros.data.images import image_size
from instant_nerf_ros.data.masks import DYNAMIC, find_mask, read_mask
from instant_nerf_ros.data.parsing import SUFFIXES, enumeration, natural_key
from instant_nerf_ros.scenes import colmap_process
from instant_nerf_ros.scenes.colmap_process import DISAGREES, REGISTERED, Job
from instant_nerf_ros.scenes.fit_progress import OnProgress, Progress
from instant_nerf_ros.scenes.sources import Source, of_entries

MIN_IMAGES = 3
POLL = 0.2  # s between looks at the progress
SEQUENTIAL_PAIRS = 10  # of an image of a video
UNREADABLE = '.heic', '.heif', '.dng', '.cr2', '.nef', '.arw'
REASONS = (
    'photos need a texture, more than half of each must be visible in the next, and the camera '
    'must move sideways, not only turn')


def find_photos(path: Path) -> tuple[Path, list[str]]:
    """Return the folder of photos, a path or its images/, and their names in order.

    Raises ValueError if there are too few.
    """
    for folder in (path / 'images', path):
        if not folder.is_dir():
            continue
        files = [file for file in folder.iterdir() if file.is_file()]
        names = sorted((f.name for f in files if f.suffix in SUFFIXES
                        and not f.name.startswith(DYNAMIC)), key=natural_key)
        raw = [file.name for file in files if file.suffix.lower() in UNREADABLE]
        if raw:
            warnings.warn(
                f'{folder}: {len(raw)} files in formats of cameras are not used, convert them to '
                f'JPEG: {enumeration(sorted(raw))}', stacklevel=2)
        if names and len(names) < MIN_IMAGES:
            raise ValueError(
                f'{folder} has {len(names)} photo{"s" * (len(names) > 1)}, at least {MIN_IMAGES} '
                'are needed to find poses, and some dozens for a good scene')
        if names:
            return folder, names
    raise ValueError(f'{path} has no photos ({", ".join(SUFFIXES[:3])}, ...)')


def pose_photos(
    folder: Path, names: list[str], work: Path, is_video: bool, mapper: str,
    on_progress: OnProgress,
) -> Source:  # fmt: skip
    """Return the Source of photos with the poses of COLMAP, whose model stays in work/sparse.

    mapper: 'incremental', or 'global', which is faster; where its poses disagree with the matches
    of pairs, a warning says so and the others are found. Images of a video are
    matched with the next ones, photos all with each other. A warning names the photos that did not
    register. Raises ImportError without pycolmap, ValueError if no poses are found.
    """
    if importlib.util.find_spec('pycolmap') is None:
        raise ImportError(
            'poses of photos need pycolmap: pip install "pycolmap>=4", or give data with poses')
    work.mkdir(parents=True, exist_ok=True)
    total = len(names)
    sizes = {name: image_size(folder / name) for name in names}
    same_size = len({*sizes.values()}) == 1
    masks = _write_masks(folder, sizes, work / 'masks')
    _run(Job(str(folder), names, str(work), same_size, is_video, mapper, masks), on_progress)
    if (work / DISAGREES).exists():
        warnings.warn('the poses of global mapping disagree with the matches of pairs of photos: '
                      'they were found incrementally instead', stacklevel=2)
    models = [path for path in (work / 'sparse').iterdir() if (path / 'images.bin').is_file()]
    if not models:
        raise ValueError(f'no poses were found for the {total} photos in {folder}: {REASONS}')
    best = max(models, key=lambda path: (path / 'images.bin').stat().st_size)
    entries, points = read_colmap(best, folder)
    found = {entry.image_path.name for entry in entries}
    on_progress(Progress('poses', 1.0, f'{len(found)} of {total} photos registered'))
    if len(found) < MIN_IMAGES:
        raise ValueError(f'only {len(found)} of {total} photos in {folder} registered: {REASONS}')
    if missing := [name for name in names if name not in found]:
        warnings.warn(f'{len(missing)} of {total} photos did not register and are left out: '
                      f'{enumeration(missing)}; {REASONS}', stacklevel=2)
    return of_entries('video' if is_video else 'photos', entries, points=points)


def _write_masks(folder: Path, sizes: dict[str, tuple[int, int]], masks: Path) -> str:
    """Write the masks of photos {name: (width, height)} as COLMAP reads them.

    COLMAP finds no features where NAME.png is black. A photo without one is used as a whole.
    Returns the folder of the masks, '' if no photo has one.
    """
    for name, size in sizes.items():
        if path := find_mask(folder / name):
            masked = read_mask(path, size)
            masks.mkdir(exist_ok=True)
            cv2.imwrite(str(masks / f'{name}.png'), np.where(masked, np.uint8(0), np.uint8(255)))
    return str(masks) if masks.is_dir() else ''


def _run(job: Job, on_progress: OnProgress) -> None:
    """Run a job and report its progress. Raises ValueError if COLMAP fails."""
    work, total = Path(job.work), len(job.names)
    pairs = total * SEQUENTIAL_PAIRS if job.sequential else total * (total - 1) // 2
    with (work / 'log').open('w+') as log:
        process = subprocess.Popen(
            [sys.executable, '-m', colmap_process.__name__, json.dumps(dataclasses.asdict(job))],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, 'GLOG_minloglevel': '2'})  # errors only
        try:
            while process.poll() is None:
                time.sleep(POLL)
                registered = work / REGISTERED
                if registered.exists():
                    _report(on_progress, 'poses', registered.stat().st_size, total, 'photos')
                elif matched := _rows(work, 'two_view_geometries'):
                    _report(on_progress, 'matches', matched, pairs, 'pairs')
                else:
                    _report(on_progress, 'features', _rows(work, 'keypoints'), total, 'photos')
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            log.seek(0)
            lines = log.read().strip().splitlines() or ['no message']
            raise ValueError(f'COLMAP has failed with status {process.returncode}: {lines[-1]}')


def _report(on_progress: OnProgress, stage: str, done: int, total: int, unit: str) -> None:
    on_progress(Progress(stage, min(done / total, 1.0), f'{min(done, total)} of {total} {unit}'))


def _rows(work: Path, table: str) -> int:
    """Return the number of rows of a table that another process writes, 0 if it is locked."""
    try:
        connection = sqlite3.connect(
            f'file:{work / "database.db"}?mode=ro', uri=True, timeout=POLL)
        with contextlib.closing(connection):
            return int(connection.execute(f'SELECT count(*) FROM {table}').fetchone()[0])
    except sqlite3.Error:
        return 0
