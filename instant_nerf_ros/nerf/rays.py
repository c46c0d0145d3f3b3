"""Rays: pixels drawn from keyframes, as lines in the world."""
import dataclasses

import numpy as np
import torch

from instant_nerf_ros.nerf.keyframes import MILLIMETRE

LEAST_COSINE = 0.05  # between a ray with depth and the optical axis


@dataclasses.dataclass(frozen=True)
class Rays:
    """Rays and what was measured along them. R rays."""

    origins: torch.Tensor  # (R, 3) metres, world
    directions: torch.Tensor  # (R, 3) unit, world
    surfaces: torch.Tensor  # (R,) metres along the ray to the measured surface; 0 = not measured
    pixels: torch.Tensor  # (R, 3) uint8 RGB

    def __len__(self):
        """Return the number of rays."""
        return len(self.origins)

    def first(self, count):
        """Return the first rays."""
        return Rays(*(values[:count] for values in vars(self).values()))


def draw(keyframes, count, generator):
    """Draw count rays from keyframes (numpy Generator), and count them there."""
    chosen = generator.choice(len(keyframes), count, p=keyframes.draw_weights())
    keyframes.draws += np.bincount(chosen, minlength=len(keyframes))
    pixel = (generator.random(count) * keyframes.pixels[chosen]).astype(np.int64)
    directions = keyframes.directions[keyframes.first_direction[chosen] + pixel]
    pixel += keyframes.first[chosen]
    # Depth is along the optical axis, the ray is longer; beside the camera it says nothing.
    cosines = directions[:, 2]
    depths = keyframes.depths[pixel] * np.float32(MILLIMETRE)
    surfaces = np.where(cosines > LEAST_COSINE, depths / np.maximum(cosines, LEAST_COSINE), 0)
    poses = keyframes.T_world_camera[chosen].astype(np.float32)
    return Rays(
        torch.from_numpy(poses[:, :3, 3].copy()),
        torch.from_numpy(np.einsum('nij,nj->ni', poses[:, :3, :3], directions)),
        torch.from_numpy(surfaces.astype(np.float32)),
        torch.from_numpy(keyframes.colors[pixel]),
    )


def of_camera(camera, T_world_camera):
    """Return the rays of all pixels of a camera, row-major, without measurements."""
    directions = camera.directions() @ T_world_camera[:3, :3].T.astype(np.float32)
    count = len(directions)
    origins = np.broadcast_to(T_world_camera[:3, 3].astype(np.float32), (count, 3))
    return Rays(
        torch.from_numpy(origins.copy()),
        torch.from_numpy(directions),
        torch.zeros(count),
        torch.zeros(count, 3, dtype=torch.uint8),
    )
