"""The optimizer of the CPU backend."""
from typing import cast

import numpy as np
import torch

from instant_nerf_ros.nerf.backends.cpu.kernels import optimizer as kernels
from instant_nerf_ros.nerf.backends.cpu.kernels.train_step import Matrices
from instant_nerf_ros.nerf.backends.cpu.networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.backends.cpu.threads import on_all_cores
from instant_nerf_ros.nerf.backends.protocol import Color, Geometry
from instant_nerf_ros.nerf.constants import HARMONICS

CORRECTIONS = 4096  # updates after which the bias correction of Adam is one in float32


class Adam:
    """See reference.Adam."""

    def __init__(
        self, geometry: Geometry, color: Color, beta1: float, beta2: float, epsilon: float,
        weight_decay: float,
    ) -> None:  # fmt: skip
        self.geometry = cast(GeometryNetwork, geometry)
        self.decay = np.float32(weight_decay)
        matrices = [
            self.geometry.hidden, self.geometry.output, *cast(ColorNetwork, color).parameters()]
        # One vector of them all: an operation on five small arrays takes five times as long.
        self.values = np.concatenate([matrix.numpy().ravel() for matrix in matrices])
        self.gradient, self.first, self.second = np.zeros((3, len(self.values)), dtype=np.float32)
        self.gradients, begin = [], 0
        for matrix in matrices:
            chosen = slice(begin, begin + matrix.numel())
            matrix.data = torch.from_numpy(self.values[chosen]).view(matrix.shape)
            self.gradients.append(self.gradient[chosen].reshape(matrix.shape))
            begin = chosen.stop
        steps = np.arange(CORRECTIONS)
        self.settings = *map(np.float32, (beta1, beta2, epsilon)),
        self.corrections = [(1 - beta**steps).astype(np.float32) for beta in (beta1, beta2)]
        self.steps = 0
        levels, entries = self.geometry.lines.shape[:2]
        self.updates = np.zeros((levels, entries), dtype=np.uint16)  # of each entry
        self.entries = np.empty((levels, entries + 1), dtype=np.int32)  # buffer for lists

    def step(self, learning_rate: float) -> None:
        """Update all parameters from the gradients of the last training step."""
        buffers, rate = self.geometry.step_buffers(0), np.float32(learning_rate)
        settings = (*self.corrections, rate, *self.settings)
        on_all_cores(lambda thread, counter: kernels.update_table(
            buffers.results, buffers.counts, self.geometry.scales, self.geometry.lines,
            self.updates, self.entries, settings, counter))
        self._collect(buffers.sum_matrices())
        self.steps = min(self.steps + 1, CORRECTIONS - 1)
        corrections = (values[self.steps] for values in self.corrections)
        kernels.update_matrices(
            self.values, self.gradient, self.first, self.second, self.decay, *corrections, rate,
            *self.settings)

    def _collect(self, found: Matrices) -> None:
        """Copy gradients, which are padded, into those of the parameters."""
        hidden, output, first, hidden2, colors = self.gradients
        for gradient, values in (
                (hidden, found.hidden), (output, found.geometry),
                (first[:, :HARMONICS], found.directions), (first[:, HARMONICS:], found.features),
                (hidden2, found.hidden2), (colors, found.colors)):
            gradient[:] = values[: gradient.shape[0], : gradient.shape[1]]
