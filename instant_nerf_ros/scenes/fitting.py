"""Fit: data in, a fitted scene out. All settings follow from the data."""
from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.nerf import Config, Mapper, replace, scene_bounds
from instant_nerf_ros.nerf.ranks import ALONE, Ranks
from instant_nerf_ros.nerf.sharding import collect, distribute
from instant_nerf_ros.scenes.fit_progress import OnProgress, Progress, silent
from instant_nerf_ros.scenes.fit_training import Limits, train
from instant_nerf_ros.scenes.photos import find_photos, pose_photos
from instant_nerf_ros.scenes.placement import Placement, upright
from instant_nerf_ros.scenes.scene_folder import Provenance, Scene, check_free
from instant_nerf_ros.scenes.shrinking import shrunk, size_factor
from instant_nerf_ros.scenes.sources import (
    Source,
    is_posed,
    open_source,
    without_depth,
)
from instant_nerf_ros.scenes.video import extract, is_video

# The rate is twice that of a drive: no image comes late, and it falls before the end. The second
# moment is of some twenty updates of an entry, not a hundred: views are better after equal steps.
LEARNING_RATE, BETA2 = 0.02, 0.95


def fit(
    data: str | os.PathLike[str], out: str | os.PathLike[str], *, seconds: float | None = None,
    steps: int | None = None, target_psnr: float | None = None, scale: float | None = None,
    poses: str = 'incremental', settings: Mapping[str, Any] | None = None,
    with_depth: bool = True, on_progress: OnProgress = silent, ranks: Ranks = ALONE,
) -> Scene:  # fmt: skip
    """Fit a scene to data, write it to a folder, and return it.

    data: photos, a video, or anything with poses (see sources.open_source). out: a folder that
    does not exist or is empty. Training ends at the first of these limits: seconds of training,
    steps, and the PSNR of held-out views [dB]; without any, after 60 s. Ctrl-C ends it, too, and
    what was learnt is kept. scale: metres per unit of the poses; None: as the data says, or such
    that the scene is some metres large. poses: the mapper of COLMAP for photos, 'incremental',
    or 'global'. settings: {name: value} of Config, in place of what follows from the data.
    with_depth: use depth where it was measured. ranks: the processes that fit it together, each
    of which calls this; rank 0 writes the scene.
    Raises FileExistsError, FileNotFoundError, ImportError or ValueError, with the reason and what
    to do; nothing is written then.
    """
    data, out = Path(data), Path(out)
    limits = Limits(seconds, steps, target_psnr)
    command = _command(data, out, limits, scale, poses, with_depth, settings or {})
    if scale is not None and not scale > 0:
        raise ValueError(f'scale must be positive, is {scale}')
    check_free(out)
    replace(Config(), settings or {})  # wrong names and values are found before the work
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{out.name}.', dir=out.parent) as work:
        source = _open(data, Path(work), poses, on_progress, ranks)
        if not with_depth:
            source = without_depth(source)
        scene = _fit(source, data, limits, scale, settings or {}, command, on_progress, ranks)
        if ranks.rank > 0:
            return scene
        on_progress(Progress('saving', 0.0, 'map, points, mesh and model'))
        new = Path(work) / 'scene'
        scene.save(new)
        if (Path(work) / 'sparse').is_dir():
            (Path(work) / 'sparse').rename(new / 'sparse')
        if out.exists():
            out.rmdir()  # it is empty
        new.rename(out)
        on_progress(Progress('saving', 1.0, str(out)))
    return scene


def _open(
    data: Path, work: Path, poses: str, on_progress: OnProgress, ranks: Ranks,
) -> Source:  # fmt: skip
    """Return the Source of data, after structure from motion where there are no poses."""
    def find_poses() -> Source:
        if not is_video(data):
            return pose_photos(*find_photos(data), work, False, poses, on_progress)
        names = extract(data, work / 'frames', on_progress)
        return pose_photos(work / 'frames', names, work, True, poses, on_progress)

    if is_video(data) or (data.is_dir() and not is_posed(data)):
        return ranks.first(find_poses)
    return open_source(data)


def _fit(
    source: Source, data: Path, limits: Limits, scale: float | None, settings: Mapping[str, Any],
    command: str, on_progress: OnProgress, ranks: Ranks,
) -> Scene:  # fmt: skip
    trained = [i for i in range(len(source.poses)) if i not in source.held_out]
    if len(trained) < max(2, ranks.size):
        raise ValueError(
            f'{data} has {len(trained)} frame{"s" * (len(trained) != 1)} to train on: a scene '
            'needs two at least, and one for each process, and some dozens to be good')
    factor = size_factor([source.cameras[i] for i in trained])
    frames, own = [], ranks.block(trained)
    for index, frame in source.read(trained if ranks.rank == 0 else own):
        frames.append((index, shrunk(frame, factor)))
        on_progress(Progress('images', len(frames) / len(trained), _size(frame, factor)))
    if len(frames) < len(trained):
        on_progress(Progress('images', 1.0, f'{len(frames)} of {len(trained)} can be read'))
    placement, config = ranks.first(lambda: _settings(source, frames, scale))
    config = replace(config, {
        # All frames are wanted, and those that are held out are so already.
        'keyframes.min_translation': 0.0, 'keyframes.min_rotation': 0.0,
        'keyframes.held_out_every': 0,
        'optimizer.learning_rate': LEARNING_RATE, 'optimizer.beta2': BETA2,
        # Poses of structure from motion have been adjusted to the images.
        'motion.align': source.refine, 'motion.stereo': source.refine, **settings})
    mapper = Mapper(replace(config, {'seed': config.seed + ranks.rank}))
    mapper.measurements.grow_to(placement.poses(source.poses[trained[0]])[:3, 3])
    names = []
    for index, frame in (each for each in frames if each[0] in own):
        mapper.add(frame.image, frame.camera, placement.poses(frame.T_world_camera), frame.depth,
                   frame.alpha)
        names.append(source.names[index])
    held_out = {}
    for index, frame in source.read(sorted(source.held_out)):
        posed = dataclasses.replace(
            frame, T_world_camera=placement.poses(frame.T_world_camera))
        held_out[source.names[index]] = shrunk(posed, factor)
    distribute(mapper, ranks)
    history, ended = train(mapper, list(held_out.values()), limits, on_progress, ranks)
    collect(mapper, ranks)
    names = [name for part in ranks.collect(names) for name in part]
    return Scene(mapper, held_out, Provenance(
        str(data.resolve()), source.kind, command,
        importlib.metadata.version('instant_nerf_ros'), placement.matrix(),
        source.metric or scale is not None, names,
        history, ended))


def _settings(
    source: Source, frames: list[tuple[int, Frame]], scale: float | None,
) -> tuple[Placement, Config]:  # fmt: skip
    """Return where the scene lies, and the settings that follow from the data."""
    rotation = np.eye(3) if source.level else upright(source.poses)
    images, cameras, poses, depths, alphas = zip(*(
        (frame.image, frame.camera, Placement(rotation, 1.0).poses(frame.T_world_camera),
         frame.depth, frame.alpha) for _, frame in frames))
    points = None if source.points is None else source.points @ rotation.T
    bounds = scene_bounds(images, cameras, poses, depths, alphas, points)
    if scale is None:
        scale = 1.0 if source.metric else bounds.scale()
    settings = bounds.scaled(scale).settings()
    if source.metric:  # a map is wanted at the resolution that the settings say
        settings['occupancy.voxel_size'] = source.config.occupancy.voxel_size
    return Placement(rotation, scale), replace(source.config, settings)


def _size(frame: Frame, factor: float) -> str:
    camera = frame.camera
    text = f'{camera.width} x {camera.height}'
    return text if factor == 1 else f'{text}, scaled by {factor:.2f} to fit into memory'


def _command(
    data: Path, out: Path, limits: Limits, scale: float | None, poses: str, with_depth: bool,
    settings: Mapping[str, Any],
) -> str:  # fmt: skip
    """Return the command that does the same."""
    words = ['instant-nerf', 'fit', str(data), '--out', str(out)]
    for option, value in (
            ('--seconds', limits.seconds), ('--steps', limits.steps),
            ('--target-psnr', limits.target_psnr), ('--scale', scale),
            ('--poses', None if poses == 'incremental' else poses)):
        words += [option, f'{value}'] if value is not None else []
    words += [] if with_depth else ['--no-depth']
    for name, value in settings.items():
        words += ['--set', f'{name}={value}']
    return shlex.join(words)
