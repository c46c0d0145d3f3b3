"""The library: posed images in; views, voxels and maps out. Start reading at mapper.py."""
import importlib
import os

# torch's threads would spin while they wait and so take the cores from the numba kernels between
# two matrix products. It reads this once, as it loads.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

_HOMES = {'Camera': 'camera', 'Config': 'config', 'flatten': 'config', 'replace': 'config',
          'Mapper': 'mapper'}  # fmt: skip
__all__ = list(_HOMES)


def __getattr__(name):
    """Import a public name when it is first asked for: a camera does not need torch."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = importlib.import_module(f'{__name__}.{_HOMES[name]}')
    return getattr(module, name)
