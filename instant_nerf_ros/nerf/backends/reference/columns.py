"""Projection of the voxel grid to columns in plain NumPy: where the ground is, what is free."""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.constants import FREE, OBSTACLE_RADIUS, OCCUPIED, UNKNOWN

MIN_FREE_SHARE = 0.25  # of the height band, in a free column
MIN_FREE_NEIGHBORS = 6  # of the 8 around a column of which less than that is free
MAX_FREE_HITS = 0.49  # share of hits that a free voxel counts with, also if it is a speck


def survey_columns(
    states: NDArray[np.int8], climb: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:  # fmt: skip
    """Find what may be ground in the columns of states (nx, ny, nz).

    Returns areas (nz,): the number of columns in which a layer is occupied below free space;
    tops (nx, ny): the lowest occupied layer of a column, or the last one above it without a gap,
    at most climb + 1 layers higher; ground (nx, ny): whether that layer exists, below free space.
    """
    occupied, free = states == OCCUPIED, states == FREE
    areas = np.count_nonzero(occupied[:, :, :-1] & free[:, :, 1:], axis=(0, 1))
    tops = occupied.argmax(axis=2)
    ground = _at(occupied, tops)
    last = states.shape[2] - 1
    for _ in range(climb + 1):  # higher ground is a step anyway
        tops = tops + ((tops < last) & _at(occupied, np.minimum(tops + 1, last)))
    ground &= (tops < last) & _at(free, np.minimum(tops + 1, last))
    return np.append(areas, 0), tops, ground


def classify_columns(
    states: NDArray[np.int8], hits: NDArray[np.uint8], misses: NDArray[np.uint8],
    bases: NDArray[np.int64], low: int, high: int, lower_share: float, obstacle_share: float,
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:  # fmt: skip
    """Return the state (nx, ny) and the share of hits (nx, ny) of columns (nx, ny, nz).

    The layers bases + low to bases + high (exclusive) of each column count; bases (nx, ny). The
    column is OCCUPIED if one of them is; FREE if MIN_FREE_SHARE of them are, and lower_share of
    their lower half, at least one; else UNKNOWN. With at least MIN_FREE_NEIGHBORS columns around
    it that fulfil this, its lower half is enough: a gap between rays is no obstacle. Within
    OBSTACLE_RADIUS columns of an OCCUPIED one, at least obstacle_share of the lower half must be
    FREE. The share of hits is the largest of its known voxels, negative where the column is
    unknown.
    """
    layers = np.arange(states.shape[2]) - bases[:, :, None]
    band = (low <= layers) & (layers < high)
    counts = np.count_nonzero(band, axis=-1)
    free = band & (states == FREE)
    half = -(-counts // 2)
    lower = np.count_nonzero(free & (np.cumsum(band, axis=-1) <= half[:, :, None]), axis=-1)
    band_free = np.count_nonzero(free, axis=-1) >= MIN_FREE_SHARE * counts
    lower_free = lower >= np.maximum(1, lower_share * half)
    occupied = (band & (states == OCCUPIED)).any(-1)
    gap = _around(lower_free & band_free & ~occupied, 1) >= MIN_FREE_NEIGHBORS
    apart = (lower >= obstacle_share * half) | (_around(occupied, OBSTACLE_RADIUS) == 0)
    shares = hits / np.maximum(hits.astype(np.float32) + misses, 1)
    shares[states == FREE] = shares[states == FREE].clip(max=MAX_FREE_HITS)
    cells = np.full(bases.shape, UNKNOWN, np.int8)
    cells[lower_free & (band_free | gap) & apart] = FREE
    cells[occupied] = OCCUPIED
    largest = np.where(band & (states != UNKNOWN), shares, 0).max(-1, initial=0)
    return cells, np.where(cells == UNKNOWN, -1, largest).astype(np.float32)


def _around(cells: NDArray[np.bool_], radius: int) -> NDArray[np.int64]:
    """Return how many of each cell (nx, ny) and those around it, in a square, are true."""
    width = 2 * radius + 1
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(cells, radius), (width, width))
    return np.count_nonzero(windows, axis=(2, 3))


def _at(grid: NDArray[np.bool_], layers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the values (nx, ny) of a grid (nx, ny, nz) in a layer of each column."""
    return np.take_along_axis(grid, layers[:, :, None], axis=2)[:, :, 0]
