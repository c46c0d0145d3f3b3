"""Alpha: images that are transparent where the background begins, and masked pixels.

The pixels of keyframe k with alpha are ``keyframes.alphas[first[k] + p]``, see Keyframes. A pixel
that a mask covers has MASKED_ALPHA there: nothing is known of what it shows, so it is not used.
"""
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instant_nerf_ros.nerf.arrays import Alpha, Image
from instant_nerf_ros.nerf.constants import MASKED_ALPHA, OPAQUE_ALPHA

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.capture.keyframes import Keyframes
    from instant_nerf_ros.nerf.capture.rays import Rays, RaySources


def keyframe_alpha(keyframes: Keyframes, k: int) -> Alpha | None:
    """Return the alpha (H, W) of keyframe k, None if it is opaque everywhere."""
    if not keyframes.with_alpha[k]:
        return None
    place = slice(keyframes.first[k], keyframes.first[k] + keyframes.pixels[k])
    return keyframes.alphas[place].reshape(keyframes.heights[k], keyframes.widths[k])


def sampled_alphas(
    keyframes: Keyframes, chosen: NDArray[np.integer], pixel: NDArray[np.integer],
) -> NDArray[np.uint8] | None:  # fmt: skip
    """Return the alphas (R,) of pixels (R,) of chosen keyframes (R,), None if all are opaque."""
    if not keyframes.with_alpha.any():
        return None
    alphas = keyframes.alphas[keyframes.first[chosen] + pixel]
    return np.where(keyframes.with_alpha[chosen], alphas, np.uint8(OPAQUE_ALPHA))


def unmasked(alpha: Alpha) -> NDArray[np.int64]:
    """Return the pixels (N,), row-major, that no mask covers."""
    return np.flatnonzero(alpha != MASKED_ALPHA)


def is_transparent(alpha: Alpha | None) -> bool:
    """Return whether an image with this alpha is transparent somewhere, not only masked."""
    return alpha is not None and bool(((alpha < OPAQUE_ALPHA) & (alpha != MASKED_ALPHA)).any())


def without_masked(rays: Rays, sources: RaySources) -> tuple[Rays, RaySources]:
    """Return rays in which others of the batch are in place of those of masked pixels."""
    if sources.alphas is None:
        return rays, sources
    return without(rays, sources, torch.as_tensor(sources.alphas) == MASKED_ALPHA)


def without(rays: Rays, sources: RaySources, masked: Tensor) -> tuple[Rays, RaySources]:
    """Return rays in which others of the batch are in place of masked ones (R,).

    Each is followed by the ray before it, so that the remaining pixels are as frequent among each
    other as before, and a GPU needs no number that the host would have to wait for.
    """
    if masked.device.type == 'cpu' and not masked.any():
        return rays, sources
    place = torch.arange(len(masked), device=masked.device)
    index = torch.where(masked, -1, place).cummax(0).values
    index = torch.where(index < 0, index[-1], index)  # the first ones have none before them
    if sources.masked is not None:
        masked = masked | torch.as_tensor(sources.masked)
    numpy = isinstance(sources.pixels, np.ndarray)
    chosen = index.numpy() if numpy else index
    return rays.where(index), dataclasses.replace(
        sources, pixels=sources.pixels[chosen],
        alphas=None if sources.alphas is None else sources.alphas[chosen],
        masked=masked.numpy() if numpy else masked)


def blank(image: Image, alpha: Alpha | None) -> Image:
    """Return an image (H, W, 3) with gray in place of masked pixels: there are no features."""
    if alpha is None:
        return image
    return np.where((alpha == MASKED_ALPHA)[..., None], np.uint8(128), image)


def over_black(image: Image, alpha: Alpha | None) -> Image:
    """Return an image (H, W, 3) with alpha (H, W) composited over black, as views are rendered."""
    if alpha is None:
        return image
    return (image * (alpha[..., None] / OPAQUE_ALPHA) + 0.5).astype(np.uint8)


def over_background(rays: Rays, sources: RaySources, background: Tensor) -> Rays:
    """Return rays whose transparent pixels are composited over a background (R, 3) in [0, 1].

    The rendered color is composited over the same one. With one that is random for each ray, only
    a ray of the opacity of its pixel has no error (as in instant-ngp).
    """
    if sources.alphas is None:
        return rays
    count = len(sources)
    alphas = torch.as_tensor(sources.alphas)[:, None] / OPAQUE_ALPHA
    pixels = rays.pixels.float()
    pixels[:count] = alphas * pixels[:count] + (1 - alphas) * 255 * background[:count]
    return dataclasses.replace(rays, pixels=pixels)
