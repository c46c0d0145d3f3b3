"""Shrinking: images that are larger than a fit can use are scaled down."""
import dataclasses
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.nerf import Camera
from instant_nerf_ros.nerf.arrays import Alpha, Image
from instant_nerf_ros.nerf.constants import MASKED_ALPHA

MAX_SIZE = 1600  # pixels, of the longer side
MAX_PIXELS = 200e6  # of all images: what keyframes.budget_mb holds by default


def size_factor(cameras: Sequence[Camera]) -> float:
    """Return the factor of the size of all images, at most 1."""
    longest = max(max(camera.width, camera.height) for camera in cameras)
    pixels = sum(camera.width * camera.height for camera in cameras)
    return min(1.0, MAX_SIZE / longest, math.sqrt(MAX_PIXELS / pixels))


def shrunk(frame: Frame, factor: float) -> Frame:
    """Return a frame whose size is multiplied by a factor."""
    if factor == 1:
        return frame
    width, height = (max(round(size * factor), 1)
                     for size in (frame.camera.width, frame.camera.height))
    camera = frame.camera.scaled(width, height)
    image, alpha, depth = frame.image, frame.alpha, frame.depth
    if alpha is not None:
        image, alpha = _shrunk_alpha(image, alpha, (width, height))
    else:
        image = np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    if depth is not None:
        depth = np.asarray(cv2.resize(
            depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
    return dataclasses.replace(frame, image=image, camera=camera, alpha=alpha, depth=depth)


def _shrunk_alpha(image: Image, alpha: Alpha, size: tuple[int, int]) -> tuple[Image, Alpha]:
    """Return image and alpha in another size (width, height).

    The color of transparent pixels is arbitrary, and that of masked ones is wrong: they must not
    reach the others. A pixel is masked if half of it was.
    """
    def mean(values: NDArray[np.floating]) -> NDArray[np.float32]:
        resized = cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return np.asarray(resized, dtype=np.float32)

    known = np.where(alpha == MASKED_ALPHA, 0.0, 1.0)
    opacity = alpha / 255 * known
    share, used = mean(opacity), mean(known)
    colors = mean(image * opacity[..., None]) / np.maximum(share, 1e-3)[..., None]
    values = (share / np.maximum(used, 1e-3) * 255 + 0.5).astype(np.uint8)
    values[values == MASKED_ALPHA] = 0
    return (np.clip(colors + 0.5, 0, 255).astype(np.uint8),
            np.where(used > 0.5, values, np.uint8(MASKED_ALPHA)))
