"""Samples: intervals along rays, flat, where something may be."""
import dataclasses

import torch

MOST_SAMPLES = 1024  # of a ray before its surface, as instant-ngp has it


@dataclasses.dataclass(frozen=True)
class Samples:
    """N samples of R rays, sorted by ray and distance."""

    offsets: torch.Tensor  # (R + 1,) int64: ray r owns samples offsets[r]:offsets[r + 1]
    ray_indices: torch.Tensor  # (N,) int64
    t_starts: torch.Tensor  # (N,) metres along the ray
    t_ends: torch.Tensor  # (N,)
    positions: torch.Tensor  # (N, 3) metres, world: the middles

    def __len__(self):
        """Return the number of samples."""
        return len(self.t_starts)


def sample(rays, occupancy, config, backend, jitter, stride, limits, visited_only):
    """Place samples on rays, where the field may be solid.

    jitter (R,) in [0, 1) shifts them by a share of a step; stride multiplies the steps; limits
    (R,) int32 bounds the samples of a ray, from the front; visited_only skips places where the
    field has never been asked.
    """
    near, far = occupancy.clip(rays, config.near, config.far)
    offsets, t_starts, t_ends = backend.march(
        rays.origins, rays.directions, near, far, limits, jitter, rays.surfaces,
        occupancy.voxels, occupancy.origin, occupancy.voxel_size,
        stride * config.min_step, stride * config.cone,
        config.surface_band, config.surface_samples, visited_only,
    )  # fmt: skip
    counts = offsets.diff()
    ray_indices = torch.repeat_interleave(
        torch.arange(len(counts), device=counts.device), counts, output_size=len(t_starts))
    middles = ((t_starts + t_ends) / 2)[:, None]
    positions = torch.addcmul(
        rays.origins[ray_indices], middles, rays.directions[ray_indices])
    return Samples(offsets, ray_indices, t_starts, t_ends, positions)
