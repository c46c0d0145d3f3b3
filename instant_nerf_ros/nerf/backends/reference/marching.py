"""The rays of the reference backend, in plain PyTorch: marching and compositing.

Shapes: N samples, R rays. Samples are flat and sorted by ray; ray r owns the samples
``offsets[r]:offsets[r + 1]``. Distances t are along unit directions, in metres.
"""
import torch

from instant_nerf_ros.nerf.backends.reference.voxels import SOLID, UNVISITED

MIN_TRANSMITTANCE = 1e-3  # samples behind this are ignored


def march(
    origins, directions, near, far, limits, jitter, surfaces, voxels, grid_origin, voxel_size,
    min_step, cone, band, band_samples, visited_only,
):  # fmt: skip
    """Place samples along rays, skipping voxels: the EMPTY, and with visited_only the UNVISITED.

    A ray is cut at t(0) = near + jitter * step(near), t(k + 1) = t(k) + step(t(k)) and at far,
    with step(t) = max(min_step, cone * t); an interval is a sample if its middle lies in
    the grid, in a voxel that is not skipped; a ray has at most its limit of these. A ray with a
    measured surface s > 0 ends with band_samples equal intervals over s +- band, skipped or not,
    and has no sample behind them.

    Args: origins, directions (R, 3); near, far (R,); limits (R,) int32; jitter (R,) in [0, 1);
    surfaces (R,); voxels (nx, ny, nz) uint8; grid_origin (3,), the corner of voxel (0, 0, 0).
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
        shape = torch.tensor(voxels.shape, device=device)
        inside = ((cells >= 0) & (cells < shape)).all(-1)
        x, y, z = torch.where(inside[:, None], cells, 0).unbind(-1)
        taken = (t < end) & inside & sampled[voxels[x, y, z].long()] & (counts < limits)
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
    rays = torch.cat(rays)
    order = torch.argsort(rays, stable=True)
    offsets = torch.zeros(len(origins) + 1, dtype=torch.int64, device=device)
    offsets[1:] = torch.bincount(rays, minlength=len(origins)).cumsum(0)
    return offsets, torch.cat(starts)[order], torch.cat(ends)[order]


def composite(densities, colors, t_starts, t_ends, offsets):
    """Render samples front to back (Max 1995; Mildenhall et al. 2020, eq. 3).

    weight_i = T_i (1 - exp(-density_i delta_i)), T_i = exp(-sum_{j<i} density_j delta_j). Two
    samples of density ln 2 per metre and 1 m long: weights 1/2 and 1/4. Samples where T_i is
    below MIN_TRANSMITTANCE weigh nothing.

    Args: densities (N,) per metre; colors (N, 3); t_starts, t_ends (N,); offsets (R + 1,).
    Returns colours (R, 3), distances (R,) = sum of weight * middle, opacities (R,) = sum of
    weights, weights (N,). Differentiable to densities and colours.
    """
    counts = offsets.diff()
    rays = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    thickness = densities * (t_ends - t_starts)
    # exp(-100) lets nothing through; more would cost the sum over all rays its digits.
    bounded = thickness.double().clamp(max=100)
    before = bounded.cumsum(0) - bounded
    first = torch.cat([before, before.new_zeros(1)])[offsets[:-1]]
    transmittance = torch.exp(-(before - first[rays])).to(densities.dtype)
    transmittance = torch.where(transmittance < MIN_TRANSMITTANCE, 0.0, transmittance)
    weights = transmittance * -torch.expm1(-thickness)
    values = torch.cat(
        [colors, ((t_starts + t_ends) / 2)[:, None], torch.ones_like(weights)[:, None]], -1)
    sums = values.new_zeros(len(counts), 5).index_add(0, rays, weights[:, None] * values)
    return sums[:, :3], sums[:, 3], sums[:, 4], weights


def median_distance(weights, t_starts, t_ends, offsets):
    """Return the distance (R,) at which half of the light is absorbed; 0 where it never is.

    Unlike the mean it lies on a surface, also where a ray grazes an edge. The weight of a sample
    is taken as spread evenly over its interval.
    """
    counts = offsets.diff()
    rays = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    through = weights.double().cumsum(0)
    first = torch.cat([through - weights, through.new_zeros(1)])[offsets[:-1]]
    through = through - first[rays]
    before = through - weights
    crossing = torch.nonzero((through >= 0.5) & (before < 0.5))[:, 0]
    share = (0.5 - before[crossing]) / weights[crossing]
    distances = weights.new_zeros(len(counts))
    lengths = t_ends[crossing] - t_starts[crossing]
    distances[rays[crossing]] = t_starts[crossing] + share.to(weights.dtype) * lengths
    return distances
