"""The arrays that the threads of a training step write, allocated once."""
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.backends.cpu.kernels.pixels import COUNTS, VISIBLE_SAMPLES, Rendered
from instant_nerf_ros.nerf.backends.cpu.kernels.ray_tracing import Chunk
from instant_nerf_ros.nerf.backends.cpu.kernels.train_step import (
    Matrices,
    make_backward_work,
    make_gradients,
    make_results,
)


class StepBuffers:
    """What the threads write in a training step; the gradients stay here for the optimizer."""

    def __init__(self, chunks: Sequence[Chunk], samples: int) -> None:
        """Make buffers for the threads of these chunks, each with so many samples."""
        hidden, encoded = chunks[0].hidden.shape[1], chunks[0].encoded.shape[1]
        self.works = [make_backward_work(hidden) for _ in chunks]
        self.results = tuple(make_results(samples, encoded, hidden) for _ in chunks)
        self.counts = np.zeros((len(self.results), COUNTS))
        self._gradients, self._matrices = make_gradients(encoded, hidden)  # sums over the threads
        self._rays, samples = 0, samples * len(self.results)
        self._positions = np.empty((samples, 3), dtype=np.float32)
        self._densities = np.empty(samples, dtype=np.float32)

    def clear(self, rays: int) -> tuple[Rendered, NDArray[np.float32]]:
        """Clear all for the next step; return Rendered and pixels (R, 3) for so many rays."""
        self.counts[:] = 0
        for results in self.results:
            results.gradients[:] = 0
        if rays > self._rays:
            self._rays = 2 * rays
            self._rendered = empty_rendering(self._rays)
            self._pixels = np.empty((self._rays, 3), np.float32)
        rendered = Rendered(*(values[:rays] for values in self._rendered))
        for values in rendered:
            values[:] = 0
        return rendered, self._pixels[:rays]

    def sum_matrices(self) -> Matrices:
        """Return the gradients of the matrices, summed over the threads."""
        self._gradients[:] = self.results[0].gradients
        for results in self.results[1:]:
            self._gradients += results.gradients
        return self._matrices

    def visible_samples(self, extent: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return positions (M, 3) in metres and densities (M,) of the visible samples."""
        count = 0
        for results, own in zip(self.results, self.counts):
            end = count + int(own[VISIBLE_SAMPLES])
            np.subtract(
                results.positions[: end - count], np.float32(0.5),
                out=self._positions[count:end])
            self._densities[count:end] = results.densities[: end - count]
            count = end
        self._positions[:count] *= np.float32(extent)
        return self._positions[:count], self._densities[:count]


def empty_rendering(count: int) -> Rendered:
    """Return Rendered for so many rays, all zeros."""
    return Rendered(np.zeros((count, 3), dtype=np.float32), *np.zeros((3, count), np.float32))
