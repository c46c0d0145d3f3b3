"""Radiance field: density and color at positions in the world.

This is the only place where metres become the unit cube of the hash grid. The cube is far larger
than any map, so the grid has no border: its vertices lie on a lattice fixed in the world, and
hashing spends entries only on places that rays have sampled.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from instant_nerf_ros.nerf.constants import MAX_LOG_DENSITY
from instant_nerf_ros.nerf.field.samples import Samples

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend, Color, Geometry
    from instant_nerf_ros.nerf.config import FieldConfig

EXTENT = 512.0  # metres, edge of the unit cube, centred on the origin


def geometry_settings(config: FieldConfig) -> tuple[list[float], int, int]:
    """Return the arguments of Backend.GeometryNetwork: scales, log2_table, hidden."""
    growth = 1.0
    if config.levels > 1:
        growth = (config.coarsest_cell / config.finest_cell) ** (1 / (config.levels - 1))
    # tiny-cuda-nn's convention: scale = base * growth^level - 1, base = vertices per axis.
    base = EXTENT / config.coarsest_cell + 1
    scales = [base * growth**level - 1 for level in range(config.levels)]
    return scales, config.log2_table, config.hidden


class _TruncatedExp(torch.autograd.Function):
    """exp, with the gradient bounded where exp becomes too large (Mueller et al. 2022)."""

    @staticmethod
    def forward(ctx: Any, logarithm: Tensor) -> Tensor:
        density = logarithm.clamp(max=MAX_LOG_DENSITY).exp()
        ctx.save_for_backward(density)
        return density

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        [density] = ctx.saved_tensors
        return gradient * density


class RadianceField:
    """A hash grid and two small networks. Positions are in metres."""

    extent = EXTENT

    def __init__(self, config: FieldConfig, backend: Backend) -> None:
        self.geometry = backend.GeometryNetwork(*geometry_settings(config))
        self.color = backend.ColorNetwork(config.hidden)

    def __call__(
        self, samples: Samples, directions: Tensor, visible: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Return densities (N,) per metre and colors (N, 3) of samples on rays (R, 3).

        visible(densities) returns which samples (N,) contribute to a pixel; the color network is
        evaluated for these only, the others are black.
        """
        geometry = self.geometry(samples.positions / EXTENT + 0.5)
        densities: Tensor = _TruncatedExp.apply(geometry[:, 0])
        index = torch.nonzero(visible(densities.detach()))[:, 0]
        colors = self.color(directions, samples.ray_indices[index], geometry[index])
        return densities, colors.new_zeros(len(densities), 3).index_copy(0, index, colors)

    @torch.no_grad()
    def density(self, positions: Tensor) -> Tensor:
        """Return the densities (N,) per metre at positions (N, 3), without gradient."""
        density: Tensor = _TruncatedExp.apply(self.geometry(positions / EXTENT + 0.5)[:, 0])
        return density

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for network in (self.geometry, self.color):
            network.zero_grad()

    def state(self) -> dict[str, Tensor]:
        """Return all parameters as {name: tensor}, with the same names for every backend."""
        networks: dict[str, Geometry | Color] = {'geometry': self.geometry, 'color': self.color}
        return {
            f'{network}.{name}': parameter.detach()
            for network, module in networks.items()
            for name, parameter in module.named_parameters()
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Copy parameters from a dictionary like that of `state`.

        Raises ValueError where names or shapes differ.
        """
        own = self.state()
        if own.keys() != state.keys():
            raise ValueError(f'the field has {sorted(own)}, the file {sorted(state)}')
        for name, parameter in own.items():
            if parameter.shape != state[name].shape:
                raise ValueError(
                    f'{name} is {tuple(parameter.shape)} here but {tuple(state[name].shape)} in '
                    'the file: load it with the field settings that it was saved with')
        for name, parameter in own.items():
            parameter.copy_(torch.as_tensor(state[name]))
