"""Sparse memory: large grids of which only the written pages take memory."""
import mmap

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def zeros(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Tensor:
    """Return zeros of a NumPy dtype; the system provides pages as they are written.

    NumPy would ask for huge pages, with which a single voxel takes two megabytes.
    """
    count = int(np.prod(shape, dtype=np.int64))
    pages = mmap.mmap(
        -1, max(count, 1) * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, 'MADV_NOHUGEPAGE'):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    values: NDArray[np.generic] = np.frombuffer(pages, dtype, count).reshape(shape)
    return torch.from_numpy(values)


def copy_used(old: Tensor, new: Tensor) -> None:
    """Copy the columns of a grid (nx, ny, ...) that were written into another grid."""
    if old.device.type != 'cpu':  # a GPU has no such pages
        new.copy_(old)
        return
    for before, after in zip(old, new):  # slabs along x: no copy of the whole grid
        used = (before != 0).flatten(1).any(1)
        after[used] = before[used]
