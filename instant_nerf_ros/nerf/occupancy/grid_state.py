"""The content of an occupancy grid as arrays, of the voxels with any content only."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.config import MAX_VOXELS, OccupancyConfig
from instant_nerf_ros.nerf.constants import MISS_WEIGHT
from instant_nerf_ros.nerf.local_frame import LocalFrame
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend


def to_arrays(occupancy: OccupancyGrid) -> dict[str, NDArray[Any]]:
    """Return the content by name; first, shape and start are lattice indices and sizes (3,)."""
    grids = occupancy.contents()
    low, high = (grids.pop(name).astype(int) for name in ('low', 'high'))
    known = grids['density_state'] | grids['hits'] | grids['misses']
    start, stop = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
    for axis in range(3):
        index = np.flatnonzero(known.any(axis=tuple({0, 1, 2} - {axis})))
        if len(index):
            start[axis], stop[axis] = index[0], index[-1] + 1
    inside = tuple(map(slice, start, stop))
    return {
        'first': occupancy.first, 'shape': np.array(occupancy.shape), 'start': start,
        'low': low, 'high': high, **{name: grid[inside] for name, grid in grids.items()}}


def weighted(hits: NDArray[np.uint8], misses: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Return weighted votes, by name, for the votes of files in which all weighed the same.

    The states stay what they were: occupied with at least 2 hits and at most 3 misses a hit, free
    with at least 2 misses and more than 8 a hit, else unknown.
    """
    h, m = hits.astype(int), misses.astype(int)
    known = ((h >= 2) & (3 * h >= m)) | ((m >= 2) & (8 * h < m))
    return {'hits': np.where(known, 3 * MISS_WEIGHT * h, 0).clip(max=255).astype(np.uint8),
            'misses': np.where(known, MISS_WEIGHT * m, 0).clip(max=255).astype(np.uint8)}


def from_arrays(
    config: OccupancyConfig, arrays: Mapping[str, NDArray[Any]], backend: Backend,
    frame: LocalFrame,
) -> OccupancyGrid:  # fmt: skip
    """Return a grid with the content of `to_arrays`. Raises ValueError if it is invalid."""
    boxes = [arrays[name].astype(np.int64) for name in ('first', 'shape', 'start')]
    first, shape, start = boxes
    stop = start + arrays['density_state'].shape
    if (any(box.shape != (3,) for box in boxes) or np.prod(shape.astype(float)) > MAX_VOXELS
            or (start < 0).any() or (stop > shape).any()):
        raise ValueError(f'there is no grid of {shape} voxels from {start} to {stop}')
    occupancy = OccupancyGrid(config, np.zeros(3), backend, frame)
    x, y, z = map(slice, start, stop)
    occupancy.restore(first, shape, (x, y, z), arrays)
    return occupancy
