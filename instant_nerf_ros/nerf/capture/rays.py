"""Rays: pixels drawn from keyframes, as lines in the world."""
import dataclasses
import functools

import numpy as np
import torch

from instant_nerf_ros.nerf.capture import error_map
from instant_nerf_ros.nerf.capture.keyframes import MILLIMETRE

NO_COLOR = -1  # of the pixels of a ray along which only a range was measured
ALL = slice(None)
LEAST_COSINE = 0.05  # between a ray with depth and the optical axis


@dataclasses.dataclass(frozen=True)
class Rays:
    """Rays and what was measured along them. R rays."""

    origins: torch.Tensor  # (R, 3) metres, world
    directions: torch.Tensor  # (R, 3) unit, world
    surfaces: torch.Tensor  # (R,) metres along the ray to the measured surface; 0 = not measured
    pixels: torch.Tensor  # (R, 3) RGB, as if all keyframes were exposed alike; or NO_COLOR, int16

    def __len__(self):
        """Return the number of rays."""
        return len(self.origins)

    def to(self, device):
        """Return the rays on a device."""
        return Rays(*(_sent(values, device) for values in vars(self).values()))

    def where(self, condition):
        """Return the rays where a condition (R,) holds."""
        return Rays(*(values[condition] for values in vars(self).values()))

    def moved(self, T_new_old):
        """Return the rays, moved by T_new_old (4, 4)."""
        T_new_old = torch.as_tensor(T_new_old, dtype=self.origins.dtype)
        rotation, translation = T_new_old[:3, :3], T_new_old[:3, 3]
        return dataclasses.replace(
            self, origins=self.origins @ rotation.T + translation,
            directions=self.directions @ rotation.T)

    def followed_by(self, others):
        """Return these and then other rays, where these are."""
        others = others.to(self.origins.device)
        return Rays(*map(torch.cat, zip(vars(self).values(), vars(others).values())))


def _sent(values, device):
    if torch.device(device).type == 'cuda' and values.device.type == 'cpu':
        # The host goes on before they are there; from other memory it would wait.
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Where R rays come from."""

    keyframes: np.ndarray  # (R,) int64, index of the keyframe
    tiles: np.ndarray  # (R,) int64, of its error map
    pixels: np.ndarray  # (R, 3) uint8 RGB as recorded; those of the rays are corrected


def draw(keyframes, count, generator, error_share):
    """Draw count rays from keyframes (numpy Generator), count them there, and return Rays, Drawn.

    error_share of the rays go where the error map says that the field is wrong.
    """
    chosen = generator.choice(len(keyframes), count, p=keyframes.draw_weights())
    keyframes.draws += np.bincount(chosen, minlength=len(keyframes))
    widths, heights = keyframes.widths[chosen], keyframes.heights[chosen]
    pixel = (generator.random(count) * keyframes.pixels[chosen]).astype(np.int64)
    by_error = int(error_share * count)  # the first ones: the order of the keyframes is random
    tiles = keyframes.error_map.draw(chosen[:by_error], generator)
    pixel[:by_error] = error_map.pixel_in(
        tiles, widths[:by_error], heights[:by_error], generator)
    tiles = error_map.tile_of(pixel, widths, heights)
    seen, colors = _of_pixels(keyframes, chosen, pixel)
    return seen, Drawn(chosen, tiles, colors)


def of_keyframe(keyframes, k, count, generator):
    """Return the rays of up to count pixels of a keyframe, evenly spread over its rows."""
    pixel = _spread(int(keyframes.pixels[k]), count, generator)
    return _of_pixels(keyframes, np.full(len(pixel), k), pixel)[0]


def of_image(image, camera, T_world_camera, depth, count, generator):
    """Return the rays of up to count pixels of a posed image that is no keyframe.

    See Mapper.add for the arguments; the pixels of the rays are as recorded.
    """
    pixel = _spread(camera.width * camera.height, count, generator)
    directions = directions_of(camera, 'cpu')[pixel].numpy()
    depths = np.nan_to_num(depth.reshape(-1)[pixel], posinf=0).clip(min=0)
    pose = T_world_camera.astype(np.float32)
    return Rays(
        torch.from_numpy(np.tile(pose[:3, 3], (len(pixel), 1))),
        torch.from_numpy(directions @ pose[:3, :3].T),
        torch.from_numpy(_surfaces(depths, directions)),
        torch.from_numpy(image.reshape(-1, 3)[pixel]))


def _spread(pixels, count, generator):
    """Return up to count of so many pixels, evenly spread over the rows."""
    count = min(count, pixels)
    pixel = (np.arange(count) + generator.random(count)) * (pixels / count)
    return pixel.astype(np.int64).clip(max=pixels - 1)


def _surfaces(depths, directions):
    """Return the distances (R,) float32 along rays, in directions (R, 3) of the camera, to depths.

    Depth is along the optical axis, the ray is longer; beside the camera it says nothing.
    """
    cosines = directions[:, 2]
    return np.where(
        cosines > LEAST_COSINE, depths / np.maximum(cosines, LEAST_COSINE), 0).astype(np.float32)


def _of_pixels(keyframes, chosen, pixel):
    """Return the Rays of pixels (R,) of the chosen keyframes (R,), and their recorded colours."""
    directions = keyframes.directions[keyframes.first_direction[chosen] + pixel]
    pixel = pixel + keyframes.first[chosen]
    surfaces = _surfaces(keyframes.depths[pixel] * np.float32(MILLIMETRE), directions)
    poses = keyframes.T_world_camera[chosen].astype(np.float32)
    colors = keyframes.colors[pixel]
    return Rays(
        torch.from_numpy(poses[:, :3, 3].copy()),
        torch.from_numpy(np.einsum('nij,nj->ni', poses[:, :3, :3], directions)),
        torch.from_numpy(surfaces),
        torch.from_numpy(keyframes.exposure.correct(chosen, colors)),
    ), colors


def of_camera(camera, T_world_camera, device, rows=ALL):
    """Return the rays of all pixels, or of a slice of the rows, of a camera, row-major."""
    pose = _sent(torch.from_numpy(T_world_camera.astype(np.float32)), device)
    directions = directions_of(camera, device, rows) @ pose[:3, :3].T
    count = len(directions)
    return Rays(
        pose[:3, 3].expand(count, 3).contiguous(),
        directions,
        directions.new_zeros(count),
        torch.zeros(count, 3, dtype=torch.uint8, device=device),
    )


def directions_of(camera, device, rows=ALL):
    """Return Camera.directions, of a slice of its rows, as a tensor on a device."""
    first, last, _ = rows.indices(camera.height)
    return _all_directions_of(camera, device)[first * camera.width : last * camera.width]


@functools.lru_cache(maxsize=4)
def _all_directions_of(camera, device):
    return torch.tensor(camera.directions(), device=device)
