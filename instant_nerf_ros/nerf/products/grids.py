"""Grids: what planners and people get, in plain numpy."""
import dataclasses

import numpy as np

from instant_nerf_ros.nerf import backends
from instant_nerf_ros.nerf.products import floor as floors
from instant_nerf_ros.nerf.backends.reference.voxels import FREE_ODDS, OCCUPIED_ODDS

BLOCK = 5.0  # metres: maps grow by these, as Nav2 rebuilds its costmaps at each other size
# Share of hits among the votes on a voxel, and what it says: where the state of the voxel changes,
# the thresholds of map_server.
SHARES = -1.0, -1e-6, 0.0, 1 / (1 + FREE_ODDS), 1 / (1 + OCCUPIED_ODDS), 1.0
PROBABILITIES = -1.0, -1.0, 0.0, 19.6, 65.0, 100.0

OCCUPIED, FREE, UNKNOWN = 100, 0, -1  # as in nav_msgs/OccupancyGrid


@dataclasses.dataclass(frozen=True)
class VoxelGrid:
    """Three states in space."""

    states: np.ndarray  # (nx, ny, nz) int8: UNKNOWN, FREE or OCCUPIED
    origin: np.ndarray  # (3,) metres, world: the corner of voxel (0, 0, 0)
    voxel_size: float  # metres


@dataclasses.dataclass(frozen=True)
class MapGrid:
    """Three states on the floor, as nav_msgs/OccupancyGrid has them."""

    cells: np.ndarray  # (ny, nx) int8, row 0 at the lowest y: UNKNOWN, FREE or OCCUPIED
    origin: np.ndarray  # (2,) metres, world: the corner of cell (0, 0)
    resolution: float  # metres, exact in float32
    probabilities: np.ndarray  # (ny, nx) int8: UNKNOWN, or 0 to 100
    floor: float  # metres, world: height that the band of heights is above
    floor_found: bool  # False: nothing tells where the floor is, and it is taken to be at z = 0


def voxels(occupancy):
    """Return the states of the voxels in the box that rays tell of: beyond it, all is unknown."""
    window = occupancy.window()
    start = [axis.start for axis in window]
    return VoxelGrid(
        occupancy.states(window), occupancy.corner + np.multiply(start, occupancy.voxel_size),
        occupancy.voxel_size)


def project(occupancy, config, floor=None):
    """Project the voxels of a band of heights above the floor onto it, as a MapGrid.

    A cell is occupied if a voxel of its column is. It is free if enough of the band is, some in
    its lower half, and no ray ended where the state is unknown: where only the upper half is
    seen, something may stand below. Else it is unknown. The band follows the floor over slopes
    and steps up to max_step, so what the robot climbs is no obstacle.
    floor: its height where the robot is [m]; None: that of floor.lowest_level.
    """
    x, y, z = window = occupancy.window()
    size = occupancy.voxel_size
    states = occupancy.states(window)
    middle = occupancy.corner[2] + (z.start + 0.5) * size  # of the lowest layer
    columns = backends.columns()
    areas, tops, ground = columns.survey(states, floors.climb(config.max_step, size))
    if floor is None:
        level = floors.lowest_level(areas, states == OCCUPIED, size)
    else:
        level = round((floor - middle) / size)
    found = level is not None
    if not found:
        level = round(-middle / size)
    bases = floors.heights(tops, ground, level, config.max_step, size)
    low, high = (int(np.ceil(np.round(height / size, 6)))
                 for height in (config.min_height, config.max_height))
    hits, passes = (grid[window].cpu().numpy() for grid in (occupancy.hits, occupancy.passes))
    cells, shares = columns.judge(states, hits, passes, bases, low, high)
    probabilities = np.interp(shares, SHARES, PROBABILITIES).astype(np.int8)
    # Whole blocks of the lattice of the world.
    block = max(1, round(BLOCK / size))
    start = (occupancy.first + [x.start, y.start, 0])[:2]
    first = start // block * block
    last = -(-np.maximum(start + cells.shape, first + 1) // block) * block
    place = tuple(slice(*limits) for limits in zip(start - first, start - first + cells.shape))
    whole = np.full((2, *(last - first)), UNKNOWN, dtype=np.int8)
    whole[0][place], whole[1][place] = cells, probabilities
    # Nav2 compares the origin with multiples of the resolution as float32 has it.
    resolution = float(np.float32(size))
    return MapGrid(
        np.ascontiguousarray(whole[0].T), first * resolution, resolution,
        np.ascontiguousarray(whole[1].T), float(middle + level * size), found)


def points(occupancy):
    """Return centres (N, 3) float32 in metres, world, and colours (N, 3) of occupied voxels."""
    window = occupancy.window()
    occupied = np.argwhere(occupancy.states(window) == OCCUPIED)
    colors = occupancy.colors[window].cpu().numpy()[tuple(occupied.T)]
    occupied += [axis.start for axis in window]
    positions = occupancy.corner + (occupied + 0.5) * occupancy.voxel_size
    return positions.astype(np.float32), colors
