"""Grids: voxels, map and points in NumPy."""
import dataclasses

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.constants import OCCUPIED
from instant_nerf_ros.nerf.occupancy.lattice import Window
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

DENSE_VOXELS = 2e8  # of products that take memory for each voxel: 70 x 70 m, 5 m high


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


def dense_window(occupancy: OccupancyGrid) -> Window:
    """Return the box that contains all votes or, of a large one, the part around the sensor."""
    return occupancy.window(DENSE_VOXELS / occupancy.shape[2])


def voxels(occupancy: OccupancyGrid) -> VoxelGrid:
    """Return the states of the voxels in the dense window."""
    window = dense_window(occupancy)
    start = [axis.start for axis in window]
    origin = occupancy.world_corner + np.multiply(start, occupancy.voxel_size)
    return VoxelGrid(occupancy.states(window), origin, occupancy.voxel_size)


def points(occupancy: OccupancyGrid) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return centers (N, 3) [m, world] and colors (N, 3) RGB of the occupied voxels."""
    index, colors = [np.empty((0, 3), int)], [np.empty((0, 3), np.uint8)]
    for piece in occupancy.content.pieces(occupancy.window()):
        occupied = np.argwhere(occupancy.states(piece) == OCCUPIED)
        colors.append(occupancy.colors[piece].cpu().numpy()[tuple(occupied.T)])
        index.append(occupied + [axis.start for axis in piece])
    positions = (np.concatenate(index) + 0.5) * occupancy.voxel_size
    return occupancy.world_corner + positions, np.concatenate(colors)
