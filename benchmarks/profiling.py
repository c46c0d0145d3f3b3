"""Where the time of a step goes, seen from outside: functions of the engine, wrapped."""
import collections
import contextlib
import functools
import inspect
import threading
import time


class Profile:
    """Seconds spent in each wrapped function, without those it spends in other wrapped ones.

    Each thread has its own account: what goes on beside something else is not inside it.
    """

    def __init__(self):
        self.seconds = collections.Counter()
        self._account = threading.local()

    def wrap(self, name, function):
        """Return a function that counts its time under a name."""
        @functools.wraps(function)
        def timed(*arguments, **settings):
            # Seconds of the wrapped calls inside each one that is going on.
            inner = vars(self._account).setdefault('inner', [0.0])
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
def profiled(mapper):
    """Yield the Profile of a mapper that is warm, as long as the context lasts."""
    profile, undo = Profile(), []

    def replace(owner, attribute, name):
        original = inspect.getattr_static(owner, attribute)
        wrapped = profile.wrap(name, getattr(owner, attribute))
        own = attribute in vars(owner)
        undo.append(
            functools.partial(setattr, owner, attribute, original) if own
            else functools.partial(delattr, owner, attribute))
        setattr(owner, attribute, wrapped)

    for owner, attribute, name in (
        (mapper, 'step', 'rest of the step'),
        (mapper.backend, 'draw', 'draw rays (beside Adam)'),
        (mapper.backend, 'learn', 'lesson: rays to gradients, all threads'),
        (mapper.optimizer, 'step', 'grid gradients and Adam, all threads'),
        (evidence, 'tell_rendered', 'votes on the voxels'),
        (mapper.occupancy, 'visit', 'visit voxels (beside Adam)'),
        (mapper.backend, 'take_in', 'errors of pixels (beside Adam)'),
        (mapper.field, 'density', 'probe the field'),
    ):  # fmt: skip
        replace(owner, attribute, name)
    try:
        yield profile
    finally:
        for restore in reversed(undo):
            restore()
