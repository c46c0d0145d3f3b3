"""Pace: how much of the time training may take, where others need the same processor."""
import time


class Pace:
    """Lets a step follow the one before only after a pause in proportion to its time.

    So that, over any time from the end of a pause to the end of another, steps take no more than
    their share. What else the thread does in the pause is not counted.
    """

    def __init__(self, clock=time.monotonic):
        """Take a clock() in seconds."""
        self._clock = clock
        self._next = clock()

    def due(self):
        """Tell whether the pause is over."""
        return self._clock() >= self._next

    def step(self, mapper, share):
        """Take a step of the mapper, and return its loss; share in (0, 1] bounds the next one."""
        begin = self._clock()
        loss = mapper.step()['loss']
        if share < 1:
            mapper.engine.finish()  # a GPU is still at work when the step returns
        end = self._clock()
        self._next = end + (end - begin) * (1 / share - 1)
        return loss
