"""The networks of the GPU backend: parameters as the reference has them, and their gradients."""
import torch
import triton
from torch import nn

from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.backends.cuda.kernels import networks
from instant_nerf_ros.nerf.backends.cuda.device import DEVICE
from instant_nerf_ros.nerf.backends.reference import FEATURES, GEOMETRY

ASKED = 128  # positions of a program


class Matrices:
    """Weight matrices that lie in one vector, as do their gradients: one launch does for all."""

    def __init__(self, *matrices):
        self.values = torch.cat([matrix.flatten() for matrix in matrices]).to(DEVICE)
        self.slopes = torch.zeros_like(self.values)
        self.shapes = [matrix.shape for matrix in matrices]

    def split(self, vector):
        """Return the matrices that lie in a vector."""
        parts = vector.split([shape.numel() for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes)]


class GeometryNetwork(nn.Module):
    """See reference.GeometryNetwork. The kernels read the table in half precision."""

    def __init__(self, scales, log2_table, hidden):
        super().__init__()
        model = reference.GeometryNetwork(scales, log2_table, hidden)
        self.levels, self.entries = len(scales), 2**log2_table
        self.slots = max(4, triton.next_power_of_2(self.levels))  # levels of the kernels
        self.width = max(16, triton.next_power_of_2(hidden))  # of the hidden layer, there
        self.scales = torch.tensor(scales, dtype=torch.float32, device=DEVICE)
        self.matrices = Matrices(model.hidden.detach(), model.output.detach())
        self.table = _parameter(model.table.detach().to(DEVICE))
        self.hidden, self.output = map(_parameter, self.matrices.split(self.matrices.values))
        self.half = torch.empty_like(self.table, dtype=torch.float16)
        self.slopes = torch.zeros_like(self.half)
        self.room = None  # see cuda_lesson.Room
        self._version = None

    def refresh(self):
        """Take over what others than the kernels have written to the table."""
        if self._version != self.table._version:
            self.half.copy_(self.table)
            self._version = self.table._version

    @torch.no_grad()
    def forward(self, positions):
        """Map positions (N, 3) in [0, 1] to (N, GEOMETRY); without gradient."""
        self.refresh()
        positions = positions.to(DEVICE).contiguous()
        results = torch.empty(len(positions), GEOMETRY, device=DEVICE)
        if len(positions):
            networks.ask[(triton.cdiv(len(positions), ASKED),)](
                positions, len(positions), self.half, self.scales, self.entries,
                self.hidden, self.output, results, self.levels, self.slots,
                self.hidden.shape[0], self.width, ASKED)
        return results

    @property
    def columns(self):
        """Return how many features an encoding has in the kernels."""
        return self.slots * FEATURES


class ColorNetwork(nn.Module):
    """See reference.ColorNetwork."""

    def __init__(self, hidden):
        super().__init__()
        model = reference.ColorNetwork(hidden)
        self.matrices = Matrices(*(matrix.detach() for matrix in model.parameters()))
        self.hidden1, self.hidden2, self.output = map(
            _parameter, self.matrices.split(self.matrices.values))


def _parameter(values):
    return nn.Parameter(values, requires_grad=False)  # gradients are the kernels' affair
