"""How the CPU backend samples rays from the keyframes, into arrays that are allocated once."""
import numpy as np
import torch
from torch import Tensor

from instant_nerf_ros.nerf.backends.cpu.kernels import ray_sampling
from instant_nerf_ros.nerf.backends.cpu.kernels.ray_sampling import (
    RANDOM_NUMBERS,
    SampledRays,
    Store,
)
from instant_nerf_ros.nerf.capture.alpha import sampled_alphas
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.rays import Rays, RaySources
from instant_nerf_ros.nerf.constants import TILES


class RayBuffers:
    """Arrays for the rays of two batches, as a step still uses one when the next is sampled."""

    def __init__(self, keyframes: Keyframes) -> None:
        self._rays = self._keyframes = 0  # capacity
        self._turn = 0

    def reserve(self, rays: int, keyframes: int) -> None:
        """Allocate larger arrays if these do not suffice."""
        if rays > self._rays:
            self._rays = 2 * rays
            self.random = np.empty(self._rays * RANDOM_NUMBERS)
            self._batches = [_make_rays(self._rays) for _ in range(2)]
        if keyframes > self._keyframes:
            self._keyframes = 2 * keyframes
            self.weights = np.empty(self._keyframes)
            self.sums = np.zeros((self._keyframes, TILES), dtype=np.float32)
            self.counts = np.zeros((self._keyframes, TILES), dtype=np.int32)

    def next_batch(self, rays: int) -> SampledRays:
        """Return arrays for so many rays, not those of the call before."""
        self._turn = 1 - self._turn
        return SampledRays(*(values[:rays] for values in self._batches[self._turn]))


def sample_rays(
    keyframes: Keyframes, count: int, generator: np.random.Generator, error_share: float,
) -> tuple[Rays, RaySources]:  # fmt: skip
    """See rays.sample_rays. The result is overwritten by the call after the next one."""
    buffers = keyframes.backend_state(RayBuffers)
    buffers.reserve(count, len(keyframes))
    batch = buffers.next_batch(count)
    random = buffers.random[: count * RANDOM_NUMBERS]
    generator.random(out=random)
    ray_sampling.sample_rays(
        _arrays(keyframes), random.reshape(count, RANDOM_NUMBERS), int(error_share * count),
        buffers.weights[: len(keyframes)], batch)
    rays = Rays(*map(torch.from_numpy, (
        batch.origins, batch.directions, batch.surfaces, batch.pixels)))
    return rays, RaySources(
        batch.keyframes, batch.tiles, batch.recorded,
        sampled_alphas(keyframes, batch.keyframes, batch.rows))


def update_error_map(
    keyframes: Keyframes, sources: RaySources, pixels: Tensor, colors: Tensor, opacities: Tensor,
) -> None:  # fmt: skip
    """See Keyframes.update_error_map."""
    buffers, errors = keyframes.backend_state(RayBuffers), keyframes.error_map.errors
    buffers.reserve(0, len(errors))
    ray_sampling.update_error_map(
        sources.keyframes, sources.tiles, pixels.numpy(), colors.numpy(), errors, buffers.sums,
        buffers.counts)
    if keyframes.config.adapt_exposure != 'never':
        keyframes.update_exposure(
            np.asarray(sources.keyframes), np.asarray(sources.pixels), colors.numpy(),
            opacities.numpy())


def _arrays(keyframes: Keyframes) -> Store:
    return Store(
        keyframes.colors, keyframes.depths, keyframes.directions, keyframes.T_world_camera,
        keyframes.first, keyframes.first_direction, keyframes.widths, keyframes.heights,
        keyframes.exposure.gains, keyframes.exposure.offsets, keyframes.error_map.errors,
        keyframes.ray_counts)


def _make_rays(count: int) -> SampledRays:
    vectors = [np.empty((count, 3), dtype=np.float32) for _ in range(2)]
    places = [np.empty(count, dtype=np.int64) for _ in range(3)]
    pixels = [np.empty((count, 3), dtype=np.uint8) for _ in range(2)]
    arrays = *vectors, np.empty(count, dtype=np.float32), pixels[0], *places, pixels[1]
    return SampledRays(*arrays)
