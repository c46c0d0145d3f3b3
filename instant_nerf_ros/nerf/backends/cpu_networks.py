"""The networks of the processor backend: numba kernels around oneDNN's matrix products.

The matrix products run in bfloat16 where the processor multiplies it natively, else in float32.
Backward passes are written by hand; parameters and results are float32.
"""
import numpy as np
import torch
from torch import nn

from instant_nerf_ros.nerf.backends import numba_grid, reference
from instant_nerf_ros.nerf.backends.reference import (
    FEATURES,
    GEOMETRY,
    HARMONICS,
    spherical_harmonics,
)

ROWS = 2048  # matrices have a multiple of so many


def matrix_type():
    """Return the type of the matrix products: bfloat16 where the processor has it, or float32."""
    if torch.backends.mkldnn.is_available() and _has_bf16():
        return torch.bfloat16
    return torch.float32


def _has_bf16():
    try:
        with open('/proc/cpuinfo') as file:
            flags = next(line for line in file if line.startswith('flags')).split()
    except (OSError, StopIteration):
        return False
    return 'avx512_bf16' in flags or 'amx_bf16' in flags


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
