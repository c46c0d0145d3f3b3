"""Map projection: the voxels in a band of heights above the floor, as cells of a map."""
from __future__ import annotations

import numpy as np

from instant_nerf_ros.nerf.config import MapConfig
from instant_nerf_ros.nerf.constants import UNKNOWN
from instant_nerf_ros.nerf.occupancy.lattice import corners
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.products.floor import step_layers
from instant_nerf_ros.nerf.products.grids import MapGrid
from instant_nerf_ros.nerf.products.map_tiles import MapTile, MapTiles, Place

# Least shares of the lower half of a column that must be free: anywhere, and near an obstacle.
# Stereo finds obstacles, but misses their thin parts, such as the edge of a table, and sees what
# is behind them. So more must be free where nothing measures distances.
MEASURED, ESTIMATED = (0.0, 0.0), (0.25, 1.0)
BLOCK = 5.0  # metres, by which maps grow: Nav2 rebuilds its costmaps at each change of size


def project(
    occupancy: OccupancyGrid, config: MapConfig, floor: float | None = None,
    measured: bool = True,
) -> MapGrid:  # fmt: skip
    """Return the MapGrid of a grid, computed as a whole; see MapProjection.project."""
    projection = MapProjection()
    projection.set_floor(floor)
    return projection.project(occupancy, config, measured)


class MapProjection:
    """Projects voxels onto a MapGrid, again and again while votes come.

    Only the tiles of which votes or floor have changed since the last time are computed again, so
    that the map of a large building costs little more than that of the room around the robot.
    """

    def __init__(self) -> None:
        self._tiles: dict[Place, MapTile] = {}
        self._layers: tuple[float, ...] = ()  # that all tiles depend on
        self._floor: float | None = None

    def set_floor(self, height: float | None) -> None:
        """Set the height of the floor at the robot [m, world]; None: see floor.lowest_layer."""
        self._floor = height

    def project(
        self, occupancy: OccupancyGrid, config: MapConfig, measured: bool,
    ) -> MapGrid:  # fmt: skip
        """Return the map of the voxels in a band of heights above the floor.

        A cell is occupied if a voxel of its column is occupied. It is free if enough of the band
        is free, some of it in the lower half: if only the upper half is visible, there may be an
        obstacle below. MEASURED and ESTIMATED say how much of it. Amid free cells, the lower half
        is enough. Otherwise it is unknown. The band follows the floor over slopes and over steps
        up to max_step, so that steps that the robot can climb are no obstacles.
        """
        size = occupancy.voxel_size
        window = occupancy.window(config.max_area / size**2)
        low, high = corners(window)
        middle = occupancy.world_corner[2] + (low[2] + 0.5) * size  # of the lowest layer
        lowest, highest = (int(np.ceil(np.round(height / size, 6)))
                           for height in (config.min_height, config.max_height))
        climb = step_layers(config.max_step, size)
        lower_shares = MEASURED if measured else ESTIMATED
        layers = (int(occupancy.first[2] + low[2]), int(high[2] - low[2]), climb, lowest, highest,
                  *lower_shares)
        known = self._tiles if layers == self._layers else {}
        tiles = MapTiles(occupancy, window, climb, known)
        self._tiles, self._layers = tiles.tiles, layers
        layer = tiles.floor() if self._floor is None else round((self._floor - middle) / size)
        found = layer is not None
        if layer is None:
            layer = round(-middle / size)
        tiles.classify(layer, config.max_step, lowest, highest, lower_shares)
        # Cut the map at blocks of the world, so that it seldom changes size.
        block = max(1, round(BLOCK / size))
        begin, end = low[:2] + occupancy.world_first[:2], high[:2] + occupancy.world_first[:2]
        first = begin // block * block
        shape = -(-np.maximum(end, first + 1) // block) * block - first
        at = tuple(slice(*limits) for limits in zip(begin - first, end - first))
        cells, probabilities = (np.full(shape, UNKNOWN, np.int8) for _ in range(2))
        cells[at], probabilities[at] = tiles.cut('cells'), tiles.cut('probabilities')
        # Nav2 compares the origin with multiples of the resolution in float32.
        resolution = float(np.float32(size))
        frame = occupancy.frame
        origin = frame.origin[:2] + (first - frame.voxels[:2]) * resolution
        return MapGrid(
            np.ascontiguousarray(cells.T), origin, resolution,
            np.ascontiguousarray(probabilities.T), float(middle + layer * size), found)
