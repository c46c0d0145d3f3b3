"""Metrics of views and maps against a reference, each with its definition.

States of voxels and cells are those of nav_msgs/OccupancyGrid: 100 occupied, 0 free, -1 unknown.
"""
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

OCCUPIED, FREE, UNKNOWN = 100, 0, -1

States = NDArray[np.int8]
Mask = NDArray[np.bool_]


def psnr(image: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio of an image [dB]: 10 log10(255^2 / MSE)."""
    error = np.mean((image.astype(np.float64) - reference) ** 2)
    return 10 * math.log10(255**2 / error) if error else math.inf


def depth_errors(
    depth: NDArray[np.floating], reference: NDArray[np.floating],
) -> NDArray[np.floating]:  # fmt: skip
    """Return |depth - reference| (N,) [m] of the pixels (H, W) that have a depth in both."""
    return np.abs(depth - reference)[has_depth(depth) & has_depth(reference)]


def has_depth(depth: NDArray[np.floating]) -> Mask:
    """Return which pixels of a depth image (H, W) are measured: those finite and > 0."""
    return np.isfinite(depth) & (np.nan_to_num(depth) > 0)


def project(
    states: States, origin: NDArray[np.floating], voxel_size: float, min_height: float,
    max_height: float,
) -> States:  # fmt: skip
    """Return the map (ny, nx) of the voxels (nx, ny, nz) whose center is between two heights [m].

    A cell is occupied if a voxel of its column is, free if one is free and none occupied. Row 0
    is at the lowest y. origin (3,): the corner of voxel [0, 0, 0] [m].
    """
    heights = np.array([min_height, max_height])
    layers = np.ceil((heights - origin[2]) / voxel_size - 0.5 - 1e-6).astype(int).clip(0)
    return states[:, :, slice(*layers)].max(axis=2).T  # 100 > 0 > -1


def points_agreement(
    points: NDArray[np.floating], states: States, origin: NDArray[np.floating], voxel_size: float,
) -> dict[str, float]:  # fmt: skip
    """Return recall and precision of occupied voxels within one voxel, as fractions.

    points (N, 3): centers of occupied voxels [m]. states (nx, ny, nz) of the reference; origin
    (3,): the corner of its voxel [0, 0, 0] [m].
    found: recall, the occupied voxels of the reference with a point in them or in one of their 26
    neighbors. correct: precision, the points with an occupied voxel of the reference in their
    voxel or its neighbors. judged: the points for which that is defined: those in the grid, whose
    voxel and its neighbors are not all unknown to the reference.
    """
    reference = states == OCCUPIED
    index = np.floor((points - origin) / voxel_size).astype(int)
    inside = ((index >= 0) & (index < states.shape)).all(axis=1)
    at = tuple(index[inside].T)
    occupied = np.zeros(states.shape, bool)
    occupied[at] = True
    judged = dilate(states != UNKNOWN)[at]
    return {
        'found': _fraction(dilate(occupied)[reference]),
        'correct': _fraction(dilate(reference)[at][judged]),
        'judged': judged.sum() / len(points) if len(points) else math.nan,
    }


def grid_agreement(
    states: States, origin: ArrayLike, voxel_size: float, reference: States,
    reference_origin: ArrayLike,
) -> dict[str, float]:  # fmt: skip
    """Return error rates of the free cells or voxels of a grid, as fractions.

    Both grids have two or three dimensions, the same voxel size [m] and lattice, and axes in the
    order of their origins [m], the corners of voxel [0, 0] or [0, 0, 0]. Voxels that the
    reference does not know are left out.
    free_wrong: of the free voxels of the grid, those that are occupied.
    free_far_wrong: of them, those without an occupied voxel of the grid among the 8 or 26
    neighbors.
    occupied_as_free: of the occupied voxels of the reference, those that the grid has as free.
    free_known: of the free voxels of the reference, those that the grid has as free or occupied.
    """
    offset = np.round(np.subtract(reference_origin, origin) / voxel_size).astype(int)
    first = np.maximum(offset, 0)
    last = np.minimum(offset + reference.shape, states.shape)
    overlap = np.full(reference.shape, UNKNOWN, np.int8)
    if (last > first).all():
        overlap[tuple(map(slice, first - offset, last - offset))] = states[
            tuple(map(slice, first, last))]
    free, occupied = (overlap == FREE) & (reference != UNKNOWN), reference == OCCUPIED
    far = ~dilate(overlap == OCCUPIED)
    return {
        'free_wrong': _fraction(occupied[free]),
        'free_far_wrong': _fraction((occupied & far)[free]),
        'occupied_as_free': _fraction(free[occupied]),
        'free_known': _fraction(overlap[reference == FREE] != UNKNOWN),
    }


def dilate(mask: Mask) -> Mask:
    """Return a mask of any dimension, dilated by one cell in all directions, also diagonally."""
    mask = mask.copy()
    for axis in range(mask.ndim):
        lower, upper = (
            tuple(part if number == axis else slice(None) for number in range(mask.ndim))
            for part in (slice(None, -1), slice(1, None)))
        before = mask.copy()
        mask[upper] |= before[lower]
        mask[lower] |= before[upper]
    return mask


def _fraction(condition: Mask) -> float:
    return float(np.mean(condition)) if len(condition) else math.nan
