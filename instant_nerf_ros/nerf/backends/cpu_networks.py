"""The networks of the processor backend: a hash grid in numba, perceptrons of matrix products.

The matrix products run in bfloat16 where the processor multiplies it natively, else in float32.
Backward passes are written by hand; parameters and results are float32.
"""
import numpy as np
import torch
from torch import nn

from instant_nerf_ros.nerf.backends import cpu_perceptron as perceptron
from instant_nerf_ros.nerf.backends import numba_grid, reference
from instant_nerf_ros.nerf.backends.reference import (
    FEATURES,
    GEOMETRY,
    HARMONICS,
    spherical_harmonics,
)


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


class _Geometry(torch.autograd.Function):
    """Hash grid and perceptron; the gradient of the grid goes into its lines."""

    @staticmethod
    def forward(ctx, positions, network, *matrices):
        kind = network.matrix_type
        matrices = [matrix.detach().to(kind) for matrix in matrices]
        encoded = perceptron.padded_rows(network.encode(positions), kind)
        layers = perceptron.forward(encoded, matrices)
        ctx.network, ctx.positions, ctx.layers, ctx.matrices = network, positions, layers, matrices
        return layers[-1][: len(positions)].float()

    @staticmethod
    def backward(ctx, gradient):
        gradient = perceptron.padded_rows(gradient, ctx.network.matrix_type)
        gradient, matrices = perceptron.backward(gradient, ctx.layers, ctx.matrices)
        ctx.network.encode_backward(ctx.positions, gradient[: len(ctx.positions)].float())
        return None, None, *matrices


class _Color(torch.autograd.Function):
    """Perceptron of directions and geometry; sigmoid at the end."""

    @staticmethod
    def forward(ctx, directions, ray_indices, geometry, kind, *matrices):
        count = len(geometry)
        matrices = [matrix.detach().to(kind) for matrix in matrices]
        inputs = torch.zeros(perceptron.padded(count), HARMONICS + GEOMETRY, dtype=kind)
        # The rays are few, the samples many: harmonics are evaluated for the rays.
        inputs[:count, :HARMONICS] = spherical_harmonics(directions).to(kind)[ray_indices]
        inputs[:count, HARMONICS:] = geometry
        layers = perceptron.forward(inputs, matrices)
        colors = layers[-1][:count].float().sigmoid_()
        ctx.colors, ctx.layers, ctx.matrices = colors, layers, matrices
        return colors

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient * ctx.colors * (1 - ctx.colors)
        gradient = perceptron.padded_rows(gradient, ctx.layers[0].dtype)
        gradient, matrices = perceptron.backward(gradient, ctx.layers, ctx.matrices)
        # The other columns belong to the directions, which are not learnt.
        return None, None, gradient[: len(ctx.colors), HARMONICS:].float(), None, *matrices


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
        return _Geometry.apply(positions, self, self.hidden, self.output)

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
            directions, ray_indices, geometry, self.matrix_type,
            self.hidden1, self.hidden2, self.output,
        )  # fmt: skip
