"""The networks of the processor backend: parameters, and the room that the kernels work in."""
import numba
import numpy as np
import torch
from torch import nn

from instant_nerf_ros.nerf.backends import numba_grid, reference
from instant_nerf_ros.nerf.backends.cpu_threads import on_all_cores
from instant_nerf_ros.nerf.backends.numba_layers import packed
from instant_nerf_ros.nerf.backends.numba_lesson import Back
from instant_nerf_ros.nerf.backends.numba_light import Field, ask, make_chunk
from instant_nerf_ros.nerf.backends.reference import FEATURES, GEOMETRY, HARMONICS

PADDING = 16  # the widths of all matrices in the kernels are multiples of it


class GeometryNetwork(nn.Module):
    """See reference.GeometryNetwork; gradient and moments of the grid live beside its values."""

    def __init__(self, scales, log2_table, hidden):
        super().__init__()
        self.scales = np.array(scales, dtype=np.float32)
        levels, entries = len(scales), 2**log2_table
        self.lines = numba_grid.aligned_lines(levels, entries)
        table = torch.from_numpy(self.lines)[:, :, :FEATURES].uniform_(-1e-4, 1e-4)
        self.table = _parameter(table)
        self.hidden = _parameter(reference.glorot(hidden, levels * FEATURES))
        self.output = _parameter(reference.glorot(GEOMETRY, hidden))
        width = _padded(hidden)
        self.chunks = [
            make_chunk(_padded(levels * FEATURES), width) for _ in range(numba.get_num_threads())]
        self.room = None  # see cpu_lesson.Room

    @torch.no_grad()
    def forward(self, positions):
        """Map positions (N, 3) in [0, 1] to (N, GEOMETRY); without gradient."""
        results = np.empty((len(positions), GEOMETRY), dtype=np.float32)
        field = pack(self)
        on_all_cores(lambda thread, turn: ask(
            positions.contiguous().numpy(), field, results, self.chunks[thread], turn))
        return torch.from_numpy(results)


class ColorNetwork(nn.Module):
    """See reference.ColorNetwork."""

    def __init__(self, hidden):
        super().__init__()
        self.hidden1 = _parameter(reference.glorot(hidden, HARMONICS + GEOMETRY))
        self.hidden2 = _parameter(reference.glorot(hidden, hidden))
        self.output = _parameter(reference.glorot(3, hidden))


def pack(geometry, color=None):
    """Return the Field of the networks, as it is now."""
    hidden, output = geometry.hidden.numpy(), geometry.output.numpy()
    if color is None:
        directions = features = hidden2 = colors = np.zeros((0, 0), dtype=np.float32)
    else:
        first = color.hidden1.numpy()
        directions, features = first[:, :HARMONICS], first[:, HARMONICS:]
        hidden2, colors = color.hidden2.numpy(), color.output.numpy()
    matrices = (matrix.T for matrix in (hidden, output, directions, features, hidden2, colors))
    return Field(geometry.lines, geometry.scales, *map(_packed, matrices))


def pack_back(geometry, color):
    """Return the matrices for the way back."""
    matrices = (
        geometry.hidden, geometry.output, color.hidden1[:, HARMONICS:], color.hidden2,
        color.output)
    return Back(*(_packed(matrix.numpy()) for matrix in matrices))


def _packed(matrix):
    """Return a copy for the kernels, with zeros up to multiples of PADDING."""
    result = np.zeros([_padded(size) for size in matrix.shape], dtype=np.float32)
    result[: matrix.shape[0], : matrix.shape[1]] = matrix
    return packed(result)


def _padded(size):
    return -(-size // PADDING) * PADDING


def _parameter(values):
    return nn.Parameter(values, requires_grad=False)  # gradients are the kernels' affair
