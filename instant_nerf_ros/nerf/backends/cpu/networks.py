"""The networks of the CPU backend: parameters, and the arrays in which the kernels work."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from instant_nerf_ros.nerf.backends.cpu.kernels import hash_grid, layers
from instant_nerf_ros.nerf.backends.cpu.kernels.geometry_network import PackedField, evaluate
from instant_nerf_ros.nerf.backends.cpu.kernels.jit import aligned_zeros
from instant_nerf_ros.nerf.backends.cpu.kernels.layers import make_packed
from instant_nerf_ros.nerf.backends.cpu.kernels.ray_tracing import make_chunk
from instant_nerf_ros.nerf.backends.cpu.kernels.train_step import BackwardMatrices
from instant_nerf_ros.nerf.backends.cpu.step_buffers import StepBuffers
from instant_nerf_ros.nerf.backends.cpu.threads import on_all_cores, thread_count
from instant_nerf_ros.nerf.backends.reference.networks import glorot
from instant_nerf_ros.nerf.constants import FEATURES, GEOMETRY, HARMONICS

PADDING = 16  # the widths of all matrices in the kernels are multiples of it
EMPTY = make_packed(0, 0)


class GeometryNetwork(nn.Module):
    """See reference.GeometryNetwork; gradient and moments of the grid lie beside its values."""

    def __init__(self, scales: Sequence[float], log2_table: int, hidden: int) -> None:
        super().__init__()
        self.scales = np.array(scales, dtype=np.float32)
        levels, entries = len(scales), 2**log2_table
        self.lines = hash_grid.aligned_lines(levels, entries)
        table = torch.from_numpy(self.lines)[:, :, :FEATURES].uniform_(-1e-4, 1e-4)
        self.table = _parameter(table)
        self.hidden = _parameter(glorot(hidden, levels * FEATURES))
        self.output = _parameter(glorot(GEOMETRY, hidden))
        width = _padded(hidden)
        self.chunks = [
            make_chunk(_padded(levels * FEATURES), width) for _ in range(thread_count())]
        self.packed = PackedMatrices()
        self._step_buffers: StepBuffers | None = None

    def step_buffers(self, samples: int) -> StepBuffers:
        """Return the buffers of a training step; made at the first call, for so many samples."""
        if self._step_buffers is None:
            self._step_buffers = StepBuffers(self.chunks, samples)
        return self._step_buffers

    @torch.no_grad()
    def forward(self, positions: Tensor) -> Tensor:
        """Map positions (N, 3) in [0, 1] to (N, GEOMETRY); without gradient."""
        results = np.empty((len(positions), GEOMETRY), dtype=np.float32)
        field = pack(self)
        on_all_cores(lambda thread, counter: evaluate(
            positions.contiguous().numpy(), field, results, self.chunks[thread], counter))
        return torch.from_numpy(results)


class ColorNetwork(nn.Module):
    """See reference.ColorNetwork; the kernels evaluate it."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden1 = _parameter(glorot(hidden, HARMONICS + GEOMETRY))
        self.hidden2 = _parameter(glorot(hidden, hidden))
        self.output = _parameter(glorot(3, hidden))


class PackedMatrices:
    """Matrices in the layout of the kernels, padded with zeros, in arrays allocated once."""

    def __init__(self) -> None:
        self._arrays: dict[str, tuple[NDArray[np.float32], NDArray[np.generic]]] = {}

    def __call__(
        self, name: str, matrix: NDArray[np.float32], rows: int = PADDING,
    ) -> NDArray[np.generic]:  # fmt: skip
        """Return a matrix, packed; rows: its number of rows becomes a multiple of that."""
        if name not in self._arrays:
            size = _padded(matrix.shape[0], rows), _padded(matrix.shape[1])
            self._arrays[name] = aligned_zeros(size), make_packed(*size)
        padded, result = self._arrays[name]
        padded[: matrix.shape[0], : matrix.shape[1]] = matrix
        layers.pack(padded, result)
        return result


def pack(geometry: GeometryNetwork, color: ColorNetwork | None = None) -> PackedField:
    """Return the parameters of the networks for the kernels; the next call overwrites them."""
    packed = geometry.packed
    matrices = [packed('hidden', geometry.hidden.numpy().T),
                packed('output', geometry.output.numpy().T)]
    if color is None:
        matrices += [EMPTY] * 4
        return PackedField(geometry.lines, geometry.scales, *matrices)
    first = color.hidden1.numpy()
    matrices += [
        packed('directions', first[:, :HARMONICS].T), packed('features', first[:, HARMONICS:].T),
        packed('hidden2', color.hidden2.numpy().T), packed('colors', color.output.numpy().T)]
    return PackedField(geometry.lines, geometry.scales, *matrices)


def pack_backward(geometry: GeometryNetwork, color: ColorNetwork) -> BackwardMatrices:
    """Return the matrices for the backward pass; the next call overwrites them."""
    packed = geometry.packed
    return BackwardMatrices(
        packed('hidden back', geometry.hidden.numpy()),
        packed('output back', geometry.output.numpy()),
        packed('features back', color.hidden1.numpy()[:, HARMONICS:]),
        packed('hidden2 back', color.hidden2.numpy()),
        packed('colors back', color.output.numpy(), 4))  # three rows are not worth more padding


def _padded(size: int, unit: int = PADDING) -> int:
    return -(-size // unit) * unit


def _parameter(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)  # the kernels compute the gradients
