"""Where the time of a step goes, seen from outside: functions of the engine, wrapped."""
import collections
import contextlib
import functools
import inspect
import sys
import time

import numba.core.dispatcher
import torch

from instant_nerf_ros.nerf import loss, rays

PACKAGE = 'instant_nerf_ros.nerf.'
FUNCTIONS = 'march', 'composite', 'median_distance', 'visit', 'carve'


class Profile:
    """Seconds spent in each wrapped function, without those it spends in other wrapped ones."""

    def __init__(self):
        self.seconds = collections.Counter()
        self._inner = [0.0]  # seconds of the wrapped calls inside each one that is going on

    def wrap(self, name, function):
        """Return a function that counts its time under a name."""
        @functools.wraps(function)
        def timed(*arguments, **settings):
            self._inner.append(0.0)
            begin = time.perf_counter()
            try:
                return function(*arguments, **settings)
            finally:
                took = time.perf_counter() - begin
                self.seconds[name] += took - self._inner.pop()
                self._inner[-1] += took
        return timed


@contextlib.contextmanager
def profiled(mapper):
    """Yield the Profile of a mapper that is warm, as long as the context lasts."""
    profile, undo = Profile(), []

    def replace(owner, attribute, name, kind=lambda function: function):
        original = inspect.getattr_static(owner, attribute)
        wrapped = kind(profile.wrap(name, getattr(owner, attribute)))
        own = attribute in vars(owner)
        undo.append(
            functools.partial(setattr, owner, attribute, original) if own
            else functools.partial(delattr, owner, attribute))
        setattr(owner, attribute, wrapped)

    replace(mapper, 'step', 'rest of the step')
    replace(rays, 'draw', 'draw rays')
    replace(loss, 'terms', 'loss')
    for name in FUNCTIONS:
        replace(mapper.engine, name, name.replace('_', ' '))
    for name in ('geometry', 'color'):
        replace(getattr(mapper.field, name), 'forward', f'{name} network forward')
    replace(mapper.optimizer, 'step', 'Adam')
    replace(torch.Tensor, 'backward', 'autograd')
    for function in torch.autograd.Function.__subclasses__():
        if function.__module__.startswith(PACKAGE):
            name = function.__name__.strip('_').lower()
            replace(function, 'backward', f'{name} backward', staticmethod)
    for module in [module for name, module in sys.modules.items()
                   if name.startswith(PACKAGE + 'backends.')]:
        for name, value in list(vars(module).items()):
            if isinstance(value, numba.core.dispatcher.Dispatcher) and name[0] != '_':
                replace(module, name, f'kernel {name}')
    try:
        yield profile
    finally:
        for restore in reversed(undo):
            restore()
