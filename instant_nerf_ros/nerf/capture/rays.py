"""Rays: pixels sampled from the keyframes, as lines in the world."""
from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture import error_map
from instant_nerf_ros.nerf.capture.alpha import keyframe_alpha, sampled_alphas, unmasked
from instant_nerf_ros.nerf.constants import MILLIMETRE, MIN_COSINE

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.capture.keyframes import Keyframes

NO_COLOR = -1  # pixel of a ray of a range sensor
ALL = slice(None)


@dataclasses.dataclass(frozen=True)
class Rays:
    """R rays and what was measured along them."""

    origins: Tensor  # (R, 3) metres, world
    directions: Tensor  # (R, 3) unit, world
    surfaces: Tensor  # (R,) metres along the ray to the measured surface; 0 = not measured
    pixels: Tensor  # (R, 3) RGB, exposure equalized between keyframes; or NO_COLOR, int16

    def __len__(self) -> int:
        """Return the number of rays."""
        return len(self.origins)

    def to(self, device: str) -> Rays:
        """Return the rays on a device."""
        return Rays(*(_to_device(values, device) for values in self.tensors()))

    def where(self, condition: Tensor) -> Rays:
        """Return the rays where a condition (R,) holds, or those of indices (N,)."""
        return Rays(*(values[condition] for values in self.tensors()))

    def transformed(self, T_new_old: NDArray[np.float64]) -> Rays:
        """Return the rays after a rigid motion T_new_old (4, 4)."""
        T = torch.as_tensor(T_new_old, dtype=self.origins.dtype)
        rotation, translation = T[:3, :3], T[:3, 3]
        return dataclasses.replace(
            self, origins=self.origins @ rotation.T + translation,
            directions=self.directions @ rotation.T)

    def concatenated(self, others: Rays) -> Rays:
        """Return these rays followed by others, on the device of these."""
        others = others.to(str(self.origins.device))
        return Rays(*map(torch.cat, zip(self.tensors(), others.tensors())))

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return origins, directions, surfaces, pixels."""
        return self.origins, self.directions, self.surfaces, self.pixels


def _to_device(values: Tensor, device: str) -> Tensor:
    if torch.device(device).type == 'cuda' and values.device.type == 'cpu':
        # A copy from pageable memory would make the host wait.
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


@dataclasses.dataclass(frozen=True)
class RaySources:
    """The pixels that R sampled rays come from; NumPy on a processor, tensors on a GPU."""

    keyframes: NDArray[np.int64] | Tensor  # (R,) index of the keyframe
    tiles: NDArray[np.int64] | Tensor  # (R,) of its error map
    pixels: NDArray[np.uint8] | Tensor  # (R, 3) RGB as recorded
    alphas: NDArray[np.uint8] | Tensor | None = None  # (R,), 255 = opaque; None: all opaque
    # (R,) whether a mask covers the pixel: ray, pixels and alpha are of another; None: nowhere
    masked: NDArray[np.bool_] | Tensor | None = None

    def __len__(self) -> int:
        """Return the number of rays."""
        return len(self.keyframes)


def sample_rays(
    keyframes: Keyframes, count: int, generator: np.random.Generator, error_share: float,
) -> tuple[Rays, RaySources]:  # fmt: skip
    """Sample count rays from the keyframes, and count them there.

    error_share of the rays are sampled by the error map, the others uniformly.
    """
    chosen = generator.choice(len(keyframes), count, p=keyframes.sampling_weights())
    keyframes.count_rays(np.bincount(chosen, minlength=len(keyframes)))
    widths, heights = keyframes.widths[chosen], keyframes.heights[chosen]
    pixel = (generator.random(count) * keyframes.pixels[chosen]).astype(np.int64)
    by_error = int(error_share * count)  # the first ones: the order of the keyframes is random
    tiles = keyframes.error_map.sample_tiles(chosen[:by_error], generator)
    pixel[:by_error] = error_map.pixel_in(
        tiles, widths[:by_error], heights[:by_error], generator)
    tiles = error_map.tile_of(pixel, widths, heights)
    rays, colors = _pixel_rays(keyframes, chosen, pixel)
    return rays, RaySources(chosen, tiles, colors, sampled_alphas(keyframes, chosen, pixel))


def keyframe_rays(
    keyframes: Keyframes, k: int, count: int, generator: np.random.Generator,
) -> Rays:  # fmt: skip
    """Return the rays of up to count pixels of keyframe k that are not masked, spread evenly."""
    if (alpha := keyframe_alpha(keyframes, k)) is None:
        return pixel_rays(keyframes, k, _spread(int(keyframes.pixels[k]), count, generator))
    pixel = unmasked(alpha)
    return pixel_rays(keyframes, k, pixel[_spread(len(pixel), count, generator)])


def pixel_rays(keyframes: Keyframes, k: int, pixel: NDArray[np.int64]) -> Rays:
    """Return the rays of pixels (R,), row-major, of keyframe k."""
    return _pixel_rays(keyframes, np.full(len(pixel), k), pixel)[0]


def image_rays(
    image: NDArray[np.uint8], camera: Camera, T_world_camera: NDArray[np.float64],
    depth: NDArray[np.floating], pixel: NDArray[np.int64],
) -> Rays:  # fmt: skip
    """Return the rays of pixels (R,), row-major, of a posed image that is not a keyframe.

    See Mapper.add for the other arguments; the pixels of the rays are as recorded.
    """
    directions = ray_directions(camera, 'cpu')[pixel].numpy()
    depths = np.nan_to_num(depth.reshape(-1)[pixel], posinf=0).clip(min=0)
    pose = T_world_camera.astype(np.float32)
    return Rays(
        torch.from_numpy(np.tile(pose[:3, 3], (len(pixel), 1))),
        torch.from_numpy(directions @ pose[:3, :3].T),
        torch.from_numpy(surface_distances(depths, directions)),
        torch.from_numpy(image.reshape(-1, 3)[pixel]))


def _spread(pixels: int, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return up to count indices of so many pixels, spread evenly over the rows."""
    count = min(count, pixels)
    pixel = (np.arange(count) + generator.random(count)) * (pixels / count)
    return pixel.astype(np.int64).clip(max=pixels - 1)


def surface_distances(
    depths: NDArray[np.floating], directions: NDArray[np.float32],
) -> NDArray[np.float32]:  # fmt: skip
    """Return the distances (R,) along rays with directions (R, 3) in the camera frame.

    A depth is measured along the optical axis, so it is unreliable beside the camera. Behind it,
    where only a fisheye lens has rays, the depth is the distance along the ray.
    """
    cosines = directions[:, 2]
    beside = np.where(cosines > 0, 0, depths)
    return np.where(
        cosines > MIN_COSINE, depths / np.maximum(cosines, MIN_COSINE), beside).astype(np.float32)


def _pixel_rays(
    keyframes: Keyframes, chosen: NDArray[np.int64], pixel: NDArray[np.int64],
) -> tuple[Rays, NDArray[np.uint8]]:  # fmt: skip
    """Return the Rays of pixels (R,) of the chosen keyframes (R,), and their recorded colors."""
    directions = keyframes.directions[keyframes.first_direction[chosen] + pixel]
    pixel = pixel + keyframes.first[chosen]
    surfaces = surface_distances(keyframes.depths[pixel] * np.float32(MILLIMETRE), directions)
    poses = keyframes.T_world_camera[chosen].astype(np.float32)
    colors = keyframes.colors[pixel]
    return Rays(
        torch.from_numpy(poses[:, :3, 3].copy()),
        torch.from_numpy(np.einsum('nij,nj->ni', poses[:, :3, :3], directions)),
        torch.from_numpy(surfaces),
        torch.from_numpy(keyframes.exposure.apply(chosen, colors)),
    ), colors


def camera_rays(
    camera: Camera, T_world_camera: NDArray[np.float64], device: str, rows: slice = ALL,
) -> Rays:  # fmt: skip
    """Return the rays of all pixels of a camera, or of a slice of its rows, row-major."""
    pose = _to_device(torch.from_numpy(T_world_camera.astype(np.float32)), device)
    directions = ray_directions(camera, device, rows) @ pose[:3, :3].T
    count = len(directions)
    return Rays(
        pose[:3, 3].expand(count, 3).contiguous(),
        directions,
        directions.new_zeros(count),
        torch.zeros(count, 3, dtype=torch.uint8, device=device),
    )


def ray_directions(camera: Camera, device: str, rows: slice = ALL) -> Tensor:
    """Return Camera.directions, of a slice of its rows, as a tensor on a device."""
    first, last, _ = rows.indices(camera.height)
    return _all_directions(camera, device)[first * camera.width : last * camera.width]


@functools.lru_cache(maxsize=4)
def _all_directions(camera: Camera, device: str) -> Tensor:
    return torch.tensor(camera.directions(), device=device)
