"""A simulated GPU: tensors on another device, which must not be mixed with those on the host.

With it the GPU backend runs as on a GPU, except that its kernels are interpreted and nothing is
asynchronous. Operations that a GPU refuses, such as conversion to NumPy, or the sum of tensors on
both devices, raise the same errors. It changes PyTorch for the rest of the process.
"""
import os

os.environ['TRITON_INTERPRET'] = '1'

import torch  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._pytree import tree_flatten, tree_map  # noqa: E402

ELSEWHERE = torch.device('cuda', 0)
# Operations that accept tensors of both devices: an index may be on the host.
MIXED = 'copy_', '__getitem__', '__setitem__'
OWN = 'device', 'is_cuda'  # attributes of the tensor itself
# Operations that make the host wait until the GPU has done all earlier work.
WAITS = (
    '__bool__', '__float__', '__index__', '__int__', 'cpu', 'item', 'masked_select', 'nonzero',
    'tensor', 'tolist', 'unique')


class Away(torch.Tensor):
    """A tensor on the simulated GPU; `here` is the tensor on the host with its values."""

    @staticmethod
    def __new__(cls, here):
        """Return one with the size and the strides of the tensor here."""
        return torch.Tensor._make_wrapper_subclass(
            cls, here.shape, here.stride(), here.storage_offset(), dtype=here.dtype,
            device=ELSEWHERE)

    def __init__(self, here):
        self.here = here

    @classmethod
    def __torch_dispatch__(cls, what, types, arguments=(), settings=None):
        """Raise NotImplementedError: `Gpu` handles all operations."""
        raise NotImplementedError(f'{what} of tensors on the simulated GPU')


class Gpu(TorchFunctionMode):
    """Runs the operations of PyTorch on the host, and checks the devices of their tensors."""

    def __init__(self):
        super().__init__()
        self.waits = []  # operations for which the host has waited

    def __torch_function__(self, what, types, arguments=(), settings=None):
        """Run an operation on the host; results on the GPU become Away."""
        settings = dict(settings or {})
        name = _name(what)
        if name == 'pin_memory':
            arguments[0].pinned = True
            return arguments[0]
        tensors = [value for value in tree_flatten((arguments, settings))[0]
                   if isinstance(value, torch.Tensor)]
        away = any(isinstance(value, Away) for value in tensors)
        if name in OWN:
            return what(*arguments, **settings)
        if away and name in ('numpy', '__array__'):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if away and name not in MIXED and any(
                value.ndim for value in tensors if not isinstance(value, Away)):
            raise RuntimeError(f'{name} of tensors on the GPU and on the host')
        came = name == 'to' and not isinstance(arguments[0], Away)
        target = _target(name, arguments, settings)
        if target is not None:
            away = torch.device(target).type == 'cuda'
            arguments = tuple('cpu' if value is target else value for value in arguments)
            settings = {key: 'cpu' if value is target else value
                        for key, value in settings.items()}
        if (away or target is not None) and _waits(name, arguments, settings, tensors, away):
            self.waits.append(name)
        settings.pop('non_blocking', None)
        pinned = settings.pop('pin_memory', False)
        with torch._C.DisableTorchFunction():
            found = what(*tree_map(_here, arguments), **tree_map(_here, settings))
        if pinned:
            found.pinned = True
        if name in ('cpu', '__set__') or not away:
            return found
        if came:
            found = found.clone()  # memory of its own
        if isinstance(found, torch.Tensor) and arguments and found is _here(arguments[0]):
            return arguments[0]  # in place
        return tree_map(_away, found)


def _target(name, arguments, settings):
    """Return the device on which the result is created or to which it is moved, or None."""
    if name != 'to':
        return settings.get('device')
    devices = [value for value in (*arguments[1:], *settings.values())
             if isinstance(value, (str, torch.device))]
    return devices[0] if devices else None


def _waits(name, arguments, settings, tensors, away):
    """Return whether the host has to wait for the GPU; away: whether the result is there."""
    host = [value for value in tensors if not isinstance(value, Away)]
    if name == 'to' and bool(host) == away or name == 'copy_' and len(host) == 1:
        pinned = all(getattr(value, 'pinned', False) for value in host)
        return not (host and pinned and settings.get('non_blocking'))
    index = tree_flatten(arguments[1])[0] if name in ('__getitem__', '__setitem__') else []
    return name in WAITS or any(
        isinstance(value, torch.Tensor) and value.dtype == torch.bool for value in index)


def _name(what):
    """Return the name of a function, or of the attribute that it gets."""
    name = getattr(what, '__name__', '')
    return what.__self__.__name__ if name in ('__get__', '__set__') else name


def _here(value):
    return value.here if isinstance(value, Away) else value


def _away(value):
    return Away(value) if isinstance(value, torch.Tensor) else value


class Generator(torch.Generator):
    """A generator of random numbers on the host."""

    def __new__(cls, device='cpu'):
        """Return one."""
        return super().__new__(cls, 'cpu')


class Event:
    """An event; nothing is asynchronous."""

    def record(self):
        """Do nothing."""

    def synchronize(self):
        """Do nothing."""


class Properties:
    """Of the device."""

    multi_processor_count = 2


def install():
    """Make the GPU backend use the simulated GPU, and return the Gpu."""
    import other_device
    from triton.runtime import interpreter

    other_device.use('cuda')  # but its kernels are interpreted
    call = interpreter.GridExecutor.__call__
    torch.Generator = Generator
    torch.cuda.Event = Event
    torch.cuda.get_device_properties = lambda device: Properties()
    torch.cuda.get_device_name = lambda: 'simulated GPU'

    def launch(executor, *arguments, **settings):
        for value in arguments:
            if isinstance(value, torch.Tensor) and not isinstance(value, Away):
                raise ValueError('Pointer argument cannot be accessed from Triton (cpu tensor?)')
        with torch._C.DisableTorchFunction():
            call(executor, *map(_here, arguments), **settings)

    function = next(vars(base)['apply'] for base in torch.autograd.Function.__mro__
                    if 'apply' in vars(base))  # a method, or one in C, of whichever it is

    def apply(cls, *arguments):
        found = function.__get__(None, cls)(*map(_here, arguments))
        away = any(isinstance(value, Away) for value in arguments)
        return tree_map(_away, found) if away else found

    interpreter.GridExecutor.__call__ = launch
    torch.autograd.Function.apply = classmethod(apply)
    gpu = Gpu()
    gpu.__enter__()
    return gpu
