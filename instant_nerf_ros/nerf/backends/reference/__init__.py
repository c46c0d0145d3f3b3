"""The backend in plain PyTorch: the specification, the oracle of the tests, the fallback.

Here are the networks and their optimiser; rays are in reference_rays.py, voxels in
reference_voxels.py.
"""
import torch
from torch import nn

from instant_nerf_ros.nerf.backends.reference.marching import composite, march, median_distance
from instant_nerf_ros.nerf.backends.reference.voxels import carve, states, visit

__all__ = [
    'Adam', 'ColorNetwork', 'DEVICE', 'DRAWS', 'GeometryNetwork', 'NAME', 'SAMPLES', 'WHOLE',
    'carve', 'composite', 'finish', 'march', 'median_distance', 'states', 'together', 'visit',
]  # fmt: skip

NAME = 'reference'
DEVICE = 'cpu'
SAMPLES = 2**13  # of a step, if the settings leave that to the backend
WHOLE, DRAWS = False, False
FEATURES = 4  # per level and entry, as instant-ngp has it today
GEOMETRY = 16  # outputs of the geometry network: log density and what the colour depends on
HARMONICS = 16  # real spherical harmonics up to degree 3
PRIMES = (1, 2654435761, 805459861)  # spatial hash, Mueller et al. 2022, eq. 4


def together(first, second):
    """Call two functions that do not touch the same things, and return both results.

    A backend with cores to spare calls them at the same time.
    """
    return first(), second()


def finish():
    """Wait until all is done that was asked for."""


def hash_encode(positions, table, scales):
    """Interpolate the hash grid: (N, 3) in [0, 1] -> (N, levels * FEATURES) float32.

    Level l has vertices at integer values of ``position * scales[l] + 0.5`` (tiny-cuda-nn's
    convention); every level is hashed. table is (levels, entries, FEATURES).
    """
    encoded = []
    for entries, scale in zip(table, scales):
        scaled = positions * scale + 0.5
        corner = scaled.floor()
        fraction = scaled - corner
        corner = corner.long()
        level = 0.0
        for bits in range(8):
            offset = torch.tensor(
                [bits & 1, bits >> 1 & 1, bits >> 2 & 1], device=positions.device)
            weight = torch.where(offset.bool(), fraction, 1 - fraction).prod(-1, keepdim=True)
            vertex = corner + offset
            index = vertex[:, 0] * PRIMES[0] ^ vertex[:, 1] * PRIMES[1] ^ vertex[:, 2] * PRIMES[2]
            level = level + weight * entries[index & (len(entries) - 1)]
        encoded.append(level)
    return torch.cat(encoded, -1)


def spherical_harmonics(directions):
    """Evaluate the real spherical harmonics up to degree 3: unit (N, 3) -> (N, HARMONICS)."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack([
        torch.full_like(x, 0.28209479177387814),
        -0.48860251190291987 * y,
        0.48860251190291987 * z,
        -0.48860251190291987 * x,
        1.0925484305920792 * x * y,
        -1.0925484305920792 * y * z,
        0.94617469575755997 * zz - 0.31539156525251999,
        -1.0925484305920792 * x * z,
        0.54627421529603959 * (xx - yy),
        0.59004358992664352 * y * (yy - 3 * xx),
        2.8906114426405538 * x * y * z,
        0.45704579946446572 * y * (1 - 5 * zz),
        0.3731763325901154 * z * (5 * zz - 3),
        0.45704579946446572 * x * (1 - 5 * zz),
        1.4453057213202769 * z * (xx - yy),
        0.59004358992664352 * x * (3 * yy - xx),
    ], dim=-1)  # fmt: skip


class GeometryNetwork(nn.Module):
    """Hash grid and one hidden layer: positions -> log density and geometry features."""

    def __init__(self, scales, log2_table, hidden):
        super().__init__()
        self.scales = tuple(scales)
        levels = len(self.scales)
        self.table = nn.Parameter(torch.empty(levels, 2**log2_table, FEATURES))
        nn.init.uniform_(self.table, -1e-4, 1e-4)
        self.hidden = nn.Parameter(glorot(hidden, levels * FEATURES))
        self.output = nn.Parameter(glorot(GEOMETRY, hidden))

    def forward(self, positions):
        """Map positions (N, 3) in [0, 1] to (N, GEOMETRY)."""
        encoded = hash_encode(positions, self.table, self.scales)
        return torch.relu(encoded @ self.hidden.T) @ self.output.T


class ColorNetwork(nn.Module):
    """Two hidden layers: view directions and geometry -> colours."""

    def __init__(self, hidden):
        super().__init__()
        self.hidden1 = nn.Parameter(glorot(hidden, HARMONICS + GEOMETRY))
        self.hidden2 = nn.Parameter(glorot(hidden, hidden))
        self.output = nn.Parameter(glorot(3, hidden))

    def forward(self, directions, ray_indices, geometry):
        """Map geometry (N, GEOMETRY) to colours (N, 3) in [0, 1].

        Sample n is seen along the unit direction directions[ray_indices[n]].
        """
        inputs = torch.cat([spherical_harmonics(directions)[ray_indices], geometry], -1)
        hidden = torch.relu(torch.relu(inputs @ self.hidden1.T) @ self.hidden2.T)
        return torch.sigmoid(hidden @ self.output.T)


def glorot(outputs, inputs):
    """Return a weight matrix (outputs, inputs), uniform after Glorot and Bengio 2010."""
    return nn.init.xavier_uniform_(torch.empty(outputs, inputs))


class Adam:
    """Adam (Kingma and Ba 2015) that leaves grid entries without a gradient as they are.

    Each entry of the grid counts its own updates for the bias correction, so that a place seen
    late learns as fast as one seen early.
    """

    def __init__(self, geometry, color, beta1, beta2, epsilon, weight_decay):
        self.table = geometry.table
        self.matrices = [geometry.hidden, geometry.output, *color.parameters()]
        self.beta1, self.beta2 = beta1, beta2
        self.epsilon, self.weight_decay = epsilon, weight_decay
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.matrices]
        self.table_moments = torch.zeros_like(self.table), torch.zeros_like(self.table)
        self.table_steps = torch.zeros(*self.table.shape[:2], 1)
        self.steps = 0

    @torch.no_grad()
    def step(self, learning_rate):
        """Update all parameters from their gradients."""
        self.steps += 1
        for parameter, moments in zip(self.matrices, self.moments):
            if parameter.grad is not None:
                gradient = parameter.grad + self.weight_decay * parameter
                parameter -= learning_rate * self._change(gradient, moments, self.steps)
        if self.table.grad is None:
            return
        touched = (self.table.grad != 0).any(-1)
        self.table_steps[touched] += 1
        moments = [moment[touched] for moment in self.table_moments]
        change = self._change(self.table.grad[touched], moments, self.table_steps[touched])
        self.table[touched] -= learning_rate * change
        for moment, updated in zip(self.table_moments, moments):
            moment[touched] = updated

    def _change(self, gradient, moments, steps):
        first, second = moments
        first.lerp_(gradient, 1 - self.beta1)
        second.lerp_(gradient * gradient, 1 - self.beta2)
        corrected = second / (1 - self.beta2**steps)
        return first / (1 - self.beta1**steps) / (corrected.sqrt() + self.epsilon)
