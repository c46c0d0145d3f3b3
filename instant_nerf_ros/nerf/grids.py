"""Grids: what planners and people get, in plain numpy."""
import dataclasses

import numpy as np

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


def voxels(occupancy):
    """Return the states of all voxels."""
    states = np.full(occupancy.shape, UNKNOWN, dtype=np.int8)
    window = occupancy.window()
    states[window] = occupancy.states(window)
    return VoxelGrid(states, occupancy.corner, occupancy.voxel_size)


def project(occupancy, config):
    """Project the voxels of a band of heights onto the floor.

    A cell is occupied if a voxel of its column is; free if one is free and about none the rays
    disagree, as they do where a surface fills a part of it; else unknown.
    Raises ValueError for an empty band.
    """
    if config.max_height - config.min_height < occupancy.voxel_size:
        raise ValueError(
            f'map.max_height ({config.max_height}) must be at least a voxel '
            f'({occupancy.voxel_size}) above map.min_height ({config.min_height})')
    heights = np.array([config.min_height, config.max_height])
    # The layers whose middle lies in the band; rounded, as edges often lie exactly on a middle.
    layers = (heights - occupancy.corner[2]) / occupancy.voxel_size - 0.5
    layers = np.ceil(np.round(layers, 6)).astype(int)
    x, y, z = occupancy.window()
    window = x, y, slice(*layers.clip(z.start, z.stop))
    states = occupancy.states(window)
    contested = (occupancy.seen(window) & (states == UNKNOWN)).any(-1)
    known = np.full(states.shape[:2], UNKNOWN, dtype=np.int8)
    known[(states == FREE).any(-1) & ~contested] = FREE
    known[(states == OCCUPIED).any(-1)] = OCCUPIED
    cells = np.full(occupancy.shape[1::-1], UNKNOWN, dtype=np.int8)
    cells[y, x] = known.T
    # Nav2 compares the origin with multiples of the resolution as float32 has it.
    resolution = float(np.float32(occupancy.voxel_size))
    return MapGrid(cells, occupancy.first[:2] * resolution, resolution)


def points(occupancy):
    """Return centres (N, 3) float32 in metres, world, and colours (N, 3) of occupied voxels."""
    window = occupancy.window()
    occupied = np.argwhere(occupancy.states(window) == OCCUPIED)
    occupied += [axis.start for axis in window]
    positions = occupancy.corner + (occupied + 0.5) * occupancy.voxel_size
    return positions.astype(np.float32), occupancy.colors.numpy()[tuple(occupied.T)]
