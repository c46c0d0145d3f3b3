"""Shrinking: images that are larger than a fit can use are scaled down."""
import dataclasses
import math
from collections.abc import Sequence

import cv2
import numpy as np

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.nerf import Camera

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
        # The color of transparent pixels is arbitrary: it must not reach the others.
        weights = alpha[..., None] / np.float32(255)
        share = cv2.resize(weights, (width, height), interpolation=cv2.INTER_AREA)[..., None]
        mean = cv2.resize(image * weights, (width, height), interpolation=cv2.INTER_AREA)
        image = np.clip(mean / np.maximum(share, 1e-3) + 0.5, 0, 255).astype(np.uint8)
        alpha = (share[..., 0] * 255 + 0.5).astype(np.uint8)
    else:
        image = np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    if depth is not None:
        depth = np.asarray(cv2.resize(
            depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
    return dataclasses.replace(frame, image=image, camera=camera, alpha=alpha, depth=depth)
