"""How well views and grids agree with the truth: plain numbers, each with its definition.

Grids have the states of nav_msgs/OccupancyGrid: 100 occupied, 0 free, -1 unknown.
"""
import math

import numpy as np

OCCUPIED, FREE, UNKNOWN = 100, 0, -1


def psnr(image, truth):
    """Return the peak signal-to-noise ratio of a uint8 image [dB]: 10 log10(255^2 / MSE)."""
    error = np.mean((image.astype(np.float64) - truth) ** 2)
    return 10 * math.log10(255**2 / error) if error else math.inf


def depth_errors(depth, truth):
    """Return |depth - truth| (N,) [m] of the pixels at which both are measured.

    Not finite or <= 0 means not measured.
    """
    return np.abs(depth - truth)[measured(depth) & measured(truth)]


def measured(depth):
    """Return where a depth image (H, W) has a value."""
    return np.isfinite(depth) & (np.nan_to_num(depth) > 0)


def project(states, origin, voxel_size, min_height, max_height):
    """Return the map (ny, nx) int8 of the voxels (nx, ny, nz) whose middle is between two heights.

    A cell is occupied if a voxel of its column is, free if one is free and none occupied. Row 0
    is at the lowest y. origin (3,): the corner of voxel [0, 0, 0] [m].
    """
    heights = np.array([min_height, max_height])
    layers = np.ceil((heights - origin[2]) / voxel_size - 0.5 - 1e-6).astype(int).clip(0)
    return states[:, :, slice(*layers)].max(axis=2).T  # 100 > 0 > -1


def points_agreement(points, states, origin, voxel_size):
    """Return how the centres (N, 3) [m] of occupied voxels agree with a reference, as shares.

    found: of the occupied voxels of the reference, those with a point in them or in one of the 26
    voxels around. correct: of the points, those with an occupied voxel of the reference as near;
    points are left out that are beyond its grid, or in and among unknown voxels only, where it
    cannot tell. judged: the share of the points that are left.
    """
    reference = states == OCCUPIED
    index = np.floor((points - origin) / voxel_size).astype(int)
    inside = ((index >= 0) & (index < states.shape)).all(axis=1)
    index = tuple(index[inside].T)
    ours = np.zeros(states.shape, bool)
    ours[index] = True
    judged = grown(states != UNKNOWN)[index]
    return {
        'found': _share(grown(ours)[reference]),
        'correct': _share(grown(reference)[index][judged]),
        'judged': judged.sum() / len(points) if len(points) else math.nan,
    }


def grid_agreement(states, origin, voxel_size, truth, truth_origin):
    """Return how free a grid is where it should be, as shares, in two or three dimensions.

    Both have the same voxel size [m] and lattice, and axes in the order of their origins [m],
    which are the corners of voxel [0, 0] or [0, 0, 0]. Only voxels that the truth knows count.
    free_wrong: of the voxels that the grid calls free, those that are occupied.
    free_far_wrong: those of them that have no occupied voxel of the grid in the 8 or 26 around.
    occupied_as_free: of the voxels that are occupied, those that the grid calls free.
    free_known: of the voxels that are free, those that the grid knows.
    """
    offset = np.round(np.subtract(truth_origin, origin) / voxel_size).astype(int)
    first, last = np.maximum(offset, 0), np.minimum(offset + truth.shape, states.shape)
    ours = np.full(truth.shape, UNKNOWN, np.int8)
    if (last > first).all():
        ours[tuple(map(slice, first - offset, last - offset))] = states[
            tuple(map(slice, first, last))]
    free, occupied = (ours == FREE) & (truth != UNKNOWN), truth == OCCUPIED
    far = ~grown(ours == OCCUPIED)
    return {
        'free_wrong': _share(occupied[free]),
        'free_far_wrong': _share((occupied & far)[free]),
        'occupied_as_free': _share(free[occupied]),
        'free_known': _share(ours[truth == FREE] != UNKNOWN),
    }


def grown(mask):
    """Return a mask (any dimensions) grown by one cell to all sides and corners."""
    mask = mask.copy()
    for axis in range(mask.ndim):
        lower, upper = (
            tuple(part if number == axis else slice(None) for number in range(mask.ndim))
            for part in (slice(None, -1), slice(1, None)))
        before = mask.copy()
        mask[upper] |= before[lower]
        mask[lower] |= before[upper]
    return mask


def _share(condition):
    return float(np.mean(condition)) if len(condition) else math.nan
