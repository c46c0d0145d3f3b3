"""The networks of the processor backend: parameters, and the room that the kernels work in."""
import functools

import numba
import numpy as np
import torch
from torch import nn

from instant_nerf_ros.nerf.backends.cpu.kernels import hash_grid, layers
from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.backends.cpu.threads import on_all_cores
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import aligned_zeros
from instant_nerf_ros.nerf.backends.cpu.kernels.layers import make_packed
from instant_nerf_ros.nerf.backends.cpu.kernels.train_step import Back
from instant_nerf_ros.nerf.backends.cpu.kernels.ray_tracing import Field, ask, make_chunk
from instant_nerf_ros.nerf.backends.reference import FEATURES, GEOMETRY, HARMONICS

PADDING = 16  # the widths of all matrices in the kernels are multiples of it
NOTHING = make_packed(0, 0)


class GeometryNetwork(nn.Module):
    """See reference.GeometryNetwork; gradient and moments of the grid live beside its values."""

    def __init__(self, scales, log2_table, hidden):
        super().__init__()
        self.scales = np.array(scales, dtype=np.float32)
        levels, entries = len(scales), 2**log2_table
        self.lines = hash_grid.aligned_lines(levels, entries)
        table = torch.from_numpy(self.lines)[:, :, :FEATURES].uniform_(-1e-4, 1e-4)
        self.table = _parameter(table)
        self.hidden = _parameter(reference.glorot(hidden, levels * FEATURES))
        self.output = _parameter(reference.glorot(GEOMETRY, hidden))
        width = _padded(hidden)
        self.chunks = [
            make_chunk(_padded(levels * FEATURES), width) for _ in range(numba.get_num_threads())]
        self.rooms = {}  # of the matrices, as the kernels have them
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
    """Return the Field of the networks, as it is now; the next call overwrites it."""
    packed = functools.partial(_packed, geometry.rooms)
    matrices = [packed('hidden', geometry.hidden.numpy().T),
                packed('output', geometry.output.numpy().T)]
    if color is None:
        return Field(geometry.lines, geometry.scales, *matrices, *[NOTHING] * 4)
    first = color.hidden1.numpy()
    return Field(
        geometry.lines, geometry.scales, *matrices,
        packed('directions', first[:, :HARMONICS].T), packed('features', first[:, HARMONICS:].T),
        packed('hidden2', color.hidden2.numpy().T), packed('colors', color.output.numpy().T))


def pack_back(geometry, color):
    """Return the matrices for the way back; the next call overwrites them."""
    packed = functools.partial(_packed, geometry.rooms)
    return Back(
        packed('hidden back', geometry.hidden.numpy()),
        packed('output back', geometry.output.numpy()),
        packed('features back', color.hidden1.numpy()[:, HARMONICS:]),
        packed('hidden2 back', color.hidden2.numpy()),
        packed('colors back', color.output.numpy(), 4))  # three of them: not worth more


def _packed(rooms, name, matrix, rows=PADDING):
    """Write a matrix to its room, with zeros up to multiples of PADDING, or of so many rows."""
    if name not in rooms:
        size = _padded(matrix.shape[0], rows), _padded(matrix.shape[1])
        rooms[name] = aligned_zeros(size), make_packed(*size)
    padded, result = rooms[name]
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    layers.pack(padded, result)
    return result


def _padded(size, unit=PADDING):
    return -(-size // unit) * unit


def _parameter(values):
    return nn.Parameter(values, requires_grad=False)  # gradients are the kernels' affair
