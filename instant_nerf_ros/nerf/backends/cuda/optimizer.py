"""The optimiser of the GPU backend."""
import math

import torch
import triton

from instant_nerf_ros.nerf.backends.cuda.kernels import adam
from instant_nerf_ros.nerf.backends.cuda.device import DEVICE

ENTRIES, VALUES = 256, 256  # of a program


class Adam:
    """See reference.Adam. A step whose loss is no number changes nothing, which the GPU sees."""

    def __init__(self, geometry, color, beta1, beta2, epsilon, weight_decay):
        self.geometry, self.decay = geometry, weight_decay
        self.settings = beta1, beta2, _log2(beta1), _log2(beta2), epsilon
        table = geometry.table
        self.moments = torch.zeros_like(table), torch.zeros_like(table)
        self.updates = torch.zeros(table.shape[:2], dtype=torch.int32, device=DEVICE)
        self.matrices = [
            (matrices, torch.zeros_like(matrices.values), torch.zeros_like(matrices.values),
             torch.zeros(_blocks(matrices.values), dtype=torch.int32, device=DEVICE))
            for matrices in (geometry.matrices, color.matrices)]

    def step(self, learning_rate):
        """Update all parameters from the gradients of the last lesson."""
        geometry, room = self.geometry, self.geometry.room
        entries = self.updates.numel()
        adam.grid[(triton.cdiv(entries, ENTRIES),)](
            geometry.table, geometry.half, geometry.slopes, *self.moments, self.updates,
            room.terms, entries, learning_rate, *self.settings, 1 / room.gain, ENTRIES)
        for matrices, first, second, updates in self.matrices:
            adam.matrices[(len(updates),)](
                matrices.values, matrices.slopes, first, second, updates, room.terms,
                matrices.values.numel(), learning_rate, *self.settings, self.decay,
                1 / room.gain, VALUES)
        room.taken = True


def _log2(beta):
    return math.log2(beta) if beta > 0 else -1e4  # 2 ** (-1e4 n) is zero


def _blocks(values):
    return triton.cdiv(values.numel(), VALUES)
