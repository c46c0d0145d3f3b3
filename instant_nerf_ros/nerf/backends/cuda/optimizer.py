"""The optimizer of the GPU backends."""
from __future__ import annotations

import math
from typing import cast

import torch
import triton
from torch import Tensor

from instant_nerf_ros.nerf.backends.cuda.device import DEVICE
from instant_nerf_ros.nerf.backends.cuda.kernels import adam
from instant_nerf_ros.nerf.backends.cuda.networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.backends.protocol import Color, Geometry
from instant_nerf_ros.nerf.constants import FEATURES
from instant_nerf_ros.nerf.ranks import ALONE, Ranks

ENTRIES, VALUES = 256, 256  # of a program


class Adam:
    """See reference.Adam. A step whose loss is not finite changes nothing; the GPU checks that."""

    def __init__(
        self, geometry: Geometry, color: Color, beta1: float, beta2: float, epsilon: float,
        weight_decay: float,
    ) -> None:  # fmt: skip
        self.geometry = cast(GeometryNetwork, geometry)
        self.decay = weight_decay
        self.settings = beta1, beta2, _log2(beta1), _log2(beta2), epsilon
        table = self.geometry.table
        self.moments = torch.zeros_like(table), torch.zeros_like(table)
        self.updates = torch.zeros(table.shape[:2], dtype=torch.int32, device=DEVICE)
        self.matrices = [
            (matrices, torch.zeros_like(matrices.values), torch.zeros_like(matrices.values),
             torch.zeros(_blocks(matrices.values), dtype=torch.int32, device=DEVICE))
            for matrices in (self.geometry.matrices, cast(ColorNetwork, color).matrices)]

    def step(self, learning_rate: float, ranks: Ranks = ALONE) -> None:
        """Update all parameters from the gradients of the last training step, of all ranks."""
        if ranks.size > 1:
            self._average(ranks)
        geometry, buffers = self.geometry, self.geometry.step_buffers
        assert buffers is not None, 'there was no training step'
        entries = self.updates.numel()
        adam.update_table[(triton.cdiv(entries, ENTRIES),)](
            geometry.table, geometry.table_half, geometry.gradients, *self.moments, self.updates,
            buffers.terms, entries, learning_rate, *self.settings, 1 / buffers.gain, ENTRIES)
        for matrices, first, second, updates in self.matrices:
            adam.update_matrices[(len(updates),)](
                matrices.values, matrices.gradients, first, second, updates, buffers.terms,
                matrices.values.numel(), learning_rate, *self.settings, self.decay,
                1 / buffers.gain, VALUES)
        buffers.mark_used()

    def _average(self, ranks: Ranks) -> None:
        gradients = self.geometry.gradients.view(-1, FEATURES)
        ranks.average_rows(gradients, torch.nonzero((gradients != 0).any(-1))[:, 0])
        for matrices, *_ in self.matrices:
            ranks.average(matrices.gradients)


def _log2(beta: float) -> float:
    return math.log2(beta) if beta > 0 else -1e4  # 2 ** (-1e4 n) is zero


def _blocks(values: Tensor) -> int:
    return triton.cdiv(values.numel(), VALUES)
