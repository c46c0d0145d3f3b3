"""DutyCycle: shares the time of a thread between training, images and other processes."""
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper


class DutyCycle:
    """Inserts a pause after each training step, in proportion to the duration of the step.

    Between the ends of any two pauses, steps take at most their share of the time. Other work of
    the thread during a pause is not counted. Images wait until training, with its pauses, has
    taken as much time as the images before them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep a clock() in seconds."""
        self._clock = clock
        self._next_step = clock()
        self._owed = 0.0  # s of training that images have displaced

    def due(self) -> bool:
        """Return whether the pause is over."""
        return self._clock() >= self._next_step

    def images_due(self) -> bool:
        """Return whether training has had its half of the time."""
        return self._owed <= 0

    def take_images(self, feed: Callable[[], None]) -> None:
        """Call feed(), which works on images, and let training have as much time after it."""
        begin = self._clock()
        feed()
        self._owed = self._clock() - begin

    def step(self, mapper: 'Mapper', share: float) -> float:
        """Take a training step and return its loss; share in (0, 1] sets the pause after it."""
        begin = self._clock()
        loss = mapper.step()['loss']
        if share < 1:
            mapper.backend.synchronize()  # a GPU is still busy when step() returns
        end = self._clock()
        self._next_step = end + (end - begin) * (1 / share - 1)
        self._owed = max(self._owed - (self._next_step - begin), 0.0)
        return loss
