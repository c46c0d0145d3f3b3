"""Grids: voxels, map and points in NumPy."""
import dataclasses

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.config import MapConfig
from instant_nerf_ros.nerf.constants import OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf.occupancy import lattice
from instant_nerf_ros.nerf.occupancy.lattice import Window
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.products import floor as floor_search

DENSE_VOXELS = 2e8  # of products that take memory for each voxel: 70 x 70 m, 5 m high
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


def dense_window(occupancy: OccupancyGrid) -> Window:
    """Return the box that contains all votes or, of a large one, the part around the sensor."""
    return occupancy.window(DENSE_VOXELS / occupancy.shape[2])


def voxels(occupancy: OccupancyGrid) -> VoxelGrid:
    """Return the states of the voxels in the dense window."""
    window = dense_window(occupancy)
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
    size = occupancy.voxel_size
    x, y, z = window = occupancy.window(config.max_area / size**2)
    middle = occupancy.world_corner[2] + (z.start + 0.5) * size  # of the lowest layer
    columns = _Columns(occupancy, window, floor_search.step_layers(config.max_step, size))
    layer = columns.floor() if floor is None else round((floor - middle) / size)
    found = layer is not None
    if layer is None:
        layer = round(-middle / size)
    bases = floor_search.floor_layers(columns.tops, columns.ground, layer, config.max_step, size)
    low, high = (int(np.ceil(np.round(height / size, 6)))
                 for height in (config.min_height, config.max_height))
    cells, shares = columns.classified(bases, low, high)
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


class _Columns:
    """The columns of a window, and what may be ground in them, piece by piece."""

    def __init__(self, occupancy: OccupancyGrid, window: Window, climb: int) -> None:
        self.occupancy, self.window = occupancy, window
        shape = tuple(axis.stop - axis.start for axis in window)
        self.areas = np.zeros(shape[2], np.int64)
        self.tops, self.ground = np.zeros(shape[:2], np.int64), np.zeros(shape[:2], np.bool_)
        self.lowest = np.full(shape[:2], shape[2])  # occupied layers; the last one and 1: none
        self.pieces: list[tuple[Window, NDArray[np.int8]]] = []  # one more column on each side
        for piece in occupancy.content.pieces(window):
            more = self._with_border(piece)
            states = occupancy.states(more)
            self.pieces.append((piece, states))
            at, inner = self._place(piece), states[lattice.inside(piece, more)]
            areas, self.tops[at], self.ground[at] = occupancy.backend.survey_columns(inner, climb)
            self.areas += areas
            occupied = inner == OCCUPIED
            self.lowest[at] = np.where(occupied.any(2), occupied.argmax(2), shape[2])

    def floor(self) -> int | None:
        """Return the layer of the floor, None if there is none; see floor.lowest_layer."""
        return floor_search.lowest_layer(self.areas, self.lowest, self.occupancy.voxel_size)

    def classified(
        self, bases: NDArray[np.int64], low: int, high: int,
    ) -> tuple[NDArray[np.int8], NDArray[np.float32]]:  # fmt: skip
        """Return states and shares of hits of the columns; see Backend.classify_columns."""
        cells = np.full(bases.shape, UNKNOWN, np.int8)
        shares = np.full(bases.shape, -1, np.float32)
        for piece, states in self.pieces:
            more = self._with_border(piece)
            hits, misses = (grid[more].cpu().numpy()
                            for grid in (self.occupancy.hits, self.occupancy.misses))
            parts = self.occupancy.backend.classify_columns(
                states, hits, misses, bases[self._place(more)], low, high)
            inner = lattice.inside(piece, more)[:2]
            cells[self._place(piece)], shares[self._place(piece)] = (
                part[inner] for part in parts)
        return cells, shares

    def _with_border(self, piece: Window) -> Window:
        """Return a piece with a column more on each side, as far as the window has them."""
        x, y = (slice(max(axis.start - 1, limit.start), min(axis.stop + 1, limit.stop))
                for axis, limit in zip(piece[:2], self.window))
        return x, y, piece[2]

    def _place(self, piece: Window) -> tuple[slice, slice]:
        return lattice.inside(piece, self.window)[:2]


def points(occupancy: OccupancyGrid) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return centers (N, 3) [m, world] and colors (N, 3) RGB of the occupied voxels."""
    index, colors = [np.empty((0, 3), int)], [np.empty((0, 3), np.uint8)]
    for piece in occupancy.content.pieces(occupancy.window()):
        occupied = np.argwhere(occupancy.states(piece) == OCCUPIED)
        colors.append(occupancy.colors[piece].cpu().numpy()[tuple(occupied.T)])
        index.append(occupied + [axis.start for axis in piece])
    positions = (np.concatenate(index) + 0.5) * occupancy.voxel_size
    return occupancy.world_corner + positions, np.concatenate(colors)
