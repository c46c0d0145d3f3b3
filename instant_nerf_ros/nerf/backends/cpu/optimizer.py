"""The optimizer of the CPU backend."""
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from instant_nerf_ros.nerf.backends.cpu.kernels import optimizer as kernels
from instant_nerf_ros.nerf.backends.cpu.kernels.train_step import Matrices
from instant_nerf_ros.nerf.backends.cpu.networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.backends.cpu.threads import on_all_cores
from instant_nerf_ros.nerf.backends.protocol import Color, Geometry
from instant_nerf_ros.nerf.constants import FEATURES, HARMONICS
from instant_nerf_ros.nerf.ranks import ALONE, Ranks

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
        self.counts = np.zeros(levels, dtype=np.int64)  # of what is in these lists

    def step(self, learning_rate: float, ranks: Ranks = ALONE) -> None:
        """Update all parameters from the gradients of the last training step, of all ranks."""
        buffers, rate = self.geometry.step_buffers(0), np.float32(learning_rate)
        settings = (*self.corrections, rate, *self.settings)
        found = buffers.results, buffers.counts, self.geometry.scales, self.geometry.lines
        if ranks.size == 1:
            on_all_cores(lambda thread, counter: kernels.update_table(
                *found, self.updates, self.entries, settings, counter))
        else:
            on_all_cores(lambda thread, counter: kernels.add_gradients(
                *found, self.entries, self.counts, counter))
            self._average(ranks)
            on_all_cores(lambda thread, counter: kernels.update_entries(
                self.geometry.lines, self.updates, self.entries, self.counts, settings, counter))
        self._collect(buffers.sum_matrices())
        ranks.average(torch.from_numpy(self.gradient))
        self.steps = min(self.steps + 1, CORRECTIONS - 1)
        corrections = (values[self.steps] for values in self.corrections)
        kernels.update_matrices(
            self.values, self.gradient, self.first, self.second, self.decay, *corrections, rate,
            *self.settings)

    def _average(self, ranks: Ranks) -> None:
        """Replace the gradients of the entries in the lists by their mean, and list all of them.

        The same as Ranks.average_rows.
        """
        begins = np.concatenate([[0], np.cumsum(self.counts)])
        rows = np.empty(begins[-1], dtype=np.int32)
        values = np.empty((begins[-1], FEATURES), dtype=np.float32)
        on_all_cores(lambda thread, counter: kernels.take_gradients(
            self.geometry.lines, self.entries, self.counts, begins, rows, values,
            np.float32(1 / ranks.size), counter))
        self.counts[:] = 0
        for part in ranks.gather_rows(torch.from_numpy(rows), torch.from_numpy(values)):
            self._add(*(tensor.numpy() for tensor in part))

    def _add(self, rows: NDArray[np.int32], values: NDArray[np.float32]) -> None:
        """Add values (N, FEATURES) to the gradients of rows (N,), in the order of the levels."""
        lines = self.geometry.lines
        levels, entries, _ = lines.shape
        begins = np.searchsorted(rows // entries, np.arange(levels + 1))
        on_all_cores(lambda thread, counter: kernels.add_rows(
            lines, self.entries, self.counts, rows, values, begins, counter))

    def _collect(self, found: Matrices) -> None:
        """Copy gradients, which are padded, into those of the parameters."""
        hidden, output, first, hidden2, colors = self.gradients
        for gradient, values in (
                (hidden, found.hidden), (output, found.geometry),
                (first[:, :HARMONICS], found.directions), (first[:, HARMONICS:], found.features),
                (hidden2, found.hidden2), (colors, found.colors)):
            gradient[:] = values[: gradient.shape[0], : gradient.shape[1]]
