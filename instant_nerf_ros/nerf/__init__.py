"""The library: posed images in; views, voxels and maps out. Start reading at mapper.py."""
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers; at run time, see __getattr__
    from instant_nerf_ros.nerf.arrays import EstimatedDepth
    from instant_nerf_ros.nerf.bounds import SceneBounds, scene_bounds
    from instant_nerf_ros.nerf.camera import Camera
    from instant_nerf_ros.nerf.config import Config
    from instant_nerf_ros.nerf.mapper import Mapper
    from instant_nerf_ros.nerf.settings import flatten, replace

__all__ = [
    'Camera', 'Config', 'EstimatedDepth', 'Mapper', 'SceneBounds', 'flatten', 'replace',
    'scene_bounds']

_MODULES = {'Camera': 'camera', 'Config': 'config', 'EstimatedDepth': 'arrays',
            'Mapper': 'mapper',
            'SceneBounds': 'bounds', 'flatten': 'settings', 'replace': 'settings',
            'scene_bounds': 'bounds'}  # fmt: skip

if not TYPE_CHECKING:  # or a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Import a public name at its first use: a camera needs no torch."""
        if name not in _MODULES:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        return getattr(importlib.import_module(f'{__name__}.{_MODULES[name]}'), name)


def __dir__() -> list[str]:
    """Return all names, including those that are not imported yet."""
    return sorted({*globals(), *__all__})
