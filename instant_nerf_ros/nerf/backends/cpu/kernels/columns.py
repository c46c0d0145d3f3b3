"""Numba kernels of the projection to columns: see reference.columns."""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import jit
from instant_nerf_ros.nerf.backends.reference.columns import (
    MAX_FREE_HITS,
    MIN_FREE_NEIGHBORS,
    MIN_FREE_SHARE,
)
from instant_nerf_ros.nerf.constants import FREE, OBSTACLE_RADIUS, OCCUPIED, UNKNOWN

# Columns that others around them decide on: enough of the band is free, or of its lower half only.
BAND_FREE, LOWER_FREE = 1, 2


def survey_columns(
    states: NDArray[np.int8], climb: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:  # fmt: skip
    """See reference.columns.survey_columns."""
    areas = np.zeros(states.shape[2], np.int64)
    tops, ground = np.empty(states.shape[:2], np.int64), np.empty(states.shape[:2], np.bool_)
    _survey(states, climb, areas, tops, ground)
    return areas, tops, ground


def classify_columns(
    states: NDArray[np.int8], hits: NDArray[np.uint8], misses: NDArray[np.uint8],
    bases: NDArray[np.int64], low: int, high: int, lower_share: float, obstacle_share: float,
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:  # fmt: skip
    """See reference.columns.classify_columns."""
    cells, shares = np.empty(bases.shape, np.int8), np.empty(bases.shape, np.float32)
    certain = np.empty(bases.shape, np.bool_)  # enough is free, even near an obstacle
    _classify(states, hits, misses, bases, low, high, lower_share, obstacle_share, cells, shares,
              certain)
    _settle(cells.copy(), certain, cells, shares)
    return cells, shares


@jit
def _survey(states, climb, areas, tops, ground):
    nx, ny, nz = states.shape
    for x in range(nx):
        for y in range(ny):
            column = states[x, y]
            lowest = -1
            for k in range(nz):
                if column[k] == OCCUPIED:
                    if lowest < 0:
                        lowest = k
                    if k + 1 < nz and column[k + 1] == FREE:
                        areas[k] += 1
            top = max(lowest, 0)
            for _ in range(climb + 1):
                if top + 1 < nz and column[top + 1] == OCCUPIED:
                    top += 1
            tops[x, y] = top
            ground[x, y] = lowest >= 0 and top + 1 < nz and column[top + 1] == FREE


@jit
def _classify(
    states, hits, misses, bases, low, high, lower_share, obstacle_share, cells, shares, certain,
):  # fmt: skip
    nx, ny, nz = states.shape
    for x in range(nx):
        for y in range(ny):
            first, last = max(bases[x, y] + low, 0), min(bases[x, y] + high, nz)
            middle = first + (last - first + 1) // 2
            free, lower, occupied, max_share = 0, 0, False, np.float32(0)
            for k in range(first, last):
                state = states[x, y, k]
                if state == FREE:
                    free += 1
                    lower += k < middle
                occupied = occupied or state == OCCUPIED
                if hits[x, y, k] and state != UNKNOWN:
                    share = np.float32(hits[x, y, k]) / (
                        np.float32(hits[x, y, k]) + np.float32(misses[x, y, k]))
                    if state == FREE:
                        share = min(share, np.float32(MAX_FREE_HITS))
                    max_share = max(max_share, share)
            cells[x, y] = UNKNOWN
            if lower >= max(1.0, lower_share * (middle - first)):
                enough = free >= MIN_FREE_SHARE * (last - first)
                cells[x, y] = BAND_FREE if enough else LOWER_FREE
            if occupied:
                cells[x, y] = OCCUPIED
            shares[x, y] = max_share
            certain[x, y] = lower >= obstacle_share * (middle - first)


@jit
def _settle(classified, certain, cells, shares):
    nx, ny = cells.shape
    for x in range(nx):
        for y in range(ny):
            column = classified[x, y]
            if column in (BAND_FREE, LOWER_FREE):
                is_free = column == BAND_FREE or (
                    _around(classified, x, y, 1, BAND_FREE) >= MIN_FREE_NEIGHBORS)
                is_free = is_free and (
                    certain[x, y] or not _around(classified, x, y, OBSTACLE_RADIUS, OCCUPIED))
                cells[x, y] = FREE if is_free else UNKNOWN
            if cells[x, y] == UNKNOWN:
                shares[x, y] = -1


@jit
def _around(classified, x, y, radius, value):
    nx, ny = classified.shape
    count = 0
    for i in range(max(x - radius, 0), min(x + radius + 1, nx)):
        for j in range(max(y - radius, 0), min(y + radius + 1, ny)):
            count += classified[i, j] == value
    return count
