"""Pages: large grids of which only what is written takes memory."""
import mmap

import numpy as np
import torch


def zeros(shape, dtype):
    """Return zeros of a numpy dtype as a tensor; the system provides pages as they are written.

    numpy would ask for huge pages, with which a single voxel takes two megabytes.
    """
    count = int(np.prod(shape, dtype=np.int64))
    pages = mmap.mmap(
        -1, max(count, 1) * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, 'MADV_NOHUGEPAGE'):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.from_numpy(np.frombuffer(pages, dtype, count).reshape(shape))


def copy_used(old, new):
    """Copy the columns of a grid that were written into another, (nx, ny, ...) tensors."""
    if old.device.type != 'cpu':  # whose memory is there, written or not
        new.copy_(old)
        return
    for before, after in zip(old, new):  # slabs along x: no copy of the whole grid
        used = (before != 0).flatten(1).any(1)
        after[used] = before[used]
