"""The backend for processors: numba kernels around oneDNN's matrix products.

The matrix products run in bfloat16 where the processor multiplies it natively, else in float32.
Backward passes are written by hand; parameters and results are float32.
"""
import numba
import numpy as np
import torch
from torch import nn

from instant_nerf_ros.nerf.backends import numba_grid, numba_rays, reference
from instant_nerf_ros.nerf.backends.reference import (
    FEATURES,
    GEOMETRY,
    HARMONICS,
    spherical_harmonics,
)

NAME = 'cpu'
MAX_LOG_DENSITY = reference.MAX_LOG_DENSITY
ROWS = 2048  # matrices have a multiple of so many
CORRECTIONS = 4096  # updates after which Adam's bias correction is one in float32

# Numba's threads share the work, those of torch stay out of it: two pools that spin while they wait
# take the cores from each other. This layer of numba sleeps while it waits, and is always there.
numba.config.THREADING_LAYER = 'workqueue'
torch.set_num_threads(1)


def matrix_type():
    """Return the type of the matrix products: bfloat16 where it is fast, else float32."""
    return torch.bfloat16 if torch.backends.mkldnn.is_available() and _has_bf16() else torch.float32


def _has_bf16():
    return torch.ops.mkldnn._is_mkldnn_bf16_supported() and 'avx512_bf16' in _cpu_flags()


def _cpu_flags():
    try:
        with open('/proc/cpuinfo') as file:
            return next(line for line in file if line.startswith('flags')).split()
    except (OSError, StopIteration):
        return []


def _padded(count):
    """Return the rows of a matrix for count samples.

    oneDNN compiles a product for every shape it meets, which takes longer than the product.
    """
    return -(-count // ROWS) * ROWS


def _padded_rows(matrix, kind):
    """Return a matrix in another type, with rows of zeros up to the padded count."""
    result = torch.empty(_padded(len(matrix)), matrix.shape[1], dtype=kind)
    result[: len(matrix)] = matrix
    result[len(matrix) :] = 0
    return result


class _Geometry(torch.autograd.Function):
    """Hash grid, hidden layer, output; the gradient of the grid goes into its lines."""

    @staticmethod
    def forward(ctx, positions, hidden, output, network):
        kind = network.matrix_type
        encoded = _padded_rows(network.encode(positions), kind)
        activated = _relu(torch.mm(encoded, hidden.to(kind).T))
        ctx.network = network
        ctx.save_for_backward(positions, encoded, activated, hidden, output)
        return torch.mm(activated, output.to(kind).T)[: len(positions)].float()

    @staticmethod
    def backward(ctx, gradient):
        positions, encoded, activated, hidden, output = ctx.saved_tensors
        kind = ctx.network.matrix_type
        gradient = _padded_rows(gradient, kind)
        output_gradient = torch.mm(gradient.T, activated)
        gradient = _relu_backward(torch.mm(gradient, output.to(kind)), activated)
        hidden_gradient = torch.mm(gradient.T, encoded)
        gradient = torch.mm(gradient, hidden.to(kind))[: len(positions)]
        ctx.network.encode_backward(positions, gradient.float())
        return None, hidden_gradient.float(), output_gradient.float(), None


class _Color(torch.autograd.Function):
    """Three matrix products; sigmoid at the end."""

    @staticmethod
    def forward(ctx, directions, ray_indices, geometry, first, second, output, kind):
        count = len(geometry)
        inputs = torch.zeros(_padded(count), HARMONICS + GEOMETRY, dtype=kind)
        # The rays are few, the samples many: harmonics are evaluated for the rays.
        inputs[:count, :HARMONICS] = spherical_harmonics(directions).to(kind)[ray_indices]
        inputs[:count, HARMONICS:] = geometry
        hidden1 = _relu(torch.mm(inputs, first.to(kind).T))
        hidden2 = _relu(torch.mm(hidden1, second.to(kind).T))
        colors = torch.mm(hidden2, output.to(kind).T)[:count].float().sigmoid_()
        ctx.kind = kind
        ctx.save_for_backward(inputs, hidden1, hidden2, colors, first, second, output)
        return colors

    @staticmethod
    def backward(ctx, gradient):
        inputs, hidden1, hidden2, colors, first, second, output = ctx.saved_tensors
        kind = ctx.kind
        gradient = _padded_rows(gradient * colors * (1 - colors), kind)
        output_gradient = torch.mm(gradient.T, hidden2)
        gradient = _relu_backward(torch.mm(gradient, output.to(kind)), hidden2)
        second_gradient = torch.mm(gradient.T, hidden1)
        gradient = _relu_backward(torch.mm(gradient, second.to(kind)), hidden1)
        first_gradient = torch.mm(gradient.T, inputs)
        # The other columns belong to the directions, which are not learnt.
        geometry_gradient = torch.mm(gradient, first[:, HARMONICS:].to(kind))[: len(colors)]
        return (
            None, None, geometry_gradient.float(),
            first_gradient.float(), second_gradient.float(), output_gradient.float(), None,
        )  # fmt: skip


def _bits(matrix):
    return matrix.view(torch.int16 if matrix.dtype == torch.bfloat16 else torch.int32)


def _relu(matrix):
    """Apply ReLU in place; as integers, negative numbers are the negative ones."""
    _bits(matrix).clamp_min_(0)
    return matrix


def _relu_backward(gradient, activated):
    numba_grid.relu_backward(_bits(gradient).numpy(), _bits(activated).numpy())
    return gradient


class GeometryNetwork(nn.Module):
    """See reference.GeometryNetwork; gradient and moments of the grid live beside its values."""

    def __init__(self, scales, log2_table, hidden):
        super().__init__()
        self.scales = np.array(scales, dtype=np.float32)
        self.matrix_type = matrix_type()
        levels, entries = len(scales), 2**log2_table
        self.lines = numba_grid.aligned_lines(levels, entries)
        table = torch.from_numpy(self.lines)[:, :, :FEATURES].uniform_(-1e-4, 1e-4)
        self.table = nn.Parameter(table, requires_grad=False)
        self.hidden = nn.Parameter(reference.glorot(hidden, levels * FEATURES))
        self.output = nn.Parameter(reference.glorot(GEOMETRY, hidden))
        self.steps = np.zeros((levels, entries), dtype=np.uint16)
        self.touched = np.zeros((levels, entries), dtype=np.uint8)
        self.touched_entries = np.zeros((levels, entries), dtype=np.int32)
        self.touched_counts = np.zeros(levels, dtype=np.int64)
        # Fine levels cost more than coarse ones: any equal cut of this order is a fair share.
        pairs = [(low, levels - 1 - low) for low in range((levels + 1) // 2)]
        order = [level for pair in pairs[::2] + pairs[1::2] for level in dict.fromkeys(pair)]
        self.order = np.array(order)

    def forward(self, positions):
        """Map positions (N, 3) in [0, 1] to (N, GEOMETRY)."""
        return _Geometry.apply(positions, self.hidden, self.output, self)

    def encode(self, positions):
        """Interpolate the hash grid at positions (N, 3): (N, levels * FEATURES)."""
        encoded = torch.empty(len(positions), len(self.scales) * FEATURES)
        numba_grid.encode(positions.numpy(), self.lines, self.scales, encoded.numpy())
        return encoded

    def encode_backward(self, positions, gradient):
        """Add the gradient of `encode` to the lines of the entries."""
        numba_grid.encode_backward(
            positions.numpy(), gradient.numpy(), self.scales, self.order,
            self.lines, self.touched, self.touched_entries, self.touched_counts,
        )  # fmt: skip

    def adam(self, corrections, learning_rate, beta1, beta2, epsilon):
        """Take an Adam step for the touched entries, and forget their gradients."""
        numba_grid.adam(
            self.lines, self.steps, self.touched, self.touched_entries, self.touched_counts,
            self.order, *corrections, learning_rate, beta1, beta2, epsilon,
        )  # fmt: skip


class ColorNetwork(nn.Module):
    """See reference.ColorNetwork."""

    def __init__(self, hidden):
        super().__init__()
        self.matrix_type = matrix_type()
        self.hidden1 = nn.Parameter(reference.glorot(hidden, HARMONICS + GEOMETRY))
        self.hidden2 = nn.Parameter(reference.glorot(hidden, hidden))
        self.output = nn.Parameter(reference.glorot(3, hidden))

    def forward(self, directions, ray_indices, geometry):
        """Map directions of rays, the rays of samples and their geometry to colours (N, 3)."""
        return _Color.apply(
            directions, ray_indices, geometry,
            self.hidden1, self.hidden2, self.output, self.matrix_type,
        )  # fmt: skip


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
    numba_rays.visit(*arrays, *map(np.float32, (voxel_size, decay, threshold)))


def carve(
    origins, directions, distances, measured, pixels,
    hits, passes, colors, voxels, grid_origin, voxel_size,
):  # fmt: skip
    """See reference.carve."""
    rays = origins, directions, distances, measured, pixels
    grids = hits, passes, colors, voxels, grid_origin
    numba_rays.carve(*(x.numpy() for x in (*rays, *grids)), float(voxel_size))


def states(hits, passes):
    """See reference.states."""
    result = torch.empty(hits.shape, dtype=torch.int8)
    numba_rays.states(*(x.numpy() for x in (hits, passes, result)))
    return result
