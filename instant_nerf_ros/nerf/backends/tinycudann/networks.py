"""The networks of the GPU backend in tinycudann; the only file that imports it.

See https://github.com/NVlabs/tiny-cuda-nn, DOCUMENTATION.md, for the names of its settings.
"""
import math

import tinycudann
import torch

from instant_nerf_ros.nerf.backends import reference
from instant_nerf_ros.nerf.backends.cuda.device import DEVICE
from instant_nerf_ros.nerf.backends.reference import FEATURES, GEOMETRY

WIDTHS = 16, 32, 64, 128  # of its fused networks
ALIGNED = 16  # rows and columns of its matrices are a multiple of that
# Of the gradients of a mean over the rays, so that they fit into half precision, in which
# tinycudann also adds them up. In place of its own scale, from which it comes back too early.
GAIN = 2.0**12
LARGEST = 60000.0  # gradient in half precision


def unfit(scales, log2_table, hidden):
    """Return why tinycudann cannot have the field of these settings, or None: it can.

    It has a whole number of vertices along an edge of the coarsest level, and does not hash a
    level with no more vertices than entries.
    """
    if hidden not in WIDTHS:
        return f'its networks are 16, 32, 64 or 128 wide, not {hidden} (field.hidden)'
    if not math.isclose(scales[0], round(scales[0]), abs_tol=1e-6):
        return ('it wants a whole number of cells on the coarsest level, not '
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

    def __init__(self, network, model):
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
            raise RuntimeError('this tinycudann lays its parameters out in another way')
        if grid:
            table = self.values[self._end :].view(grid[0].shape)
            self._parameters = {'table': table, **self._parameters}
        for name, parameter in model.named_parameters():
            self._parameters[name].copy_(parameter.detach())
        self.matrices = _Matrices(self)

    def named_parameters(self):
        """Return pairs of a name and a tensor, as a torch.nn.Module does."""
        return self._parameters.items()

    def zero_grad(self):
        """Forget the gradients."""
        self._network.params.grad = None

    def gradients(self):
        """Return GAIN times the gradients, a vector as the values are."""
        params = self._network.params
        if params.grad is None:  # nothing was asked
            params.grad = torch.zeros_like(params)
        return params.grad

    def ask(self, inputs):
        """Return the outputs, float32."""
        return _Scaled.apply(self._network(_Scaled.apply(inputs, 1 / GAIN)), GAIN)


class _Matrices:
    """The matrices of a network, in a row, as cuda_adam.Adam wants them."""

    def __init__(self, network):
        self._network = network
        self.values = network.values[: network._end]

    @property
    def slopes(self):
        """Return GAIN times their gradients."""
        return self._network.gradients()[: len(self.values)]


class _Step:
    """What cuda_adam.Adam asks of a step: here the host has seen that its loss is a number."""

    def __init__(self):
        self.terms, self.gain, self.taken = torch.zeros(5, device=DEVICE), GAIN, True


class GeometryNetwork(_Network):
    """See reference.GeometryNetwork."""

    half = None  # of the table: tinycudann makes its own

    def __init__(self, scales, log2_table, hidden):
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
        self.room = _Step()

    def __call__(self, positions):
        """Map positions (N, 3) in [0, 1] to (N, GEOMETRY)."""
        if not len(positions):
            return torch.zeros(0, GEOMETRY, device=DEVICE, requires_grad=True)
        return self.ask(positions.to(DEVICE))

    @property
    def slopes(self):
        """Return GAIN times the gradients of the table."""
        return self.gradients()[self._end :].view(self.table.shape)


class ColorNetwork(_Network):
    """See reference.ColorNetwork."""

    def __init__(self, hidden):
        harmonics = {'otype': 'SphericalHarmonics', 'degree': 4, 'n_dims_to_encode': 3}
        encoding = {'otype': 'Composite', 'nested': [harmonics, {'otype': 'Identity'}]}
        super().__init__(
            tinycudann.NetworkWithInputEncoding(3 + GEOMETRY, 3, encoding, _fused(hidden, 2)),
            reference.ColorNetwork(hidden))

    def __call__(self, directions, ray_indices, geometry):
        """Map geometry (N, GEOMETRY) to colours (N, 3) in [0, 1]."""
        if not len(geometry):
            return geometry.new_zeros(0, 3)
        places = (directions[ray_indices] + 1) / 2  # as tinycudann wants directions
        return torch.sigmoid(self.ask(torch.cat([places, geometry], -1)))


def _fused(hidden, layers):
    return {'otype': 'FullyFusedMLP', 'activation': 'ReLU', 'output_activation': 'None',
            'n_neurons': hidden, 'n_hidden_layers': layers}


class _Scaled(torch.autograd.Function):
    """Return values in float32; their gradient is multiplied, and bounded to half precision."""

    @staticmethod
    def forward(ctx, values, gain):
        ctx.gain = gain
        return values.float()

    @staticmethod
    def backward(ctx, gradient):
        return (gradient * ctx.gain).clamp(-LARGEST, LARGEST), None
