"""Samples: intervals along rays, flat, in the voxels that may be solid."""
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.capture.rays import Rays
    from instant_nerf_ros.nerf.config import SamplingConfig
    from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid


class March(Protocol):
    """Places samples on rays: backends.reference.marching.march, or an equivalent kernel."""

    def __call__(
        self, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, limits: Tensor,
        jitter: Tensor, surfaces: Tensor, density_state: Tensor, grid_origin: Tensor,
        voxel_size: float, min_step: float, cone: float, band: float, band_samples: int,
        visited_only: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return offsets (R + 1,) int64, t_starts (N,) and t_ends (N,) float32 [m]."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """N samples of R rays, sorted by ray and distance."""

    offsets: Tensor  # (R + 1,) int64: ray r owns samples offsets[r]:offsets[r + 1]
    ray_indices: Tensor  # (N,) int64
    t_starts: Tensor  # (N,) metres along the ray
    t_ends: Tensor  # (N,)
    positions: Tensor  # (N, 3) metres, world: the middles

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.t_starts)


def sample(
    rays: Rays, occupancy: OccupancyGrid, config: SamplingConfig, march: March, jitter: Tensor,
    stride: float, limits: Tensor, visited_only: bool,
) -> Samples:  # fmt: skip
    """Place samples on R rays in the voxels that may be solid.

    jitter (R,) in [0, 1) shifts them by a share of a step; stride multiplies the steps; limits
    (R,) int32 bounds the number of samples of a ray, from the front; visited_only skips voxels in
    which the field was never evaluated.
    """
    near, far = occupancy.clip(rays, config.near, config.far)
    offsets, t_starts, t_ends = march(
        rays.origins, rays.directions, near, far, limits, jitter, rays.surfaces,
        occupancy.density_state, occupancy.origin, occupancy.voxel_size,
        stride * config.min_step, stride * config.cone,
        config.surface_band, config.surface_samples, visited_only,
    )  # fmt: skip
    return place(rays, offsets, t_starts, t_ends)


def place(rays: Rays, offsets: Tensor, t_starts: Tensor, t_ends: Tensor) -> Samples:
    """Return the Samples at intervals t_starts to t_ends (N,) [m]; see Samples for offsets."""
    counts = offsets.diff()
    ray_indices = torch.repeat_interleave(
        torch.arange(len(counts), device=counts.device), counts, output_size=len(t_starts))
    middles = ((t_starts + t_ends) / 2)[:, None]
    positions = torch.addcmul(
        rays.origins[ray_indices], middles, rays.directions[ray_indices])
    return Samples(offsets, ray_indices, t_starts, t_ends, positions)
