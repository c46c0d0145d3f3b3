"""The lattice of voxels that is fixed in the world, so that the maps of all sessions align."""
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.config import MAX_VOXELS

# Corner of voxel (0, 0, 0) of the world, in voxels: a floor at z = 0 lies in the middle of a layer
# of voxels, and does not flicker between two.
OFFSET = np.array([0.0, 0.0, -0.5])


def first_voxel(
    center: ArrayLike, shape: NDArray[np.int64], voxel_size: float,
) -> NDArray[np.int64]:  # fmt: skip
    """Return the lattice index (3,) of the first voxel of a grid around a center (3,) [m]."""
    return np.floor(np.asarray(center) / voxel_size - shape / 2 - OFFSET).astype(int)


def corner(first: NDArray[np.int64], voxel_size: float) -> NDArray[np.float64]:
    """Return the corner (3,) [m] of the voxel with a lattice index (3,)."""
    return (first + OFFSET) * voxel_size


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


def slices(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[slice, slice, slice]:
    """Return the slices of the voxels from an index (3,) to another one, exclusive."""
    x, y, z = (slice(int(first), int(last)) for first, last in zip(low, high))
    return x, y, z
