"""Masks: pictures of what is not to be used of an image, such as people or the robot itself.

Black is masked, as in COLMAP and nerfstudio. In instant-ngp's dynamic_mask_NAME.png, it is what is
not black.
"""
import dataclasses
import warnings
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.images import STORED, decode
from instant_nerf_ros.data.layouts import Entry
from instant_nerf_ros.nerf.constants import MASKED_ALPHA, OPAQUE_ALPHA

FOLDER = 'masks'
LEVELS = 3  # above an image, at which that folder is searched
DYNAMIC = 'dynamic_mask_'
LOSSY, LOSSY_BLACK = ('.jpg', '.jpeg', '.webp'), 127  # these files have no exact black


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels (H, W) of an image of a size (W, H) are masked.

    A mask of another resolution is resampled to the nearest pixel. Raises FileNotFoundError or
    ValueError, with the path.
    """
    stored = decode(path, STORED)
    values = stored if stored.ndim == 2 else stored[..., :3].max(axis=2)
    white = values > (LOSSY_BLACK if path.suffix.lower() in LOSSY else 0)
    masked = white if path.name.startswith(DYNAMIC) else ~white
    height, width = masked.shape
    if abs(height - size[1] * width / size[0]) >= 1:
        raise ValueError(
            f'{path} is {width} x {height}, and its image {size[0]} x {size[1]}: a mask must have '
            'the shape of its image')
    if masked.all():
        raise ValueError(f'{path} is black everywhere, so nothing of its image is used')
    resized = cv2.resize(masked.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, dtype=bool)


def masked_alpha(
    alpha: NDArray[np.uint8] | None, masked: NDArray[np.bool_] | None,
) -> NDArray[np.uint8] | None:  # fmt: skip
    """Return alpha (H, W) of a file, None if it is opaque, with masked pixels (H, W), if any."""
    if alpha is not None:
        alpha = np.where(alpha == MASKED_ALPHA, np.uint8(0), alpha)  # that value means masked
    if masked is None or not masked.any():
        return alpha
    opaque = np.full(masked.shape, OPAQUE_ALPHA, np.uint8)
    return np.where(masked, np.uint8(MASKED_ALPHA), opaque if alpha is None else alpha)


def find_mask(image: Path) -> Path | None:
    """Return the mask of an image: in masks/ beside or above it, or beside it as of instant-ngp.

    The mask of images/a/b.jpg is masks/a/b.jpg.png (COLMAP), masks/a/b.png or masks/a/b.jpg.
    """
    dynamic = image.with_name(f'{DYNAMIC}{image.stem}.png')
    if dynamic.is_file():
        return dynamic
    for parent in list(image.parents)[:LEVELS]:
        if (parent / FOLDER).is_dir():
            parts = image.relative_to(parent).parts
            for name in (Path(*parts), Path(*parts[1:])) if len(parts) > 1 else (Path(*parts),):
                for mask in (f'{name}.png', name.with_suffix('.png'), name):
                    if (parent / FOLDER / mask).is_file():
                        return parent / FOLDER / mask
    return None


def with_masks(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries with the masks that are found; a warning counts images without one."""
    found = [
        entry if entry.mask_path else
        dataclasses.replace(entry, mask_path=find_mask(entry.image_path)) for entry in entries]
    without = [entry.image_path.name for entry in found if not entry.mask_path]
    if without and len(without) < len(found):
        warnings.warn(
            f'{len(without)} of {len(found)} images have no mask, all of their pixels are used: '
            f'{without[0]}, ...', stacklevel=2)
    return found
