"""Sparse memory: large grids of which only the written pages take memory."""
import mmap

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from instant_nerf_ros.nerf.occupancy.lattice import slices


def zeros(shape: ArrayLike, dtype: torch.dtype, device: str | torch.device = 'cpu') -> Tensor:
    """Return zeros; on a processor, the system provides pages as they are written.

    NumPy would ask for huge pages, with which a single voxel takes two megabytes.
    """
    size = tuple(int(n) for n in np.asarray(shape))
    if torch.device(device).type != 'cpu':
        return torch.zeros(size, dtype=dtype, device=device)
    kind = np.dtype(str(dtype).removeprefix('torch.'))
    count = int(np.prod(size, dtype=np.int64))
    pages = mmap.mmap(
        -1, max(count, 1) * kind.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, 'MADV_NOHUGEPAGE'):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    values: NDArray[np.generic] = np.frombuffer(pages, kind, count).reshape(size)
    return torch.from_numpy(values)


def enlarged(grid: Tensor, below: NDArray[np.int64], above: NDArray[np.int64]) -> Tensor:
    """Return a grid (nx, ny, nz, ...) with so many voxels (3,) more below and above, zero."""
    result = zeros([*(below + grid.shape[:3] + above), *grid.shape[3:]], grid.dtype, grid.device)
    copy_used(grid, result[slices(below, below + grid.shape[:3])])
    return result


def copy_used(old: Tensor, new: Tensor) -> None:
    """Copy the columns of a grid (nx, ny, ...) that were written into another grid."""
    if old.device.type != 'cpu':  # a GPU has no such pages
        new.copy_(old)
        return
    for before, after in zip(old, new):  # slabs along x: no copy of the whole grid
        used = (before != 0).flatten(1).any(1)
        after[used] = before[used]
