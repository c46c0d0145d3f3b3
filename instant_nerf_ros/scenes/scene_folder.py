"""Scene: what was fitted, as a folder that has everything to evaluate, render and export it."""
from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.data.images import read_color_alpha, read_depth
from instant_nerf_ros.data.parsing import parse_pose, read_json
from instant_nerf_ros.nerf import Camera, Config, Mapper
from instant_nerf_ros.nerf.capture.alpha import keyframe_alpha
from instant_nerf_ros.scenes.fit_progress import Record

FORMAT, VERSION = 'instant_nerf_ros scene', 1
ABOUT, MAP, HELD_OUT = 'scene.json', 'map', 'held_out'
MILLIMETRE = 0.001  # m per count of stored depth


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where a scene comes from, and how it was made."""

    data: str  # path
    kind: str  # of the data, in words
    command: str
    package_version: str
    T_scene_data: NDArray[np.float64]  # (4, 4) similarity from the world of the data
    metric: bool  # the unit of the scene is the metre
    frames: list[str]  # names of those trained on
    history: list[Record]
    ended: str  # why training ended, in words


@dataclasses.dataclass(frozen=True)
class Scene:
    """A fitted scene: a Mapper, the views that it was not trained on, and its provenance."""

    mapper: Mapper
    held_out: dict[str, Frame]  # by name
    provenance: Provenance

    def training_frames(self) -> dict[str, Frame]:
        """Return the frames that it was trained on, by name, with corrected poses."""
        keyframes, poses = self.mapper.keyframes, self.mapper.keyframe_poses()
        frames = {}
        for k in range(len(keyframes)):
            camera, image, depth = keyframes.image(k)
            named = len(self.provenance.frames) == len(keyframes)
            frames[self.provenance.frames[k] if named else f'keyframe {k}'] = Frame(
                k, image, camera, poses[k],
                depth * np.float32(MILLIMETRE) if depth.any() else None,
                keyframe_alpha(keyframes, k))
        return frames

    def camera(self, index: int) -> tuple[Camera, NDArray[np.float64]]:
        """Return camera and pose T_world_camera (4, 4) of a training frame, for Mapper.render."""
        return self.mapper.keyframes.image(index)[0], self.mapper.keyframe_poses()[index]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the scene to a folder that is empty or does not exist.

        Raises FileExistsError if it has files, and OSError if it cannot be written.
        """
        folder = Path(folder)
        check_free(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.mapper.save(folder / MAP)
        (folder / HELD_OUT).mkdir()
        views = []
        for number, (name, frame) in enumerate(self.held_out.items()):
            stem = f'{HELD_OUT}/{number:04d}'
            image = frame.image if frame.alpha is None else np.dstack([frame.image, frame.alpha])
            cv2.imwrite(str(folder / f'{stem}.png'), cv2.cvtColor(
                image, cv2.COLOR_RGB2BGR if frame.alpha is None else cv2.COLOR_RGBA2BGRA))
            if frame.depth is not None:
                counts = np.clip(frame.depth / MILLIMETRE + 0.5, 0, 65534)
                cv2.imwrite(str(folder / f'{stem}.depth.png'), counts.astype(np.uint16))
            views.append({
                'name': name, 'image': f'{stem}.png',
                'depth': f'{stem}.depth.png' if frame.depth is not None else None,
                'camera': dataclasses.asdict(frame.camera),
                'T_scene_camera': frame.T_world_camera.tolist()})
        about = {
            'format': FORMAT, 'version': VERSION, **_json(self.provenance), 'held_out': views}
        (folder / ABOUT).write_text(json.dumps(about, indent=1) + '\n')

    @classmethod
    def load(cls, folder: str | os.PathLike[str], config: Config | None = None) -> Scene:
        """Return the scene of a folder; config: None for that of the folder.

        Raises FileNotFoundError if there is none, ValueError if it is damaged.
        """
        folder = Path(folder)
        if not (folder / ABOUT).is_file():
            raise FileNotFoundError(
                f'{folder} is no scene, it has no {ABOUT}: make one with '
                f'`instant-nerf fit DATA --out {folder}`')
        about = read_json(folder / ABOUT)
        if about.get('format') != FORMAT or about.get('version') != VERSION:
            raise ValueError(f"{folder / ABOUT} is a {about.get('format')} of version "
                             f"{about.get('version')}, not {FORMAT} {VERSION}")
        try:
            history = [Record(**record) for record in about['history']]
            provenance = Provenance(**{
                **{field.name: about[field.name] for field in dataclasses.fields(Provenance)},
                'history': history, 'T_scene_data': np.array(about['T_scene_data'], np.float64)})
            held_out = {view['name']: _read_view(folder, view) for view in about['held_out']}
        except (KeyError, TypeError) as error:
            raise ValueError(f'{folder / ABOUT} is damaged: {error!r}') from None
        return cls(Mapper.load(folder / MAP, config), held_out, provenance)


def check_free(folder: Path) -> None:
    """Raise FileExistsError if a folder has files, or is a file."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f'{folder} exists already: choose another folder, or remove it before')


def _read_view(folder: Path, view: dict[str, Any]) -> Frame:
    camera = Camera.from_dict(view['camera'])
    image, alpha = read_color_alpha(folder / view['image'], camera)
    depth = None
    if view['depth']:
        depth = read_depth(folder / view['depth'], camera, MILLIMETRE, 1.0)
    pose = parse_pose(view['T_scene_camera'], view['name'])
    return Frame(0, image, camera, pose, depth, alpha)


def _json(provenance: Provenance) -> dict[str, Any]:
    """Return it as values of JSON, in which NaN is null."""
    values = dataclasses.asdict(provenance)
    values['T_scene_data'] = provenance.T_scene_data.tolist()
    values['history'] = [
        {key: None if isinstance(value, float) and math.isnan(value) else value
         for key, value in record.items()} for record in values['history']]
    return values
