"""Imports of the GPU backend as if it ran on another device than on this machine."""
import importlib.util
import sys
from pathlib import Path

from instant_nerf_ros.nerf import backends


def use(device):
    """Make 'cpu' or 'cuda' the device of the GPU backend; call this before it is imported."""
    name = 'instant_nerf_ros.nerf.backends.cuda.device'
    path = Path(backends.__file__).parent / 'cuda' / 'device.py'
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.DEVICE = device
