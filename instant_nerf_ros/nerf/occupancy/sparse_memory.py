"""Sparse memory: large grids of which only the written pages take memory."""
import mmap
import platform
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from instant_nerf_ros.nerf.config import MAX_SPARSE_VOXELS, MAX_VOXELS
from instant_nerf_ros.nerf.occupancy.lattice import Window, corners, slices

# Else Linux refuses more than the memory of the machine. Before Python 3.13 the name is missing.
NO_RESERVE = getattr(
    mmap, 'MAP_NORESERVE', 0x4000 if platform.machine() in ('x86_64', 'aarch64') else 0)


def most_voxels(device: str | torch.device) -> float:
    """Return the largest number of voxels of a grid on a device."""
    return MAX_SPARSE_VOXELS if torch.device(device).type == 'cpu' else MAX_VOXELS


def zeros(shape: ArrayLike, dtype: torch.dtype, device: str | torch.device = 'cpu') -> Tensor:
    """Return zeros; on a processor, the system provides pages as they are written.

    NumPy would ask for huge pages, with which a single voxel takes two megabytes. Raises
    MemoryError if the system refuses so much address space, OutOfMemoryError on a GPU.
    """
    size = tuple(int(n) for n in np.asarray(shape))
    if torch.device(device).type != 'cpu':
        return torch.zeros(size, dtype=dtype, device=device)
    kind = np.dtype(str(dtype).removeprefix('torch.'))
    count = int(np.prod(size, dtype=np.int64))
    try:
        pages = mmap.mmap(-1, max(count, 1) * kind.itemsize,
                          flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE)
    except OSError as error:
        raise MemoryError(f'no address space for {size} of {kind}') from error
    if hasattr(mmap, 'MADV_NOHUGEPAGE'):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    values: NDArray[np.generic] = np.frombuffer(pages, kind, count).reshape(size)
    return torch.from_numpy(values)


def enlarged(
    grids: dict[str, Tensor], pieces: Sequence[Window], below: NDArray[np.int64],
    above: NDArray[np.int64],
) -> Iterator[tuple[str, Tensor]]:  # fmt: skip
    """Yield grids (nx, ny, nz, ...), by name, with so many voxels (3,) more, which are zero.

    There is content in the pieces only. A grid that was yielded leaves `grids`. Raises the errors
    of `zeros` before the first one is yielded.
    """
    grown = {name: zeros([*(below + grid.shape[:3] + above), *grid.shape[3:]], grid.dtype,
                         grid.device) for name, grid in grids.items()}
    for name in list(grids):
        old, new = grids.pop(name), grown.pop(name)
        for piece in pieces:
            start, stop = corners(piece)
            copy_used(old[piece], new[slices(below + start, below + stop)])
        yield name, new


def copy_used(old: Tensor, new: Tensor) -> None:
    """Copy the columns of a grid (nx, ny, ...) that were written into another grid."""
    if old.device.type != 'cpu':  # a GPU has no such pages
        new.copy_(old)
        return
    for before, after in zip(old, new):  # slabs along x: no copy of the whole grid
        used = (before != 0).flatten(1).any(1)
        after[used] = before[used]
