"""The optimizer in plain PyTorch."""
from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from instant_nerf_ros.nerf.backends.protocol import Color, Geometry
from instant_nerf_ros.nerf.backends.reference.networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.ranks import ALONE, Ranks


class Adam:
    """Adam (Kingma and Ba 2015) that does not change grid entries without a gradient.

    Each entry of the grid counts its own updates for the bias correction, so that places sampled
    late learn as fast as those sampled early.
    """

    def __init__(
        self, geometry: Geometry, color: Color, beta1: float, beta2: float, epsilon: float,
        weight_decay: float,
    ) -> None:  # fmt: skip
        geometry, color = cast(GeometryNetwork, geometry), cast(ColorNetwork, color)
        self.table = geometry.table
        self.matrices = [geometry.hidden, geometry.output, *color.parameters()]
        self.beta1, self.beta2 = beta1, beta2
        self.epsilon, self.weight_decay = epsilon, weight_decay
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.matrices]
        self.table_moments = torch.zeros_like(self.table), torch.zeros_like(self.table)
        self.table_steps = torch.zeros(*self.table.shape[:2], 1)
        self.steps = 0

    @torch.no_grad()
    def step(self, learning_rate: float, ranks: Ranks = ALONE) -> None:
        """Update all parameters from their gradients, averaged over the ranks."""
        self.steps += 1
        gradient, *of_matrices = (self._averaged(p, ranks) for p in (self.table, *self.matrices))
        for parameter, moments, of_matrix in zip(self.matrices, self.moments, of_matrices):
            if of_matrix is not None:
                of_matrix = of_matrix + self.weight_decay * parameter
                parameter.sub_(learning_rate * self._change(of_matrix, moments, self.steps))
        if gradient is None:
            return
        touched = (gradient != 0).any(-1)
        self.table_steps[touched] += 1
        first, second = (moment[touched] for moment in self.table_moments)
        updated_moments = first, second
        change = self._change(gradient[touched], updated_moments, self.table_steps[touched])
        self.table[touched] -= learning_rate * change
        for moment, updated in zip(self.table_moments, updated_moments):
            moment[touched] = updated

    def _averaged(self, parameter: Tensor, ranks: Ranks) -> Tensor | None:
        """Return the mean gradient of a parameter; None where no ray has a sample."""
        if ranks.size == 1:
            return parameter.grad
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if parameter is self.table:
            rows = gradient.flatten(0, 1)
            ranks.average_rows(rows, torch.nonzero((rows != 0).any(-1))[:, 0])
        else:
            ranks.average(gradient)
        return gradient

    def _change(
        self, gradient: Tensor, moments: tuple[Tensor, Tensor], steps: Tensor | int,
    ) -> Tensor:  # fmt: skip
        first, second = moments
        first.lerp_(gradient, 1 - self.beta1)
        second.lerp_(gradient * gradient, 1 - self.beta2)
        corrected = second / (1 - self.beta2**steps)
        return first / (1 - self.beta1**steps) / (corrected.sqrt() + self.epsilon)
