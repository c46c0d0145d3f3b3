"""Held-out images: never learnt from, to tell how good views are from where no image was taken."""
import math

import numpy as np
import torch

from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.field.render import look

EVERY = 16  # images of which one is held out
MOST = 8  # images; more, and every second one goes, and they become twice as rare
PIXELS = 512  # of an image, drawn once


class HeldOut:
    """A few pixels of a few images, spread over the whole session."""

    def __init__(self):
        self.random = np.random.default_rng(0)
        self.every, self.images = EVERY, 0
        self.T_world_camera = np.empty((0, 4, 4))
        self.numbers = []  # of the images, among keyframes and scans
        self.rays = []  # of each image

    def takes(self, image, camera, T_world_camera, number):
        """Hold out an image that would be kept, under a number, or do not, and tell."""
        self.images += 1
        if self.images % self.every != EVERY // 2:
            return False
        pixels = self.random.integers(0, camera.width * camera.height, PIXELS)
        directions = camera.directions()[pixels] @ T_world_camera[:3, :3].T.astype(np.float32)
        origins = np.tile(T_world_camera[:3, 3].astype(np.float32), (PIXELS, 1))
        self.T_world_camera = np.concatenate([self.T_world_camera, T_world_camera[None]])
        self.numbers.append(number)
        self.rays.append(Rays(
            torch.from_numpy(origins), torch.from_numpy(directions), torch.zeros(PIXELS),
            torch.from_numpy(image.reshape(-1, 3)[pixels].astype(np.int16))))
        if len(self.rays) > MOST:
            self.rays, self.numbers = self.rays[::2], self.numbers[::2]
            self.T_world_camera = self.T_world_camera[::2]
            self.every *= 2
        return True

    def correct(self, corrections):
        """Move images by {number: T_new_old (4, 4)}."""
        for k, number in enumerate(self.numbers):
            if number in corrections:
                self.rays[k] = self.rays[k].moved(corrections[number])
                self.T_world_camera[k] = corrections[number] @ self.T_world_camera[k]

    def psnr(self, mapper):
        """Return the PSNR [dB] of what a Mapper shows of these images; nan without any."""
        if not self.rays:
            return math.nan
        rays = Rays(*(torch.cat(parts) for parts in zip(*(vars(r).values() for r in self.rays))))
        colors, _, _ = look(
            mapper.field, rays, mapper.occupancy, mapper.config.sampling, mapper.engine,
            mapper.schedule.stride)
        error = (colors.cpu().clamp(0, 1) - rays.pixels / 255).square().mean().item()
        return -10 * math.log10(max(error, 1e-10))
