"""Ray marching in plain PyTorch.

Shapes: N samples, R rays. Samples are flat and sorted by ray; ray r owns the samples
``offsets[r]:offsets[r + 1]``. Distances t are along unit directions, in metres.
"""
import torch
from torch import Tensor

from instant_nerf_ros.nerf.constants import SOLID, UNVISITED


def march(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, limits: Tensor,
    jitter: Tensor, surfaces: Tensor, density_state: Tensor, grid_origin: Tensor,
    voxel_size: float, min_step: float, cone: float, band: float, band_samples: int,
    visited_only: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Place samples along rays in the SOLID voxels and, unless visited_only, in the UNVISITED.

    Interval k of a ray begins at t(0) = near + jitter * step(near), t(k + 1) = t(k) + step(t(k)),
    and ends at t(k + 1) or at far, with step(t) = max(min_step, cone * t). It is a sample if its
    middle lies in the grid, in one of these voxels; a ray has at most its limit of these. A ray
    with a measured surface s > 0 ends with band_samples equal intervals over s +- band, whatever
    the voxels, and has no sample behind them.

    Args: origins, directions (R, 3); near, far (R,); limits (R,) int32; jitter (R,) in [0, 1);
    surfaces (R,); density_state (nx, ny, nz) uint8; grid_origin (3,), the corner of voxel
    (0, 0, 0).
    Returns offsets (R + 1,) int64, t_starts (N,), t_ends (N,) float32.
    """
    device = origins.device
    sampled = torch.zeros(3, dtype=torch.bool, device=device)
    sampled[SOLID], sampled[UNVISITED] = True, not visited_only
    measured = surfaces > 0
    end = torch.where(measured, torch.minimum(far, surfaces - band), far)
    t = near + jitter * (cone * near).clamp(min=min_step)
    starts, ends, rays = [], [], []
    counts = torch.zeros_like(limits)
    while (t < end).any():
        following = t + (cone * t).clamp(min=min_step)
        stop = torch.minimum(following, end)
        middle = (t + stop) / 2
        cells = (origins + middle[:, None] * directions - grid_origin) / voxel_size
        cells = cells.floor().long()
        shape = torch.tensor(density_state.shape, device=device)
        inside = ((cells >= 0) & (cells < shape)).all(-1)
        x, y, z = torch.where(inside[:, None], cells, 0).unbind(-1)
        taken = (t < end) & inside & sampled[density_state[x, y, z].long()] & (counts < limits)
        ray = torch.nonzero(taken)[:, 0]
        counts += taken
        starts.append(t[ray])
        ends.append(stop[ray])
        rays.append(ray)
        t = following
    edges = torch.linspace(-1, 1, band_samples + 1, device=device) * band
    ray = torch.nonzero(measured)[:, 0]
    around = (surfaces[ray, None] + edges).clamp(min=0)
    starts.append(around[:, :-1].flatten())
    ends.append(around[:, 1:].flatten())
    rays.append(ray.repeat_interleave(band_samples))
    ray_indices = torch.cat(rays)
    order = torch.argsort(ray_indices, stable=True)
    offsets = torch.zeros(len(origins) + 1, dtype=torch.int64, device=device)
    offsets[1:] = torch.bincount(ray_indices, minlength=len(origins)).cumsum(0)
    return offsets, torch.cat(starts)[order], torch.cat(ends)[order]
