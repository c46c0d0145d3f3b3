"""The copy of the keyframes on the GPU, and how rays are sampled from it.

Images are copied to the GPU as they come, within the budget; the others are in pinned memory of
the host, which the kernel reads over the bus: five bytes a ray. The error map is on the GPU.
"""
from __future__ import annotations

import contextlib

import numpy as np
import torch
import triton
from numpy.typing import NDArray
from torch import Tensor

from instant_nerf_ros.nerf.backends.cuda.device import DEVICE, upload
from instant_nerf_ros.nerf.backends.cuda.kernels import ray_sampling
from instant_nerf_ros.nerf.capture.alpha import keyframe_alpha
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.rays import Rays, RaySources
from instant_nerf_ros.nerf.constants import TILES

RAYS = 128  # of a program
EXPOSURE_EVERY, EXPOSURE_RAYS = 8, 4096  # steps between updates of the exposure, and their rays


class DeviceKeyframes:
    """A copy of the keyframes for kernels."""

    def __init__(self, keyframes: Keyframes) -> None:
        self._budget = keyframes.config.gpu_budget_mb * 2**20  # bytes on the GPU
        self.images: dict[int, Tensor] = {}  # by the id of a keyframe
        self.errors = torch.empty(0, TILES, device=DEVICE)
        self._ids: list[int] = []
        self._revision = -1  # of the keyframes that are copied
        self._source_gains: NDArray[np.float32] | None = None  # of which the copy is
        self._source_directions: NDArray[np.float32] | None = None  # of which the copy is
        self.updates = 0

    def synchronize(self, keyframes: Keyframes) -> None:
        """Copy what has changed in the keyframes."""
        exposure = keyframes.exposure
        if exposure.gains is not self._source_gains:
            self._source_gains = exposure.gains
            self.gains, self.offsets = upload(exposure.gains), upload(exposure.offsets)
        if keyframes.revision == self._revision:
            return
        self._revision, ids = keyframes.revision, keyframes.ids.tolist()
        for removed in set(self.images) - set(ids):
            del self.images[removed]
        for k, keyframe in enumerate(ids):
            if keyframe not in self.images:
                self.images[keyframe] = self._copied(keyframes, k)
        old = {keyframe: k for k, keyframe in enumerate(self._ids)}
        places = [old.get(keyframe, len(old)) for keyframe in ids]
        # The errors of a new keyframe are unknown: all its tiles have the same.
        known = torch.cat([self.errors, torch.ones(1, TILES, device=DEVICE)])
        self.errors = known[upload(np.array(places))]
        self.sums = torch.zeros(*self.errors.shape, 2, device=DEVICE)
        self.shares = torch.empty_like(self.errors)
        self.update_shares()
        self._ids = ids
        if keyframes.directions is not self._source_directions:
            self._source_directions = keyframes.directions
            self.directions = upload(keyframes.directions)
        addresses = [self.images[keyframe].data_ptr() for keyframe in ids]
        self.arrays = (
            upload(np.array(addresses, dtype=np.int64)),
            upload(keyframes.widths.astype(np.int32)),
            upload(keyframes.heights.astype(np.int32)),
            upload(keyframes.first_direction.astype(np.int32)),
            upload(keyframes.with_alpha.astype(np.int32)),
            upload(keyframes.T_world_camera[:, :3].astype(np.float32)))

    def update_shares(self) -> None:
        """Add the accumulated errors of rays to the error map; the next rays follow it."""
        ray_sampling.update_error_map[(len(self.errors),)](self.sums, self.errors, self.shares)

    def _copied(self, keyframes: Keyframes, k: int) -> Tensor:
        _, image, depth = keyframes.image(k)
        planes = [depth.ravel().view(np.uint8), image.ravel()]
        if (alpha := keyframe_alpha(keyframes, k)) is not None:
            planes.append(alpha.ravel())
        stored = torch.from_numpy(np.concatenate(planes))
        used = sum(
            image.numel() for image in self.images.values() if image.device.type == DEVICE)
        if used + stored.numel() <= self._budget:
            with contextlib.suppress(torch.cuda.OutOfMemoryError):
                return stored.to(DEVICE)
        return stored.pin_memory() if DEVICE == 'cuda' else stored


def sample_rays(
    keyframes: Keyframes, count: int, generator: np.random.Generator, error_share: float,
) -> tuple[Rays, RaySources]:  # fmt: skip
    """See rays.sample_rays. Keyframes count the expected number of their rays."""
    copy = keyframes.backend_state(DeviceKeyframes)
    copy.synchronize(keyframes)
    weights = keyframes.sampling_weights()
    keyframes.count_rays(count * weights)
    origins, directions = torch.empty(2, count, 3, device=DEVICE)
    surfaces = torch.empty(count, device=DEVICE)
    pixels, recorded = torch.empty(2, count, 3, dtype=torch.uint8, device=DEVICE)
    alphas = torch.empty(count, dtype=torch.uint8, device=DEVICE)
    chosen, tiles = torch.empty(2, count, dtype=torch.int32, device=DEVICE)
    ray_sampling.sample_rays[(triton.cdiv(count, RAYS),)](
        int(generator.integers(2**31)), count, int(error_share * count), len(weights),
        len(weights).bit_length(), upload(weights.cumsum().astype(np.float32)), copy.shares,
        *copy.arrays, copy.gains, copy.offsets, copy.directions,
        origins, directions, surfaces, pixels, chosen, tiles, recorded, alphas, RAYS)
    sources = RaySources(
        chosen, tiles, recorded, alphas if keyframes.with_alpha.any() else None)
    return Rays(origins, directions, surfaces, pixels), sources


def update_error_map(
    keyframes: Keyframes, sources: RaySources, pixels: Tensor, colors: Tensor, opacities: Tensor,
) -> None:  # fmt: skip
    """See Keyframes.update_error_map."""
    copy = keyframes.backend_state(DeviceKeyframes)
    ray_sampling.accumulate_errors[(triton.cdiv(len(pixels), RAYS),)](
        colors, pixels, sources.keyframes, sources.tiles, len(pixels), copy.sums, RAYS)
    copy.update_shares()
    copy.updates += 1
    if keyframes.config.adapt_exposure != 'never' and copy.updates % EXPOSURE_EVERY == 0:
        # The host waits here: a few rays are enough, and not in every step.
        chosen, recorded, rendered, opacity = (
            torch.as_tensor(values)[:EXPOSURE_RAYS].cpu().numpy()
            for values in (sources.keyframes, sources.pixels, colors, opacities))
        keyframes.update_exposure(chosen, recorded, rendered, opacity)
