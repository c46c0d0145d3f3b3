"""The GPU backend with tinycudann's hash grid and fully fused networks; see reference.py.

All else is as in cuda.py, but that lessons and views are not taken in one go: tinycudann works on
all samples at once, so these are found first, and pixels made of them in PyTorch.
"""
import torch
import triton

from instant_nerf_ros.nerf.backends import cuda, reference
from instant_nerf_ros.nerf.backends.cuda.kernels import marching
from instant_nerf_ros.nerf.backends.cuda import SAMPLES, carve, draw, finish, take_in, visit
from instant_nerf_ros.nerf.backends.cuda.optimizer import Adam
from instant_nerf_ros.nerf.backends.cuda.device import DEVICE
from instant_nerf_ros.nerf.backends.reference import states, together
from instant_nerf_ros.nerf.backends.reference.marching import composite, median_distance
from instant_nerf_ros.nerf.backends.tinycudann.networks import (
    GAIN,
    ColorNetwork,
    GeometryNetwork,
    unfit,
)

__all__ = [
    'Adam', 'ColorNetwork', 'DEVICE', 'DRAWS', 'GeometryNetwork', 'NAME', 'SAMPLES', 'WHOLE',
    'about', 'carve', 'check', 'composite', 'draw', 'finish', 'march', 'median_distance',
    'states', 'take_in', 'together', 'visit',
]  # fmt: skip

NAME = 'tinycudann'
WHOLE, DRAWS = False, True
MARCHED = 128  # rays of a program


def about():
    """Return the GPU in use, for the log."""
    return f'{cuda.about()}, with tinycudann'


def check(scales, log2_table, hidden):
    """Raise, with the reason, if tinycudann cannot do here what the reference does."""
    reason = unfit(scales, log2_table, hidden)
    if reason:
        raise ValueError(reason)
    networks = GeometryNetwork(scales, log2_table, hidden), ColorNetwork(hidden)
    models = (reference.GeometryNetwork(scales, log2_table, hidden),
              reference.ColorNetwork(hidden))  # fmt: skip
    networks[0].table.uniform_(-1, 1)
    with torch.no_grad():
        for network, model in zip(networks, models):
            for (_, values), (_, parameter) in zip(
                    network.named_parameters(), model.named_parameters()):
                parameter.copy_(values)
    positions = 0.5 + 0.01 * torch.rand(100, 3)  # where maps are
    directions = torch.nn.functional.normalize(torch.randn(100, 3), dim=-1)
    colors = []
    for (geometry, color), device in ((networks, DEVICE), (models, 'cpu')):
        found = color(directions.to(device), torch.arange(100, device=device),
                      geometry(positions.to(device)))  # fmt: skip
        found.sum().backward()
        colors.append(found.detach().cpu())
    slopes = networks[0].slopes.cpu() / GAIN, models[0].table.grad
    for found, expected in (colors, slopes):
        if not (found - expected).norm() < 0.1 * expected.norm():
            raise RuntimeError('this tinycudann computes something else than what is documented')


def march(
    origins, directions, near, far, limits, jitter, surfaces, voxels, grid_origin, voxel_size,
    min_step, cone, band, band_samples, visited_only,
):  # fmt: skip
    """See reference.march; the host waits for the number of samples."""
    rays = len(origins)
    counts = torch.zeros(rays, dtype=torch.int32, device=DEVICE)
    offsets = torch.zeros(rays + 1, dtype=torch.int64, device=DEVICE)
    t_starts = t_ends = torch.empty(0, device=DEVICE)
    for write in (False, True) if rays else ():
        marching.place[(triton.cdiv(rays, MARCHED),)](
            origins.contiguous(), directions.contiguous(), near, far, limits, jitter, surfaces,
            rays, voxels, grid_origin, *voxels.shape, voxel_size, min_step, cone, band,
            band_samples, counts, offsets, t_starts, t_ends, visited_only, write, MARCHED)
        if not write:
            torch.cumsum(counts, 0, out=offsets[1:])
            t_starts, t_ends = torch.empty(2, int(offsets[-1]), device=DEVICE)
    return offsets, t_starts, t_ends
