"""The networks of the GPU backend: parameters like those of the reference, and gradients."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
from torch import Tensor, nn

from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.backends.cuda.device import DEVICE
from instant_nerf_ros.nerf.backends.cuda.kernels import networks
from instant_nerf_ros.nerf.backends.cuda.step_buffers import StepBuffers
from instant_nerf_ros.nerf.constants import FEATURES, GEOMETRY

POSITIONS = 128  # positions of a program


class Matrices:
    """Weight matrices in one vector, and their gradients in another: one launch updates all."""

    def __init__(self, *matrices: Tensor) -> None:
        self.values = torch.cat([matrix.flatten() for matrix in matrices]).to(DEVICE)
        self.gradients = torch.zeros_like(self.values)
        self.shapes = [matrix.shape for matrix in matrices]

    def split(self, vector: Tensor) -> list[Tensor]:
        """Return the matrices in a vector."""
        parts = vector.split([shape.numel() for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes)]


class GeometryNetwork(nn.Module):
    """See reference.GeometryNetwork. The kernels read the table in half precision."""

    def __init__(self, scales: Sequence[float], log2_table: int, hidden: int) -> None:
        super().__init__()
        model = reference.GeometryNetwork(scales, log2_table, hidden)
        self.levels, self.entries = len(scales), 2**log2_table
        self.slots = max(4, triton.next_power_of_2(self.levels))  # levels in the kernels
        self.width = max(16, triton.next_power_of_2(hidden))  # of the hidden layer in the kernels
        self.scales = torch.tensor(scales, dtype=torch.float32, device=DEVICE)
        self.matrices = Matrices(model.hidden.detach(), model.output.detach())
        self.table = _parameter(model.table.detach().to(DEVICE))
        self.hidden, self.output = map(_parameter, self.matrices.split(self.matrices.values))
        self.table_half = torch.empty_like(self.table, dtype=torch.float16)
        self.gradients = torch.zeros_like(self.table_half)
        self.step_buffers: StepBuffers | None = None  # of the last training step
        self._version = -1

    def refresh(self) -> None:
        """Copy the table to half precision if PyTorch has written to it, as when it is loaded."""
        if self._version != self.table._version:
            self.table_half.copy_(self.table)
            self._version = self.table._version

    def reserve(self, samples: int) -> StepBuffers:
        """Return the buffers of a training step with at most so many samples."""
        if self.step_buffers is None or self.step_buffers.capacity != samples:
            self.step_buffers = None  # its memory is free before the next one allocates its own
            self.step_buffers = StepBuffers(samples, self.columns)
        return self.step_buffers

    def clear_gradients(self) -> None:
        """Set all gradients to zero."""
        for gradients in (self.gradients, self.matrices.gradients):
            gradients.zero_()

    @torch.no_grad()
    def forward(self, positions: Tensor) -> Tensor:
        """Map positions (N, 3) in [0, 1] to (N, GEOMETRY); without gradient."""
        self.refresh()
        positions = positions.to(DEVICE).contiguous()
        results = torch.empty(len(positions), GEOMETRY, device=DEVICE)
        if len(positions):
            networks.evaluate_geometry[(triton.cdiv(len(positions), POSITIONS),)](
                positions, len(positions), self.table_half, self.scales, self.entries,
                self.hidden, self.output, results, self.levels, self.slots,
                self.hidden.shape[0], self.width, POSITIONS)
        return results

    @property
    def columns(self) -> int:
        """Return the number of features of an encoding in the kernels."""
        return self.slots * FEATURES


class ColorNetwork(nn.Module):
    """See reference.ColorNetwork."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        model = reference.ColorNetwork(hidden)
        self.matrices = Matrices(*(matrix.detach() for matrix in model.parameters()))
        self.hidden1, self.hidden2, self.output = map(
            _parameter, self.matrices.split(self.matrices.values))


def _parameter(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)  # the kernels compute the gradients
