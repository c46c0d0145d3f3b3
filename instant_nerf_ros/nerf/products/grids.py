"""Grids: voxels, map and points in NumPy."""
import dataclasses

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.config import MapConfig
from instant_nerf_ros.nerf.constants import OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.products import floor as floor_search

BLOCK = 5.0  # metres, by which maps grow: Nav2 rebuilds its costmaps at each change of size
# Shares of hits among the votes on a voxel, and their probabilities. Where the state changes, the
# probability is that of the thresholds of map_server.
SHARES = -1.0, -1e-6, 0.0, 0.5 - 1e-6, 0.5, 1.0
PROBABILITIES = -1.0, -1.0, 0.0, 19.6, 65.0, 100.0


@dataclasses.dataclass(frozen=True)
class VoxelGrid:
    """The states of voxels."""

    states: NDArray[np.int8]  # (nx, ny, nz): UNKNOWN, FREE or OCCUPIED
    origin: NDArray[np.float64]  # (3,) metres, world: corner of voxel (0, 0, 0)
    voxel_size: float  # metres


@dataclasses.dataclass(frozen=True)
class MapGrid:
    """The states of cells of the floor, as in nav_msgs/OccupancyGrid."""

    cells: NDArray[np.int8]  # (ny, nx), row 0 at the lowest y: UNKNOWN, FREE or OCCUPIED
    origin: NDArray[np.float64]  # (2,) metres, world: corner of cell (0, 0)
    resolution: float  # metres, exact in float32
    probabilities: NDArray[np.int8]  # (ny, nx): UNKNOWN, or 0 to 100
    floor: float  # metres, world: height of the floor, from which the band of heights is measured
    floor_found: bool  # False: no floor is known, and it is assumed at z = 0


def voxels(occupancy: OccupancyGrid) -> VoxelGrid:
    """Return the states of the voxels in the box that contains all votes."""
    window = occupancy.window()
    start = [axis.start for axis in window]
    origin = occupancy.world_corner + np.multiply(start, occupancy.voxel_size)
    return VoxelGrid(occupancy.states(window), origin, occupancy.voxel_size)


def project(
    occupancy: OccupancyGrid, config: MapConfig, floor: float | None = None,
) -> MapGrid:  # fmt: skip
    """Project the voxels in a band of heights above the floor onto a MapGrid.

    A cell is occupied if a voxel of its column is occupied. It is free if enough of the band is
    free, some of it in the lower half: if only the upper half is visible, there may be an obstacle
    below. Amid free cells, a single free voxel there is enough. Otherwise it is unknown. The band
    follows the floor over slopes and over steps up to max_step, so that steps that the robot can
    climb are no obstacles. floor is its height at the robot [m, world]; None: that of the lowest
    large layer, see floor.lowest_layer.
    """
    x, y, z = window = occupancy.window()
    size = occupancy.voxel_size
    states = occupancy.states(window)
    middle = occupancy.world_corner[2] + (z.start + 0.5) * size  # of the lowest layer
    areas, tops, ground = occupancy.backend.survey_columns(
        states, floor_search.step_layers(config.max_step, size))
    if floor is None:
        layer = floor_search.lowest_layer(areas, states == OCCUPIED, size)
    else:
        layer = round((floor - middle) / size)
    found = layer is not None
    if layer is None:
        layer = round(-middle / size)
    bases = floor_search.floor_layers(tops, ground, layer, config.max_step, size)
    low, high = (int(np.ceil(np.round(height / size, 6)))
                 for height in (config.min_height, config.max_height))
    hits, misses = (grid[window].cpu().numpy() for grid in (occupancy.hits, occupancy.misses))
    cells, shares = occupancy.backend.classify_columns(states, hits, misses, bases, low, high)
    probabilities = np.interp(shares, SHARES, PROBABILITIES).astype(np.int8)
    # Cut the map at blocks of the world, so that it seldom changes size.
    block = max(1, round(BLOCK / size))
    start = (occupancy.world_first + [x.start, y.start, 0])[:2]
    first = start // block * block
    last = -(-np.maximum(start + cells.shape, first + 1) // block) * block
    inside = tuple(slice(*limits) for limits in zip(start - first, start - first + cells.shape))
    padded = np.full((2, *(last - first)), UNKNOWN, dtype=np.int8)
    padded[0][inside], padded[1][inside] = cells, probabilities
    # Nav2 compares the origin with multiples of the resolution in float32.
    resolution = float(np.float32(size))
    frame = occupancy.frame
    origin = frame.origin[:2] + (first - frame.voxels[:2]) * resolution
    return MapGrid(
        np.ascontiguousarray(padded[0].T), origin, resolution,
        np.ascontiguousarray(padded[1].T), float(middle + layer * size), found)


def points(occupancy: OccupancyGrid) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return centers (N, 3) [m, world] and colors (N, 3) RGB of the occupied voxels."""
    window = occupancy.window()
    occupied = np.argwhere(occupancy.states(window) == OCCUPIED)
    colors = occupancy.colors[window].cpu().numpy()[tuple(occupied.T)]
    occupied += [axis.start for axis in window]
    return occupancy.world_corner + (occupied + 0.5) * occupancy.voxel_size, colors
