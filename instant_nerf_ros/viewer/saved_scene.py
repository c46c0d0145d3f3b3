"""SavedScene: a fitted scene from disk, rendered by this process."""
from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.ros.outputs.progressive_renderer import (
    ProgressiveRenderer,
    RenderedView,
    enlarged,
)
from instant_nerf_ros.scenes.exports.meshes import surface
from instant_nerf_ros.scenes.scene_folder import Scene
from instant_nerf_ros.viewer.picture_source import Frustum, Picture, keyframe
from instant_nerf_ros.viewer.stage import Stage

HEIGHT = 480  # pixel, of sharp pictures
DEADLINE = 0.03  # s, for a coarse picture and for each piece of a sharp one


class SavedScene:
    """A Source of the pictures of a Scene."""

    changes = False

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Read a folder; raises what Scene.load raises."""
        self._scene = Scene.load(folder)
        self._mapper, self._frames = self._scene.mapper, self._scene.training_frames()
        self._renderer = ProgressiveRenderer()
        self._lock = threading.Lock()  # one thread at a time may use the mapper
        self._pieces: Iterator[RenderedView | None] | None = None

    def show(self, stage: Stage) -> None:
        """Put keyframes, voxels, map and path on a stage."""
        mapper = self._mapper
        with self._lock:
            keyframes = [
                keyframe(name, frame.image, frame.camera, frame.T_world_camera)
                for name, frame in self._frames.items()]
            grid, (centers, colors) = mapper.map(), mapper.points()
        stage.show_keyframes(keyframes)
        stage.show_map(grid.cells, grid.origin.tolist(), grid.resolution, grid.floor)
        stage.show_voxels(centers, colors, mapper.config.occupancy.voxel_size)
        if len(centers):
            stage.show_path(np.stack([each.T_world_camera[:3, 3] for each in keyframes]))

    def show_mesh(self, stage: Stage) -> None:
        """Make the mesh, which takes a while, and put it on a stage. Raises ValueError."""
        with self._lock:
            mesh, origin = surface(self._mapper)
        stage.show_mesh(mesh.positions + origin, mesh.colors, mesh.faces)

    def begin(self, frustum: Frustum) -> None:
        """Start to render from a frustum."""
        self._camera = frustum.camera(HEIGHT)
        self._pieces = self._renderer.render(
            self._mapper, self._camera, frustum.T_world_camera, DEADLINE)

    def next_picture(self, timeout: float) -> Picture | None:
        """Render the next piece; a picture is complete after one or several."""
        if self._pieces is None:
            return None
        with self._lock:
            view = next(self._pieces, None)
        if view is None:
            return None
        sharp = view.camera == self._camera
        view = enlarged(view, self._camera)
        return Picture(view.color, view.depth, sharp)

    def best_fov(self, aspect: float) -> None:
        """Return None: it is rendered as the browser looks."""

    def compare(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the image of a training frame, and its view."""
        frame = list(self._frames.values())[index]
        with self._lock:
            return frame.image, self._mapper.render(frame.camera, frame.T_world_camera).color

    def summary(self, folder: str | os.PathLike[str]) -> str:
        """Return in Markdown what the scene is and how good it is."""
        made, last = self._scene.provenance, self._scene.provenance.history[-1]
        quality = 'not measured' if math.isnan(last.psnr) else f'{last.psnr:.1f} dB'
        lines = {
            'Made of': f'{Path(made.data).name}, {made.kind}', 'Images': len(made.frames),
            'Training': f'{last.steps} steps in {last.seconds:.0f} s; {made.ended}',
            'PSNR, held out': quality,
            'Unit': 'metre' if made.metric else 'arbitrary: the data does not say',
            'Voxels': f'{self._mapper.config.occupancy.voxel_size:.3g} wide'}
        title = Path(folder).resolve().name
        return f'**{title}**\n\n' + '\n'.join(f'- {key}: {value}' for key, value in lines.items())
