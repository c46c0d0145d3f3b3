"""The library: posed images in; views, voxels and maps out. Start reading at mapper.py."""
import importlib

_HOMES = {'Camera': 'camera', 'Config': 'config', 'flatten': 'settings', 'replace': 'settings',
          'Mapper': 'mapper'}  # fmt: skip
__all__ = list(_HOMES)


def __getattr__(name):
    """Import a public name when it is first asked for: a camera does not need torch."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = importlib.import_module(f'{__name__}.{_HOMES[name]}')
    return getattr(module, name)
