"""Rendered views: what the field shows at the poses of the keyframes, where it was trained."""
from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf import Camera, Mapper

MAX_PIXELS = 4e6  # that are rendered, over all views


@dataclasses.dataclass(frozen=True)
class RenderedView:
    """A rendered keyframe, maybe smaller than its image."""

    camera: Camera
    T_world_camera: NDArray[np.float64]  # (4, 4)
    color: NDArray[np.uint8]  # (H, W, 3) RGB over black
    depth: NDArray[np.float32]  # (H, W) along the optical axis; NaN where transparent
    opacity: NDArray[np.float32]  # (H, W)

    def look_up(
        self, positions: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:  # fmt: skip
        """Return which of positions (N, 3) have a pixel, as indices (M,), and what is there.

        That is their depth (M,) along the optical axis, and their pixel (M,), row-major.
        """
        local = (positions - self.T_world_camera[:3, 3]) @ self.T_world_camera[:3, :3]
        pixels = np.floor(np.nan_to_num(self.camera.project(local), nan=-9.0) + 0.5)
        size = self.camera.width, self.camera.height
        seen = np.flatnonzero(((pixels >= 0) & (pixels < size)).all(-1) & (local[:, 2] > 0))
        column, row = pixels[seen].astype(np.int64).T
        return seen, local[seen, 2], row * self.camera.width + column


def rendered_views(mapper: Mapper) -> list[RenderedView]:
    """Return the views of all keyframes; they are smaller where there are many pixels."""
    keyframes, views = mapper.keyframes, []
    scale = min(1.0, math.sqrt(MAX_PIXELS / max(1, int(keyframes.pixels.sum()))))
    for k, pose in enumerate(mapper.keyframe_poses()):
        camera = keyframes.image(k)[0]
        if scale < 1:
            camera = camera.scaled(
                max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))
        view = mapper.render(camera, pose)
        views.append(RenderedView(camera, pose, view.color, view.depth, view.opacity))
    return views
