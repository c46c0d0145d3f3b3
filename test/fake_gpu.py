"""A GPU that is not there: tensors that lie elsewhere, and must not be mixed with others.

With it the GPU backend runs as on a GPU, except that its kernels are interpreted and nothing is
asynchronous. So whatever would ask a tensor on a GPU for its numbers, or add it to one on the
host, fails as it would there. For a process of its own: what is set here is set for good.
"""
import dataclasses
import os
import sys
from pathlib import Path

os.environ['TRITON_INTERPRET'] = '1'

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._pytree import tree_flatten, tree_map  # noqa: E402

ELSEWHERE = torch.device('cuda', 0)
# What may have tensors in both places: an index is fetched from the host.
MIXED = 'copy_', '__getitem__', '__setitem__'
OWN = 'device', 'is_cuda'  # what a tensor is asked itself


class Away(torch.Tensor):
    """A tensor on the GPU that is not there; here is what it has."""

    @staticmethod
    def __new__(cls, here):
        """Return one with the size of the tensor here, and its strides."""
        return torch.Tensor._make_wrapper_subclass(
            cls, here.shape, here.stride(), here.storage_offset(), dtype=here.dtype,
            device=ELSEWHERE)

    def __init__(self, here):
        self.here = here

    @classmethod
    def __torch_dispatch__(cls, what, types, arguments=(), settings=None):
        """Refuse: `Gpu` sees to all that is asked."""
        raise NotImplementedError(f'{what} of tensors on the GPU that is not there')


class Gpu(TorchFunctionMode):
    """Does what PyTorch is asked for, where all tensors are."""

    def __torch_function__(self, what, types, arguments=(), settings=None):
        """Do it here, and let what was made or moved there lie there."""
        settings = dict(settings or {})
        name = _name(what)
        if name == 'pin_memory':
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
        moves = [value for value in [*arguments[1:], *settings.values()]
                 if isinstance(value, torch.device) or value in ('cpu', 'cuda')
                 ] if name == 'to' else [settings['device']] if settings.get('device') else []
        if moves:
            away = torch.device(moves[0]).type == 'cuda'
            arguments = tuple('cpu' if value is moves[0] else value for value in arguments)
            if 'device' in settings:
                settings['device'] = 'cpu'
        for unknown in ('non_blocking', 'pin_memory'):
            settings.pop(unknown, None)
        with torch._C.DisableTorchFunction():
            found = what(*tree_map(_here, arguments), **tree_map(_here, settings))
        if name in ('cpu', '__set__') or not away:
            return found
        if moves and name == 'to' and not isinstance(arguments[0], Away):
            found = found.clone()
        if isinstance(found, torch.Tensor) and arguments and found is _here(arguments[0]):
            return arguments[0]  # in place
        return tree_map(_away, found)


def _name(what):
    """Return what a function is called, or the attribute that it gets."""
    name = getattr(what, '__name__', '')
    return what.__self__.__name__ if name in ('__get__', '__set__') else name


def _here(value):
    return value.here if isinstance(value, Away) else value


def _away(value):
    return Away(value) if isinstance(value, torch.Tensor) else value


class Generator(torch.Generator):
    """Random numbers, made on the host."""

    def __new__(cls, device='cpu'):
        """Return one."""
        return super().__new__(cls, 'cpu')


class Event:
    """An event: all that was asked for is done at once."""

    def record(self):
        """Do nothing."""

    def synchronize(self):
        """Do nothing."""


class Properties:
    """Of the device."""

    multi_processor_count = 2


def install():
    """Have the GPU backend use it."""
    from triton.runtime import interpreter

    from instant_nerf_ros.nerf.backends import cuda_device
    cuda_device.DEVICE = 'cuda'  # interpreted all the same
    call = interpreter.GridExecutor.__call__
    torch.Generator = Generator
    torch.cuda.Event = Event
    torch.cuda.get_device_properties = lambda device: Properties()
    torch.cuda.get_device_name = lambda: 'GPU that is not there'

    def launch(executor, *arguments, **settings):
        for value in arguments:
            if isinstance(value, torch.Tensor) and not isinstance(value, Away):
                raise ValueError('Pointer argument cannot be accessed from Triton (cpu tensor?)')
        with torch._C.DisableTorchFunction():
            call(executor, *map(_here, arguments), **settings)

    function = torch.autograd.Function.apply.__func__

    def apply(cls, *arguments):
        found = function(cls, *map(_here, arguments))
        away = any(isinstance(value, Away) for value in arguments)
        return tree_map(_away, found) if away else found

    interpreter.GridExecutor.__call__ = launch
    torch.autograd.Function.apply = classmethod(apply)
    Gpu().__enter__()


def refuse():
    """Check that what a GPU would refuse is refused."""
    there, here = torch.ones(3, device='cuda'), torch.ones(3)
    assert (there.to('cuda') + 1).cpu().tolist() == [2, 2, 2] and there[1:].sum().item() == 2
    for mistake in (
            lambda: there + here, lambda: torch.cat([there, here]), lambda: there.numpy(),
            lambda: np.asarray(there), lambda: here.add_(there)):
        try:
            mistake()
        except (RuntimeError, TypeError):
            continue
        raise AssertionError('a mistake went unnoticed')


def live(folder, device):
    """Do with a Mapper on this GPU all that can be done with one."""
    from scenes import poses, view
    from test_cuda_mapper import CONFIG, SMALL, mapped

    from instant_nerf_ros.nerf import Mapper
    random = np.random.default_rng(0)
    config = dataclasses.replace(CONFIG, device=device)
    mapper = mapped(SMALL, 2, config)
    assert mapper.backend == {'triton': 'cuda', 'cuda': 'tinycudann'}[device]
    assert mapper.engine.DEVICE == 'cuda' and mapper.occupancy.voxels.device == ELSEWHERE
    for pose in poses(9)[3:6]:
        image, _ = view(SMALL, pose)
        mapper.add(image, SMALL, pose)  # without depth: what the field shows votes
    mapper.add_ranges(np.zeros(3), random.normal(size=(50, 3)))
    while not mapper.held_out.takes(view(SMALL, poses(9)[7])[0], SMALL, poses(9)[7], 0):
        pass
    mapper.schedule.rays = 30
    mapper.step()
    mapper.keyframes.draws += 5000  # so that all are learnt enough to vote
    for _ in range(5):
        assert np.isfinite(mapper.step()['loss'])
    image, depth = view(SMALL, poses(9)[2])
    mapper.glance(image, SMALL, poses(9)[2], depth)
    mapper.occupancy.include([9.0, 0.0, 0.0])
    mapper.correct({0: np.eye(4)})
    assert np.isfinite(mapper.step()['loss']) and np.isfinite(mapper.held_out.psnr(mapper))
    # Surfaces, for the mesh: a field of any kind, and voxels that are taken to be occupied.
    mapper.field.load({name: torch.from_numpy(random.normal(size=values.shape)).float()
                       for name, values in mapper.field.state().items()})
    mapper.occupancy.hits[tuple(size // 2 for size in mapper.occupancy.shape)] = 9
    mapper.map(), mapper.octree(), mapper.distances(0.5)
    assert len(mapper.points()[0]) and (mapper.voxels().states == 100).any()
    shown = mapper.render(SMALL, poses(9)[2])
    assert shown.color.any()
    mapper.save(folder)
    assert b'element face' in (folder / 'mesh.ply').read_bytes()[:300]
    again = Mapper.load(folder, config)
    assert np.array_equal(again.render(SMALL, poses(9)[2]).color, shown.color)
    assert np.isfinite(again.step()['loss'])
    mapper.rescue(folder / 'rescued')


if __name__ == '__main__':
    if sys.argv[2] == 'cuda':
        sys.path.append(str(Path(__file__).with_name('stand_in')))
    install()
    refuse()
    live(Path(sys.argv[1]), sys.argv[2])
