"""The networks of the GPU backend in tinycudann; the only file that imports it.

See https://github.com/NVlabs/tiny-cuda-nn, DOCUMENTATION.md, for the names of its settings.
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import tinycudann
import torch
from torch import Tensor, nn

from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.backends.cuda.device import DEVICE
from instant_nerf_ros.nerf.constants import FEATURES, GEOMETRY, LOSS_TERMS, MAX_HALF_GRADIENT

WIDTHS = 16, 32, 64, 128  # of its fused networks
ALIGNED = 16  # rows and columns of its matrices are a multiple of that
# Factor of the gradients of a mean over the rays, so that they fit into half precision, in which
# tinycudann also sums them. It replaces tinycudann's own scale, which is removed before the
# gradients leave half precision.
GAIN = 2.0**12


def unsupported(scales: Sequence[float], log2_table: int, hidden: int) -> str | None:
    """Return why tinycudann does not support a field with these settings; None if it does.

    Its coarsest level has a whole number of vertices along an edge, and it does not hash a level
    with no more vertices than entries.
    """
    if hidden not in WIDTHS:
        return f'its networks are 16, 32, 64 or 128 wide, not {hidden} (field.hidden)'
    if not math.isclose(scales[0], round(scales[0]), abs_tol=1e-6):
        return ('it needs a whole number of cells on the coarsest level, not '
                f'{scales[0]:.2f} (field.coarsest_cell)')
    if (math.ceil(min(scales)) + 1) ** 3 <= 2**log2_table:
        return ('it does not hash a level that has no more vertices than entries '
                '(field.coarsest_cell, field.log2_table)')
    return None


class _Network:
    """A network of tinycudann, with parameters of the names and shapes that all backends share.

    They are parts of tinycudann's vector: the matrices, row by row, padded with zeros, and then
    the grid. So nothing is ever converted. All are float32; tinycudann makes them half itself.
    """

    def __init__(self, network: Any, model: nn.Module) -> None:
        network.loss_scale = 1.0
        self._network = network
        self.values = network.params.detach().zero_()
        self._parameters = {}
        self._end = 0  # of the matrices
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                padded = [-(-size // ALIGNED) * ALIGNED for size in parameter.shape]
                begin, self._end = self._end, self._end + math.prod(padded)
                rows, columns = parameter.shape
                self._parameters[name] = (
                    self.values[begin : self._end].view(padded)[:rows, :columns])
        grid = [parameter for parameter in model.parameters() if parameter.ndim == 3]
        if len(self.values) != self._end + sum(parameter.numel() for parameter in grid):
            raise RuntimeError('this version of tinycudann has another layout of parameters')
        if grid:
            table = self.values[self._end :].view(grid[0].shape)
            self._parameters = {'table': table, **self._parameters}
        for name, parameter in model.named_parameters():
            self._parameters[name].copy_(parameter.detach())
        self.matrices = _Matrices(self)

    def named_parameters(self) -> Iterable[tuple[str, Tensor]]:
        """Return pairs of a name and a tensor, like a torch.nn.Module."""
        return self._parameters.items()

    def zero_grad(self) -> None:
        """Clear the gradients."""
        self._network.params.grad = None

    def all_gradients(self) -> Tensor:
        """Return GAIN times the gradients, a vector like the values."""
        params = self._network.params
        if params.grad is None:  # the network was not evaluated
            params.grad = torch.zeros_like(params)
        gradients: Tensor = params.grad
        return gradients

    def matrix_values(self) -> Tensor:
        """Return the values of the matrices, a vector."""
        return self.values[: self._end]

    def evaluate(self, inputs: Tensor) -> Tensor:
        """Return the outputs, float32."""
        return _Scaled.apply(self._network(_Scaled.apply(inputs, 1 / GAIN)), GAIN)


class _Matrices:
    """The matrices of a network in one vector, as cuda.optimizer.Adam needs them."""

    def __init__(self, network: _Network) -> None:
        self._network = network
        self.values = network.matrix_values()

    @property
    def gradients(self) -> Tensor:
        """Return GAIN times their gradients."""
        return self._network.all_gradients()[: len(self.values)]


class _Step:
    """What cuda.optimizer.Adam needs of a step; the host has checked that its loss is finite."""

    def __init__(self) -> None:
        self.terms, self.gain = torch.zeros(len(LOSS_TERMS), device=DEVICE), GAIN

    def mark_used(self) -> None:
        """Do nothing: zero_grad clears the gradients before each step."""


class GeometryNetwork(_Network):
    """See reference.GeometryNetwork."""

    table_half = None  # of the table: tinycudann makes its own

    def __init__(self, scales: Sequence[float], log2_table: int, hidden: int) -> None:
        if reason := unsupported(scales, log2_table, hidden):
            raise ValueError(reason)
        levels = len(scales)
        growth = ((scales[-1] + 1) / (scales[0] + 1)) ** (1 / max(levels - 1, 1))
        grid = {
            'otype': 'HashGrid', 'n_levels': levels, 'n_features_per_level': FEATURES,
            'log2_hashmap_size': log2_table, 'base_resolution': round(scales[0]) + 1,
            'per_level_scale': growth, 'interpolation': 'Linear',
        }  # fmt: skip
        super().__init__(
            tinycudann.NetworkWithInputEncoding(3, GEOMETRY, grid, _fused(hidden, 1)),
            reference.GeometryNetwork(scales, log2_table, hidden))
        self.table = self._parameters['table']
        self.step_buffers = _Step()

    def __call__(self, positions: Tensor) -> Tensor:
        """Map positions (N, 3) in [0, 1] to (N, GEOMETRY)."""
        if not len(positions):
            return torch.zeros(0, GEOMETRY, device=DEVICE, requires_grad=True)
        return self.evaluate(positions.to(DEVICE))

    @property
    def gradients(self) -> Tensor:
        """Return GAIN times the gradients of the table."""
        return self.all_gradients()[self._end :].view(self.table.shape)


class ColorNetwork(_Network):
    """See reference.ColorNetwork."""

    def __init__(self, hidden: int) -> None:
        harmonics = {'otype': 'SphericalHarmonics', 'degree': 4, 'n_dims_to_encode': 3}
        encoding = {'otype': 'Composite', 'nested': [harmonics, {'otype': 'Identity'}]}
        super().__init__(
            tinycudann.NetworkWithInputEncoding(3 + GEOMETRY, 3, encoding, _fused(hidden, 2)),
            reference.ColorNetwork(hidden))

    def __call__(self, directions: Tensor, ray_indices: Tensor, geometry: Tensor) -> Tensor:
        """Map geometry (N, GEOMETRY) to colors (N, 3) in [0, 1]."""
        if not len(geometry):
            return geometry.new_zeros(0, 3)
        inputs = (directions[ray_indices] + 1) / 2  # tinycudann's convention
        return torch.sigmoid(self.evaluate(torch.cat([inputs, geometry], -1)))


def _fused(hidden: int, layers: int) -> dict[str, Any]:
    return {'otype': 'FullyFusedMLP', 'activation': 'ReLU', 'output_activation': 'None',
            'n_neurons': hidden, 'n_hidden_layers': layers}


class _Scaled(torch.autograd.Function):
    """Return values in float32; their gradient is multiplied, and bounded to half precision."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, gain: float) -> Tensor:
        ctx.gain = gain
        return values.float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return (gradient * ctx.gain).clamp(-MAX_HALF_GRADIENT, MAX_HALF_GRADIENT), None
