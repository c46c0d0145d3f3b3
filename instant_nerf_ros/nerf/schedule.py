"""Schedule: how large the steps of training are, when maps follow, and when all is learnt.

There is no last step in a drive: everything follows from what came of late.
"""
import logging
import math

import numpy as np

logger = logging.getLogger('instant_nerf_ros')

FIRST_RAYS = 512  # of the first step; later steps adapt to the sample budget
LEAST_RAYS = 64
LEAST_SAMPLES = 1024  # of a step, where memory is scarce
SAMPLES_PER_RAY = 24  # more, and the steps along the rays are lengthened
LARGEST_STRIDE = 8.0
HALF_LIFE = 1000  # steps without a new keyframe in which the learning rate halves
LEAST_RATE = 0.03  # of the full learning rate
WINDOW = 1000  # steps over which losses are compared
FLAT = 0.01  # share that the loss falls in a window, when it is flat
VOTE_EVERY, FRESH, RARELY = 2, 2000, 8  # steps between votes, at first, up to an age, and then
LAST = 10_000  # steps without a new keyframe after which there is no more to learn


class Schedule:
    """Rays, stride and learning rate of the next step."""

    def __init__(self):
        self.rays = FIRST_RAYS
        self.stride = LARGEST_STRIDE  # multiplies the steps along the rays
        self.age = 0  # steps since the last keyframe
        self._share = 1.0  # of the samples wanted that there is memory for
        self._sum, self._count = 0.0, 0  # of the losses of this window that are numbers
        self._means = []  # of the last windows

    def keyframe_came(self):
        """Begin anew: there is something to learn."""
        self.age, self._sum, self._count, self._means = 0, 0.0, 0, []

    def step_taken(self, rays, samples, loss, budget):
        """Take in the rays, samples and loss of a step; budget: samples that it should have."""
        per_ray = max(samples, 1) / rays
        # As long as little is known to be empty the steps are long, and get shorter as it clears.
        self.stride = float(np.clip(self.stride * per_ray / SAMPLES_PER_RAY, 1, LARGEST_STRIDE))
        wanted = np.clip(budget / per_ray, rays / 2, rays * 2)
        self.rays = int(np.clip(wanted, LEAST_RAYS, budget))
        self.age += 1
        if math.isfinite(loss):
            self._sum, self._count = self._sum + loss, self._count + 1
        if self.age % WINDOW == 0 and self._count:
            self._means = [*self._means[-1:], self._sum / self._count]
            self._sum, self._count = 0.0, 0

    def budget(self, config, backend):
        """Return how many samples a step should have; config is the SamplingConfig."""
        wanted = config.samples_per_step or backend.SAMPLES
        return max(int(wanted * self._share), LEAST_SAMPLES)

    def make_room(self, budget, error):
        """Halve a budget for good, as memory does not suffice.

        Raises error if the budget is too small for that, or if the error is another one.
        """
        memory = 'out of memory' in str(error).lower().replace('_', ' ')  # PyTorch's words, CUDA's
        if budget <= LEAST_SAMPLES or not memory:
            raise error
        self._share, self.rays = self._share / 2, max(self.rays // 2, LEAST_RAYS)
        logger.warning(
            'the GPU is out of memory: steps have %d samples at most from now on', budget // 2)

    def learning_rate(self, full):
        """Return Adam's step size: the full one while images arrive, less as they are learnt."""
        return full * max(0.5 ** (self.age / HALF_LIFE), LEAST_RATE)

    @property
    def vote_every(self):
        """Return after how many steps another keyframe without depth votes on the map."""
        return VOTE_EVERY if self.age < FRESH else RARELY

    @property
    def settled(self):
        """Tell whether more steps are in vain: the last keyframe is learnt, the loss is flat."""
        careful = self.learning_rate(1.0) == LEAST_RATE  # before, a loss says little
        flat = len(self._means) == 2 and self._means[1] > (1 - FLAT) * self._means[0]
        return self.age >= LAST or (careful and flat)
