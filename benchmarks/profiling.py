"""Profile of a training step: the time spent in functions of the library, wrapped from outside."""
import collections
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from instant_nerf_ros.nerf import Mapper, trainer


class Profile:
    """Seconds spent in each wrapped function, without those in other wrapped functions inside it.

    Each thread has its own stack of calls: functions that run concurrently are not nested.
    """

    def __init__(self) -> None:
        self.seconds: collections.Counter[str] = collections.Counter()
        self._stack = threading.local()

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that counts its time under a name."""
        @functools.wraps(function)
        def timed(*arguments: Any, **settings: Any) -> Any:
            # Seconds of the wrapped calls inside each call that is in progress.
            inner = vars(self._stack).setdefault('inner', [0.0])
            inner.append(0.0)
            begin = time.perf_counter()
            try:
                return function(*arguments, **settings)
            finally:
                took = time.perf_counter() - begin
                self.seconds[name] += took - inner.pop()
                inner[-1] += took
        return timed


@contextlib.contextmanager
def profiled(mapper: Mapper) -> Iterator[Profile]:
    """Yield the Profile of a mapper that is warm, for the duration of the context."""
    profile = Profile()
    with contextlib.ExitStack() as stack:
        for owner, attribute, name in (
            (mapper, 'step', 'rest of the step'),
            (mapper.backend, 'sample_rays', 'sample rays (beside Adam)'),
            (mapper.backend, 'train_step', 'training step: rays to gradients, all threads'),
            (mapper.trainer.optimizer, 'step', 'grid gradients and Adam, all threads'),
            (trainer, 'integrate_rendered', 'votes on the voxels'),
            (mapper.occupancy, 'update_density', 'density of voxels (beside Adam)'),
            (mapper.backend, 'update_error_map', 'error map (beside Adam)'),
            (mapper.trainer.field, 'density', 'density of the field'),
        ):  # fmt: skip
            wrapped = profile.wrap(name, getattr(owner, attribute))
            stack.enter_context(mock.patch.object(owner, attribute, wrapped))
        yield profile
