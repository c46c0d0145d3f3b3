"""The networks in plain PyTorch: hash grid, spherical harmonics and two small MLPs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from instant_nerf_ros.nerf.constants import FEATURES, GEOMETRY, HARMONICS, PRIMES


def hash_encode(positions: Tensor, table: Tensor, scales: Sequence[float]) -> Tensor:
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
        level = positions.new_zeros(())
        for bits in range(8):
            offset = torch.tensor(
                [bits & 1, bits >> 1 & 1, bits >> 2 & 1], device=positions.device)
            weight = torch.where(offset.bool(), fraction, 1 - fraction).prod(-1, keepdim=True)
            vertex = corner + offset
            index = vertex[:, 0] * PRIMES[0] ^ vertex[:, 1] * PRIMES[1] ^ vertex[:, 2] * PRIMES[2]
            level = level + weight * entries[index & (len(entries) - 1)]
        encoded.append(level)
    return torch.cat(encoded, -1)


def spherical_harmonics(directions: Tensor) -> Tensor:
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

    def __init__(self, scales: Sequence[float], log2_table: int, hidden: int) -> None:
        super().__init__()
        self.scales = tuple(scales)
        levels = len(self.scales)
        self.table = nn.Parameter(torch.empty(levels, 2**log2_table, FEATURES))
        nn.init.uniform_(self.table, -1e-4, 1e-4)
        self.hidden = nn.Parameter(glorot(hidden, levels * FEATURES))
        self.output = nn.Parameter(glorot(GEOMETRY, hidden))

    def forward(self, positions: Tensor) -> Tensor:
        """Map positions (N, 3) in [0, 1] to (N, GEOMETRY)."""
        encoded = hash_encode(positions, self.table, self.scales)
        return torch.relu(encoded @ self.hidden.T) @ self.output.T


class ColorNetwork(nn.Module):
    """Two hidden layers: view directions and geometry -> colors."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden1 = nn.Parameter(glorot(hidden, HARMONICS + GEOMETRY))
        self.hidden2 = nn.Parameter(glorot(hidden, hidden))
        self.output = nn.Parameter(glorot(3, hidden))

    def forward(
        self, directions: Tensor, ray_indices: Tensor, geometry: Tensor,
    ) -> Tensor:  # fmt: skip
        """Map geometry (N, GEOMETRY) to colors (N, 3) in [0, 1].

        Sample n is seen along the unit direction directions[ray_indices[n]].
        """
        inputs = torch.cat([spherical_harmonics(directions)[ray_indices], geometry], -1)
        hidden = torch.relu(torch.relu(inputs @ self.hidden1.T) @ self.hidden2.T)
        return torch.sigmoid(hidden @ self.output.T)


def glorot(outputs: int, inputs: int) -> Tensor:
    """Return a weight matrix (outputs, inputs), uniform after Glorot and Bengio 2010."""
    return nn.init.xavier_uniform_(torch.empty(outputs, inputs))
