"""The lattice of voxels that is fixed in the world, so that the maps of all sessions align."""
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.config import MAX_VOXELS

# Corner of voxel (0, 0, 0) of the world, in voxels: a floor at z = 0 lies in the middle of a layer
# of voxels, and does not flicker between two.
OFFSET = np.array([0.0, 0.0, -0.5])
MAX_SIDE = 32_000  # voxels, of a part: Nav2 reads maps of up to 32,767 cells along a side

Window = tuple[slice, slice, slice]


def first_voxel(
    center: ArrayLike, shape: NDArray[np.int64], voxel_size: float,
) -> NDArray[np.int64]:  # fmt: skip
    """Return the lattice index (3,) of the first voxel of a grid around a center (3,) [m]."""
    return np.floor(np.asarray(center) / voxel_size - shape / 2 - OFFSET).astype(int)


def corner(first: NDArray[np.int64], voxel_size: float) -> NDArray[np.float64]:
    """Return the corner (3,) [m] of the voxel with a lattice index (3,)."""
    return (first + OFFSET) * voxel_size


def middle(index: NDArray[np.int64], voxel_size: float) -> NDArray[np.float64]:
    """Return the middles (..., 3) [m] of the voxels with lattice indices (..., 3)."""
    return (index + OFFSET + 0.5) * voxel_size


def growth(
    indices: Sequence[NDArray[np.float64]], shape: tuple[int, ...],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Return the voxels (3,) to add below and above a grid so that it contains indices (3,).

    An axis doubles until it does, or until it alone has more than MAX_VOXELS.
    """
    below, above = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
    for axis, size in enumerate(shape):
        for index in indices:
            while not -below[axis] <= index[axis] < size + above[axis]:
                extra = size + below[axis] + above[axis]
                if extra > MAX_VOXELS:
                    break
                if index[axis] < -below[axis]:
                    below[axis] += extra
                else:
                    above[axis] += extra
    return below, above


def slices(low: NDArray[np.int64], high: NDArray[np.int64]) -> Window:
    """Return the slices of the voxels from an index (3,) to another one, exclusive."""
    x, y, z = (slice(int(first), int(last)) for first, last in zip(low, high))
    return x, y, z


def corners(window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the index (3,) from which slices of voxels begin, and that of their end."""
    return np.array([axis.start for axis in window]), np.array([axis.stop for axis in window])


def inside(piece: Window, window: Window) -> Window:
    """Return the slices of a piece of a grid in a window of it."""
    x, y, z = (slice(axis.start - begin.start, axis.stop - begin.start)
               for axis, begin in zip(piece, window))
    return x, y, z


def part_around(
    low: NDArray[np.int64], high: NDArray[np.int64], center: NDArray[np.float64], columns: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Return the part of a box (3,) to (3,) with at most so many columns, around a center (3,).

    The longer sides are cut, and each to MAX_SIDE. All are indices of the lattice. The part moves
    in steps of a quarter of its side: maps seldom change size.
    """
    width, depth = (int(n) for n in (high - low)[:2])
    if width * depth <= columns and max(width, depth) <= MAX_SIDE:
        return low, high
    side = min(max(math.sqrt(columns), columns / min(width, depth)), MAX_SIDE)
    side = max(int(side), 8)
    step = side // 4
    middle = np.round(np.clip(center[:2], low[:2], high[:2] - 1) / step).astype(int) * step
    begin, end = low.copy(), high.copy()
    begin[:2] = np.maximum(low[:2], middle - side // 2)
    end[:2] = np.minimum(high[:2], middle + side // 2)
    return begin, end
