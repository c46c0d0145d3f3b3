"""The backend for processors: see reference.py for what each function does.

The networks are in cpu_networks.py, the kernels in numba_grid.py, numba_rays.py
and numba_voxels.py.
"""
import numba
import numpy as np
import torch

from instant_nerf_ros.nerf.backends import numba_rays, numba_voxels
from instant_nerf_ros.nerf.backends.cpu_networks import ColorNetwork, GeometryNetwork

__all__ = [
    'Adam', 'ColorNetwork', 'GeometryNetwork', 'NAME',
    'carve', 'composite', 'march', 'median_distance', 'states', 'visit',
]  # fmt: skip

NAME = 'cpu'
CORRECTIONS = 4096  # updates after which Adam's bias correction is one in float32

# Numba's threads share the work, those of torch stay out of it: two pools that spin as they wait
# take the cores from each other. OpenMP wakes its threads sooner than numba's own layer, which is
# there where the system has no OpenMP.
numba.config.THREADING_LAYER_PRIORITY = ['omp', 'workqueue', 'tbb']
torch.set_num_threads(1)


class Adam:
    """See reference.Adam."""

    def __init__(self, geometry, color, beta1, beta2, epsilon, weight_decay):
        self.geometry = geometry
        matrices = [geometry.hidden, geometry.output, *color.parameters()]
        self.matrices = torch.optim.Adam(
            matrices, betas=(beta1, beta2), eps=epsilon, weight_decay=weight_decay)
        steps = np.arange(CORRECTIONS)
        self.corrections = [(1 - beta**steps).astype(np.float32) for beta in (beta1, beta2)]
        self.settings = np.float32(beta1), np.float32(beta2), np.float32(epsilon)

    def zero_grad(self):
        """Forget the gradients of the matrices; those of the grid are forgotten by `step`."""
        self.matrices.zero_grad()

    def step(self, learning_rate):
        """Update all parameters from their gradients."""
        self.matrices.param_groups[0]['lr'] = learning_rate
        self.matrices.step()
        self.geometry.adam(self.corrections, np.float32(learning_rate), *self.settings)


def march(
    origins, directions, near, far, limits, jitter, surfaces, voxels, grid_origin, voxel_size,
    min_step, cone, band, band_samples, visited_only,
):  # fmt: skip
    """See reference.march."""
    offsets = np.zeros(len(origins) + 1, dtype=np.int64)
    rays = origins, directions, near, far, limits, jitter, surfaces
    rays = [values.numpy() for values in rays]
    grid = voxels.numpy(), grid_origin.numpy(), np.float32(voxel_size)
    steps = np.float32(min_step), np.float32(cone), np.float32(band), band_samples, visited_only
    nothing = np.empty(0, dtype=np.float32)
    numba_rays.march(*rays, *grid, *steps, offsets, nothing, nothing, False)
    np.cumsum(offsets, out=offsets)
    t_starts, t_ends = torch.empty(2, offsets[-1])
    numba_rays.march(*rays, *grid, *steps, offsets, t_starts.numpy(), t_ends.numpy(), True)
    return torch.from_numpy(offsets), t_starts, t_ends


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, densities, colors, t_starts, t_ends, offsets):
        sums = torch.empty(len(offsets) - 1, 5)
        weights = torch.empty_like(densities)
        numba_rays.composite(
            *(x.detach().numpy()
              for x in (densities, colors, t_starts, t_ends, offsets, sums, weights)))
        ctx.save_for_backward(densities, colors, t_starts, t_ends, offsets, weights)
        return sums, weights

    @staticmethod
    def backward(ctx, sums_gradient, weights_gradient):
        densities, colors = ctx.saved_tensors[:2]
        results = torch.empty_like(densities), torch.empty_like(colors)
        gradients = sums_gradient.contiguous(), weights_gradient.contiguous()
        numba_rays.composite_backward(
            *(x.detach().numpy() for x in (*ctx.saved_tensors, *gradients, *results)))
        return *results, None, None, None


def composite(densities, colors, t_starts, t_ends, offsets):
    """See reference.composite."""
    densities, colors = densities.contiguous(), colors.contiguous()
    sums, weights = _Composite.apply(densities, colors, t_starts, t_ends, offsets)
    return sums[:, :3], sums[:, 3], sums[:, 4], weights


def median_distance(weights, t_starts, t_ends, offsets):
    """See reference.median_distance."""
    distances = torch.empty(len(offsets) - 1)
    numba_rays.median_distance(
        *(x.numpy() for x in (weights, t_starts, t_ends, offsets, distances)))
    return distances


def visit(positions, densities, stored, voxels, grid_origin, voxel_size, decay, threshold):
    """See reference.visit."""
    arrays = [x.numpy() for x in (positions, densities, stored, voxels, grid_origin)]
    numba_voxels.visit(*arrays, *map(np.float32, (voxel_size, decay, threshold)))


def carve(
    origins, directions, distances, measured, pixels,
    hits, passes, colors, voxels, grid_origin, voxel_size,
):  # fmt: skip
    """See reference.carve."""
    rays = origins, directions, distances, measured, pixels
    grids = hits, passes, colors, voxels, grid_origin
    numba_voxels.carve(*(x.numpy() for x in (*rays, *grids)), float(voxel_size))


def states(hits, passes):
    """See reference.states."""
    result = torch.empty(hits.shape, dtype=torch.int8)
    numba_voxels.states(*(x.numpy() for x in (hits, passes, result)))
    return result
