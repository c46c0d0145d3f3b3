"""A stand-in for tinycudann in plain PyTorch, written after its documentation, for tests.

Parameters are one vector of float32, network first: its matrices (outputs, inputs), row by row,
with outputs and inputs padded to multiples of 16, then the levels of the grid, one after another,
with the features of an entry adjacent. Networks compute in half precision. Sizes, hash and
vertices are those of https://github.com/NVlabs/tiny-cuda-nn.
"""
import itertools
import math

import torch

from instant_nerf_ros.nerf.backends.cuda.device import DEVICE

ALIGNED, PRIMES = 16, (1, 2654435761, 805459861)
SCALE = 128.0  # of gradients in half precision


class NetworkWithInputEncoding(torch.nn.Module):
    """An encoding and a fully fused network; float32 (N, inputs) -> half (N, outputs)."""

    def __init__(self, n_input_dims, n_output_dims, encoding_config, network_config, seed=1337):
        super().__init__()
        assert network_config['otype'] == 'FullyFusedMLP'
        assert network_config['activation'] == 'ReLU'
        assert network_config['output_activation'] == 'None'
        width, layers = network_config['n_neurons'], network_config['n_hidden_layers']
        if width not in (16, 32, 64, 128):
            raise RuntimeError('FullyFusedMLP only supports 16, 32, 64, and 128 neurons')
        self.inputs, self.outputs = n_input_dims, n_output_dims
        self.encoding = make(n_input_dims, encoding_config)
        self.encoded = padded(self.encoding.outputs)
        self.shapes = [(width, self.encoded)] + [(width, width)] * (layers - 1)
        self.shapes.append((padded(n_output_dims), width))
        size = sum(rows * columns for rows, columns in self.shapes) + self.encoding.size
        random = torch.Generator().manual_seed(seed)
        params = torch.rand(size, generator=random) * 2e-4 - 1e-4
        self.params = torch.nn.Parameter(params.to(DEVICE))
        self.loss_scale = SCALE

    def forward(self, inputs):
        assert inputs.shape[1] == self.inputs
        return _Scaled.apply(self, inputs.float(), self.params.half())

    def compute(self, inputs, params):
        sizes = [rows * columns for rows, columns in self.shapes] + [self.encoding.size]
        *matrices, grid = params.float().split(sizes)
        values = self.encoding(inputs, grid)
        blank = self.encoded - values.shape[1]
        values = torch.nn.functional.pad(values, [0, blank]).half().float()
        for number, (matrix, shape) in enumerate(zip(matrices, self.shapes)):
            if number:
                values = torch.relu(values)
            values = (values @ matrix.view(shape).T).half().float()
        return values[:, : self.outputs].half()


class _Scaled(torch.autograd.Function):
    """The backward pass of the bindings: gradients are scaled while they are computed in half."""

    @staticmethod
    def forward(ctx, network, inputs, params):
        ctx.network = network
        ctx.save_for_backward(inputs, params)
        return network.compute(inputs, params)

    @staticmethod
    def backward(ctx, gradient):
        assert gradient.dtype == torch.float16
        inputs, params = (values.detach().requires_grad_() for values in ctx.saved_tensors)
        scale = ctx.network.loss_scale
        with torch.enable_grad():
            outputs = ctx.network.compute(inputs, params)
            by_input, by_params = torch.autograd.grad(
                outputs, [inputs, params], gradient * scale, allow_unused=True)
        by_input = by_input / scale if by_input is not None else None
        return None, by_input, by_params / scale


def padded(size):
    return -(-size // ALIGNED) * ALIGNED


def make(inputs, config):
    kinds = {'HashGrid': HashGrid, 'SphericalHarmonics': SphericalHarmonics,
             'Identity': Identity, 'Composite': Composite}  # fmt: skip
    return kinds[config['otype']](inputs, config)


class HashGrid:
    def __init__(self, inputs, config):
        assert inputs == 3 and config['interpolation'] == 'Linear'
        self.levels, self.features = config['n_levels'], config['n_features_per_level']
        self.scales, self.sizes, self.resolutions = [], [], []
        for level in range(self.levels):
            scale = 2 ** (level * math.log2(config['per_level_scale']))
            scale = scale * config['base_resolution'] - 1.0
            resolution = math.ceil(scale) + 1
            dense = -(-(resolution**3) // 8) * 8
            self.scales.append(scale)
            self.resolutions.append(resolution)
            self.sizes.append(min(dense, 2 ** config['log2_hashmap_size']))
        self.outputs = self.levels * self.features
        self.size = sum(self.sizes) * self.features

    def __call__(self, positions, grid):
        encoded = []
        levels = grid.split([size * self.features for size in self.sizes])
        for values, scale, size, edge in zip(levels, self.scales, self.sizes, self.resolutions):
            values = values.view(size, self.features)
            place = positions * scale + 0.5
            low = place.floor()
            share = place - low
            level = 0.0
            for corner in itertools.product((0, 1), repeat=3):
                corner = torch.tensor(corner)
                weight = torch.where(corner == 1, share, 1 - share).prod(-1, keepdim=True)
                x, y, z = ((low.long() + corner) & 0xFFFFFFFF).unbind(-1)
                if size < edge**3:
                    index = x * PRIMES[0] ^ (y * PRIMES[1]) ^ (z * PRIMES[2])
                    index = (index & 0xFFFFFFFF) % size
                else:
                    index = (x + edge * (y + edge * z)) % size
                level = level + weight * values[index]
            encoded.append(level)
        return torch.cat(encoded, -1)


class SphericalHarmonics:
    size = 0

    def __init__(self, inputs, config):
        assert inputs == 3 and config['degree'] == 4
        self.outputs = 16

    def __call__(self, places, grid):
        x, y, z = (places * 2 - 1).unbind(-1)
        xx, yy, zz = x * x, y * y, z * z
        return torch.stack([
            torch.full_like(x, 0.5 / math.pi**0.5), -0.4886025119 * y, 0.4886025119 * z,
            -0.4886025119 * x, 1.0925484306 * x * y, -1.0925484306 * y * z,
            0.9461746958 * zz - 0.3153915653, -1.0925484306 * x * z,
            0.5462742153 * (xx - yy), 0.5900435899 * y * (yy - 3 * xx),
            2.8906114426 * x * y * z, 0.4570457995 * y * (1 - 5 * zz),
            0.3731763326 * z * (5 * zz - 3), 0.4570457995 * x * (1 - 5 * zz),
            1.4453057213 * z * (xx - yy), 0.5900435899 * x * (3 * yy - xx),
        ], dim=-1)  # fmt: skip


class Identity:
    size = 0

    def __init__(self, inputs, config):
        self.outputs = inputs

    def __call__(self, values, grid):
        return values


class Composite:
    size = 0

    def __init__(self, inputs, config):
        self.parts, self.sizes = [], []
        for part in config['nested']:
            left = inputs - sum(self.sizes)
            self.sizes.append(part.get('n_dims_to_encode', left))
            self.parts.append(make(self.sizes[-1], part))
        self.outputs = sum(part.outputs for part in self.parts)

    def __call__(self, values, grid):
        parts = zip(self.parts, values.split(self.sizes, -1))
        return torch.cat([part(mine, grid) for part, mine in parts], -1)
