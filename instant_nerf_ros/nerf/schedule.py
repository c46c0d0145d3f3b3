"""Schedule: the size of training steps, the learning rate, and when training has converged.

A drive has no last step, so everything follows from how many steps ago data was added. Training on
images that are all there may know its last step: see `set_progress`.
"""
from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend
    from instant_nerf_ros.nerf.config import SamplingConfig

logger = logging.getLogger('instant_nerf_ros')

FIRST_RAYS = 512  # of the first step; later steps follow the sample budget
MIN_RAYS = 64
MIN_SAMPLES = 1024  # of a step, where memory is scarce
SAMPLES_PER_RAY = 24  # with more, the steps along the rays get longer
MAX_STRIDE = 8.0
HALF_LIFE = 1000  # steps without new data in which the learning rate halves
MIN_RATE = 0.03  # of the full learning rate
HELD = 0.3  # share of a planned training with the full rate: while it is high, space gets empty
WINDOW = 1000  # steps over which losses are averaged
MIN_IMPROVEMENT = 0.01  # share by which the loss falls from one window to the next
VOTE_EVERY, FRESH, VOTE_RARELY = 2, 2000, 8  # steps between votes: up to the age FRESH, and later
# Of a planned training: steps between votes, up to a share of it.
VOTE_PLANNED, VOTES_FROM = 64, 0.5
MAX_AGE = 10_000  # steps without new data after which training has converged


class Schedule:
    """Number of rays, stride and learning rate of the next step."""

    def __init__(self) -> None:
        self.begin()
        self._progress: float | None = None  # share of the planned training that is done
        self._share = 1.0  # of the wanted samples for which there is memory
        self._sum, self._count = 0.0, 0  # of the finite losses of this window
        self._means: list[float] = []  # of the last windows

    def begin(self) -> None:
        """Start with another field, of which nothing is known."""
        self.rays = FIRST_RAYS
        self.stride = MAX_STRIDE  # multiplies the steps along the rays
        self.age = 0  # steps since data was added

    def data_added(self) -> None:
        """Start again at the full learning rate."""
        self.age, self._sum, self._count, self._means = 0, 0.0, 0, []

    def set_progress(self, share: float) -> None:
        """Let the learning rate fall until a planned end, of which a share in [0, 1] is reached.

        Raises ValueError for another share.
        """
        if not 0 <= share <= 1:
            raise ValueError(f'the progress must be between 0 and 1, is {share}')
        self._progress = share

    def restore(self, rays: int, stride: float, age: int) -> None:
        """Continue with the rays, the stride and the age of a saved schedule."""
        self.rays, self.stride, self.age = rays, stride, age

    def step_done(self, rays: int, samples: int, loss: float, budget: int) -> None:
        """Adapt to a step of so many rays and samples; budget: the samples it should have had."""
        per_ray = max(samples, 1) / rays
        # While few voxels are known to be empty, the steps along the rays are long.
        self.stride = float(np.clip(self.stride * per_ray / SAMPLES_PER_RAY, 1, MAX_STRIDE))
        wanted = np.clip(budget / per_ray, rays / 2, rays * 2)
        self.rays = int(np.clip(wanted, MIN_RAYS, budget))
        self.age += 1
        if math.isfinite(loss):
            self._sum, self._count = self._sum + loss, self._count + 1
        if self.age % WINDOW == 0 and self._count:
            self._means = [*self._means[-1:], self._sum / self._count]
            self._sum, self._count = 0.0, 0

    def budget(self, config: SamplingConfig, backend: Backend) -> int:
        """Return how many samples a step should have."""
        wanted = config.samples_per_step or backend.SAMPLES
        return max(int(wanted * self._share), MIN_SAMPLES)

    def reduce_budget(self, budget: int, error: RuntimeError) -> None:
        """Halve a budget permanently after an error that says that memory is exhausted.

        Raises the error if it says something else, or if the budget is too small to be halved.
        """
        exhausted = 'out of memory' in str(error).lower().replace('_', ' ')  # PyTorch's, CUDA's
        if budget <= MIN_SAMPLES or not exhausted:
            raise error
        self._share, self.rays = self._share / 2, max(self.rays // 2, MIN_RAYS)
        logger.warning(
            'the GPU is out of memory: steps have %d samples at most from now on', budget // 2)

    def learning_rate(self, full: float) -> float:
        """Return the step size of Adam: the full one while data arrives, then falling.

        Of a planned training, the first part has the full rate (warmup-stable-decay, Hu et al.
        2024): what is learnt in time depends on it. How exactly depends on the fall from there, a
        line that ends at zero (Bergsma et al. 2025, "Straight to Zero").
        """
        if self._progress is not None:
            return full * min(1.0, (1 - self._progress) / (1 - HELD))
        return full * max(0.5 ** (self.age / HALF_LIFE), MIN_RATE)

    @property
    def vote_every(self) -> int:
        """Return the number of steps after which the next keyframe without depth votes."""
        if self._progress is not None:  # the map is wanted when training ends
            return VOTE_PLANNED if self._progress < VOTES_FROM else VOTE_RARELY
        return VOTE_EVERY if self.age < FRESH else VOTE_RARELY

    @property
    def converged(self) -> bool:
        """Return whether the loss does not fall any more, or training has reached its end."""
        if self._progress is not None:
            return self._progress == 1
        final_rate = self.learning_rate(1.0) == MIN_RATE  # before, the loss is noisy
        flat = len(self._means) == 2 and (
            self._means[1] > (1 - MIN_IMPROVEMENT) * self._means[0])
        return self.age >= MAX_AGE or (final_rate and flat)
