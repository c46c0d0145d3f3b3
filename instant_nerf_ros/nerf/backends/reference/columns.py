"""The columns of voxels that a map is made of, in plain numpy."""
import numpy as np

from instant_nerf_ros.nerf.backends.reference.voxels import FREE, OCCUPIED, UNKNOWN

LEAST_FREE = 0.25  # of the band, in a column that is free
UNSURE = 0.12, 0.24  # least and largest share of hits that leaves the state open


def survey(states, climb):
    """Return what of the columns of states (nx, ny, nz) int8 may be ground.

    areas (nz,) int: of each layer, the columns in which it is occupied under free space. tops
    (nx, ny) int: the lowest occupied layer, or the last above it without a gap, up to climb
    layers higher and one more. ground (nx, ny) bool: whether it is there, under free space.
    """
    occupied, free = states == OCCUPIED, states == FREE
    areas = np.count_nonzero(occupied[:, :, :-1] & free[:, :, 1:], axis=(0, 1))
    tops = occupied.argmax(axis=2)
    ground = _at(occupied, tops)
    last = states.shape[2] - 1
    for _ in range(climb + 1):  # what is higher makes a step anyway
        tops = tops + ((tops < last) & _at(occupied, np.minimum(tops + 1, last)))
    ground &= (tops < last) & _at(free, np.minimum(tops + 1, last))
    return np.append(areas, 0), tops, ground


def judge(states, hits, passes, bases, low, high):
    """Return the state (nx, ny) int8 of columns, and the share of hits (nx, ny) float32.

    Of each column the layers from bases + low to bases + high count, exclusively; bases (nx, ny).
    It is occupied if one of them is; free if LEAST_FREE of them are, one in their lower half, and
    none is unknown though rays ended in it; else unknown. The share is the largest of its voxels,
    within UNSURE where a voxel is unknown; it is negative where the column is, and no ray ended.
    """
    layers = np.arange(states.shape[2]) - bases[:, :, None]
    band = (low <= layers) & (layers < high)
    counts = np.count_nonzero(band, axis=-1)
    free = band & (states == FREE)
    lower = free & (np.cumsum(band, axis=-1) <= -(-counts // 2)[:, :, None])
    hit = band & (hits > 0)
    disputed = hit & (states == UNKNOWN)
    shares = hits / np.maximum(hits.astype(np.float32) + passes, 1)
    shares[disputed] = shares[disputed].clip(*UNSURE)
    cells = np.full(bases.shape, UNKNOWN, np.int8)
    cells[lower.any(-1) & (np.count_nonzero(free, axis=-1) >= LEAST_FREE * counts)
          & ~disputed.any(-1)] = FREE
    cells[(band & (states == OCCUPIED)).any(-1)] = OCCUPIED
    known = (cells != UNKNOWN) | disputed.any(-1)
    return cells, np.where(known, np.where(hit, shares, 0).max(-1, initial=0), -1).astype(
        np.float32)


def _at(grid, layers):
    """Return the values of a grid (nx, ny, nz) in a layer of each column, (nx, ny)."""
    return np.take_along_axis(grid, layers[:, :, None], axis=2)[:, :, 0]
