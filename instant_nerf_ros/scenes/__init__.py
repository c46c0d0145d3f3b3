"""Scenes: photos, videos and recordings in; a fitted scene on disk, its quality and products out.

For people at a desk: everything is given before training begins. No ROS, no threads; the command
instant-nerf is in cli.
"""
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers; at run time, see __getattr__
    from instant_nerf_ros.scenes.evaluation import evaluate
    from instant_nerf_ros.scenes.fitting import fit
    from instant_nerf_ros.scenes.scene_folder import Scene
    from instant_nerf_ros.scenes.scene_products import export, make_report, render

__all__ = ['Scene', 'evaluate', 'export', 'fit', 'make_report', 'render']

_MODULES = {
    'Scene': 'scene_folder', 'evaluate': 'evaluation', 'export': 'scene_products',
    'fit': 'fitting', 'make_report': 'scene_products', 'render': 'scene_products'}

if not TYPE_CHECKING:  # or a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Import a public name at its first use: `instant-nerf --help` needs no torch."""
        if name not in _MODULES:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        return getattr(importlib.import_module(f'{__name__}.{_MODULES[name]}'), name)
