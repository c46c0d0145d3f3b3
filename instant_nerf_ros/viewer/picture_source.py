"""What is shown, whatever it comes from: keyframes, pictures, and the source of both."""
from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera


@dataclasses.dataclass(frozen=True)
class Frustum:
    """The camera of a browser: a pinhole camera with square pixels and a centered axis."""

    T_world_camera: NDArray[np.float64]  # (4, 4), optical frame
    fov: float  # vertical field of view [rad]
    aspect: float  # width / height

    def camera(self, height: int) -> Camera:
        """Return it as a Camera of a height [pixel]."""
        width = max(1, round(height * self.aspect))
        focal = height / 2 / math.tan(self.fov / 2)
        return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


@dataclasses.dataclass(frozen=True)
class Keyframe:
    """An image that was mapped."""

    name: str
    T_world_camera: NDArray[np.float64]  # (4, 4), optical frame
    fov: float  # vertical field of view [rad]
    aspect: float  # width / height
    thumbnail: NDArray[np.uint8] | None  # (h, w, 3) RGB


@dataclasses.dataclass(frozen=True)
class Picture:
    """The field as it is seen from a Frustum."""

    color: NDArray[np.uint8]  # (H, W, 3) RGB
    depth: NDArray[np.float32]  # (H, W) along the optical axis [m], NaN where nothing is
    sharp: bool  # no better one follows


class Source(Protocol):
    """Where the viewer has its pictures from: a node, or a saved scene."""

    changes: bool  # the field is still trained

    def begin(self, frustum: Frustum) -> None:
        """Start to render from a frustum, in place of what is being rendered."""

    def next_picture(self, timeout: float) -> Picture | None:
        """Return the next picture of the frustum, None if there is none within a timeout [s]."""

    def best_fov(self, aspect: float) -> float | None:
        """Return the largest vertical field of view [rad] that pictures fill; None: any."""

    def compare(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the image of a keyframe, and the same view rendered, both (H, W, 3) RGB.

        Raises LookupError, with a sentence for people, if one of them is not to be had.
        """

def keyframe(
    name: str, image: NDArray[np.uint8] | None, camera: Camera,
    T_world_camera: NDArray[np.float64],
) -> Keyframe:  # fmt: skip
    """Return the Keyframe of an image (H, W, 3), if there is one, and its camera."""
    fov = 2 * math.atan(camera.height / 2 / camera.fy)
    return Keyframe(
        name, T_world_camera, fov, camera.width * camera.fy / (camera.height * camera.fx),
        None if image is None else thumbnail(image))

def thumbnail(image: NDArray[np.uint8], width: int = 96) -> NDArray[np.uint8]:
    """Return a small version of an image (H, W, 3)."""
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
