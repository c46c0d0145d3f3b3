"""Batches: the rays of a training step, of keyframes, of range sensors and of pseudo depth."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from instant_nerf_ros.nerf.capture.alpha import over_background, without_masked
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.ranges import Ranges
from instant_nerf_ros.nerf.capture.rays import Rays, RaySources

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

RANGE_EVERY = 2  # rays, of which one is of a range sensor: they take few samples
PSEUDO_DEPTH_EVERY = 3  # other rays, of which one has pseudo depth: more would blur the colors
PSEUDO_DEPTH_RAYS = 1000  # of a keyframe; with fewer, fewer are sampled: they may be outliers
# Rays of a keyframe after which its pseudo depth is not used any more: it finds the surface where
# colors alone would not, but less exactly than colors do then.
PSEUDO_DEPTH_UNTIL = 8000


def sample_batch(
    keyframes: Keyframes, ranges: Ranges, pseudo_depth: Ranges, backend: Backend, count: int,
    generator: np.random.Generator, error_share: float,
) -> tuple[Rays, RaySources]:  # fmt: skip
    """Return count Rays: of keyframes, then of ranges and pseudo depth; the sources of the first.

    Raises RuntimeError if there are no keyframes.
    """
    if not len(keyframes):
        raise RuntimeError('there is no keyframe yet: add an image first')
    others = []
    if len(ranges):
        others.append(ranges.sample(count // RANGE_EVERY, generator))
        count -= len(others[-1])
    if len(pseudo_depth):
        share = min(len(pseudo_depth) / (PSEUDO_DEPTH_RAYS * len(keyframes)), 1.0)
        others.append(pseudo_depth.sample(
            int(count * share / PSEUDO_DEPTH_EVERY), generator,
            keyframes.ids[keyframes.ray_counts < PSEUDO_DEPTH_UNTIL]))
        count -= len(others[-1])
    batch, sources = without_masked(
        *backend.sample_rays(keyframes, count, generator, error_share))
    for measured in others:
        batch = batch.concatenated(measured)
    return batch, sources


def update_error_map(
    keyframes: Keyframes, backend: Backend, sources: RaySources, rays: Rays, colors: Tensor,
    opacities: Tensor,
) -> None:  # fmt: skip
    """Update the error map of the keyframes with the rendered rays of a batch.

    See Keyframes.update_error_map for colors and opacities; only rays of sources are used.
    A masked pixel has no error, so that no more rays go there.
    """
    if sources.alphas is not None:
        rays = over_background(rays, sources, torch.zeros_like(colors))
    count = len(sources)
    pixels, colors, opacities = rays.pixels[:count], colors[:count], opacities[:count]
    if sources.masked is not None:
        masked = torch.as_tensor(sources.masked)
        colors = torch.where(masked[:, None], pixels / 255, colors)
        opacities = torch.where(masked, 0.0, opacities)
    backend.update_error_map(keyframes, sources, pixels, colors, opacities)
