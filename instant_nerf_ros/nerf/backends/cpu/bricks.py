"""Bricks of an occupancy grid: which cubes of its voxels are empty, see kernels.bricks."""
import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from instant_nerf_ros.nerf.backends.cpu.kernels.bricks import BRICK
from instant_nerf_ros.nerf.occupancy.sparse_memory import zeros

# Of each density state: its version when they were made, and the bricks.
_known = WeakTensorKeyDictionary()


def bricks_of(density_state: Tensor) -> NDArray[np.uint8]:
    """Return the states of the bricks of voxels (nx, ny, nz).

    The kernels keep them up to date. What writes voxels in another way changes the version of the
    tensor, and all bricks are UNVISITED again.
    """
    version, bricks = _known.get(density_state, (None, None))
    if version != density_state._version:
        shape = -(-np.array(density_state.shape) // BRICK)
        bricks = zeros(shape, density_state.dtype).numpy()
        _known[density_state] = density_state._version, bricks
    return bricks
