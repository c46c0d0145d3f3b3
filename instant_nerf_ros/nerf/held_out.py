"""Held-out images: never trained on, they measure the quality of views between the keyframes."""
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from instant_nerf_ros.nerf.arrays import Alpha, Image, Pose, Poses
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.alpha import over_black, unmasked
from instant_nerf_ros.nerf.capture.rays import Rays

MAX_IMAGES = 8  # with more, every second one is dropped, and they become half as frequent
PIXELS = 512  # of an image, a random choice


class HeldOut:
    """A few pixels of a few images, spread over the whole session."""

    def __init__(self, every: int) -> None:
        """Hold out one of `every` images; 0: none."""
        self._generator = np.random.default_rng(0)
        self._every, self._offset, self._images = every, every // 2, 0
        self.T_world_camera = np.empty((0, 4, 4))
        self._ids: list[int] = []
        self._rays: list[Rays] = []

    def due(self) -> bool:
        """Count an image of a new viewpoint, and return whether it is to be held out."""
        self._images += 1
        return self._every > 0 and self._images % self._every == self._offset

    def add(
        self, image: Image, camera: Camera, T_world_camera: Pose, image_id: int,
        alpha: Alpha | None = None,
    ) -> None:  # fmt: skip
        """Hold out an image (H, W, 3) RGB, with alpha (H, W) if any, at a pose (4, 4)."""
        image = over_black(image, alpha)
        known = np.arange(camera.width * camera.height) if alpha is None else unmasked(alpha)
        pixels = known[self._generator.integers(0, len(known), PIXELS)]
        directions = camera.directions()[pixels] @ T_world_camera[:3, :3].T.astype(np.float32)
        origins = np.tile(T_world_camera[:3, 3].astype(np.float32), (PIXELS, 1))
        self.T_world_camera = np.concatenate([self.T_world_camera, T_world_camera[None]])
        self._ids.append(image_id)
        self._rays.append(Rays(
            torch.from_numpy(origins), torch.from_numpy(directions), torch.zeros(PIXELS),
            torch.from_numpy(image.reshape(-1, 3)[pixels].astype(np.int16))))
        if len(self._rays) > MAX_IMAGES:
            self._rays, self._ids = self._rays[::2], self._ids[::2]
            self.T_world_camera = self.T_world_camera[::2]
            self._every *= 2

    def __contains__(self, image_id: int) -> bool:
        """Return whether an image is held out."""
        return image_id in self._ids

    def correct_poses(self, corrections: Poses) -> None:
        """Move images by {id: T_new_old (4, 4)}."""
        for k, image_id in enumerate(self._ids):
            if image_id in corrections:
                self._rays[k] = self._rays[k].transformed(corrections[image_id])
                self.T_world_camera[k] = corrections[image_id] @ self.T_world_camera[k]

    def rays(self) -> Rays | None:
        """Return all rays, whose pixels are the true colors; None without any image."""
        if not self._rays:
            return None
        first, *others = self._rays
        for rays in others:
            first = first.concatenated(rays)
        return first

    def psnr(self, render: Callable[[Rays], Tensor]) -> float:
        """Return the PSNR [dB] of the colors (N, 3) that render(rays) returns; NaN without any."""
        rays = self.rays()
        return math.nan if rays is None else psnr(render(rays), rays.pixels / 255)


def psnr(rendered: Tensor, target: Tensor) -> float:
    """Return the PSNR [dB] of colors (N, 3), clamped to [0, 1]; at most 100 dB."""
    error = (rendered.clamp(0, 1) - target).square().mean().item()
    return -10 * math.log10(max(error, 1e-10))
