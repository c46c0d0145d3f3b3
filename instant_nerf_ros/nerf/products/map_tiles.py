"""Map tiles: what the columns of voxels are, tile by tile, so that only changes are computed."""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.constants import OBSTACLE_RADIUS, OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf.occupancy.content import TILE
from instant_nerf_ros.nerf.occupancy.lattice import Window, corners, inside, slices
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.products import floor

# Shares of hits among the votes on a voxel, and their probabilities. Where the state changes, the
# probability is that of the thresholds of map_server.
SHARES = -1.0, -1e-6, 0.0, 0.5 - 1e-6, 0.5, 1.0
PROBABILITIES = -1.0, -1.0, 0.0, 19.6, 65.0, 100.0
BORDER = OBSTACLE_RADIUS  # more columns on each side of a tile, which its cells depend on
INNER = np.s_[BORDER:-BORDER, BORDER:-BORDER]  # of a tile with its border

Place = tuple[int, int]  # of a tile on the lattice, in tiles


@dataclasses.dataclass(frozen=True)
class MapTile:
    """What the columns (TILE, TILE) of a tile are; layers are counted from that of the window."""

    revision: int  # of its votes, see Content
    areas: NDArray[np.int64]  # (nz,), see Backend.survey_columns
    tops: NDArray[np.int16]
    ground: NDArray[np.bool_]
    lowest: NDArray[np.int16]  # the lowest occupied layer, nz without any
    cells: NDArray[np.int8]
    probabilities: NDArray[np.int8]
    bases: NDArray[np.int32] | None = None  # the floor, with a border, by which cells are known


class MapTiles:
    """The tiles of a window with votes, of which some may be known from before."""

    def __init__(
        self, occupancy: OccupancyGrid, window: Window, climb: int, known: Mapping[Place, MapTile],
    ) -> None:  # fmt: skip
        """Survey the tiles of which votes have changed; climb: layers, see survey_columns."""
        self._occupancy, self._climb = occupancy, climb
        self._z = window[2]
        self._nz = window[2].stop - window[2].start
        self._states: dict[Place, NDArray[np.int8]] = {}  # of the tiles that were surveyed
        self.tiles: dict[Place, MapTile] = {}
        for place, revision in occupancy.content.voted_tiles(window).items():
            tile = known.get(place)
            self.tiles[place] = (
                tile if tile and tile.revision == revision else self._survey(place, revision))
        self._low, self._high = (
            corner[:2] + occupancy.first[:2] for corner in corners(window))
        places = np.array([*self.tiles]) if self.tiles else self._low[None] // TILE
        self._begin = places.min(0)  # of the box of all tiles, which may be much smaller
        self._shape = (places.max(0) + 1 - self._begin) * TILE

    def floor(self) -> int | None:
        """Return the layer of the floor, None if there is none; see floor.lowest_layer."""
        areas = sum((tile.areas for tile in self.tiles.values()), np.zeros(self._nz, np.int64))
        return floor.lowest_layer(
            areas, self._assembled('lowest', self._nz, np.int64), self._occupancy.voxel_size)

    def classify(
        self, layer: int, max_step: float, low: int, high: int,
        lower_shares: tuple[float, float],
    ) -> None:  # fmt: skip
        """Classify the columns by the layers low to high (exclusive) above the floor.

        layer is that of the floor at the robot; max_step [m], see floor.floor_layers.
        lower_shares: see map_projection. Tiles of which neither votes nor floor have changed stay
        as they are.
        """
        bases = np.pad(floor.floor_layers(
            self._assembled('tops', 0, np.int64), self._assembled('ground', False, np.bool_),
            layer, max_step, self._occupancy.voxel_size), BORDER, 'edge').astype(np.int32)
        for place, tile in list(self.tiles.items()):
            x, y = (np.array(place) - self._begin) * TILE
            own = bases[x : x + TILE + 2 * BORDER, y : y + TILE + 2 * BORDER]
            if tile.bases is None or not np.array_equal(own, tile.bases):
                cells, probabilities = self._classified(place, own, low, high, lower_shares)
                self.tiles[place] = dataclasses.replace(
                    tile, cells=cells, probabilities=probabilities, bases=own.copy())

    def cut(self, name: str) -> NDArray[np.int8]:
        """Return the cells or the probabilities (nx, ny) of the window."""
        cut = np.full(self._high - self._low, UNKNOWN, np.int8)
        first = self._begin * TILE
        low, high = np.maximum(first, self._low), np.minimum(first + self._shape, self._high)
        inner, outer = (tuple(map(slice, low - corner, high - corner))
                        for corner in (first, self._low))
        cut[outer] = self._assembled(name, UNKNOWN, np.int8)[inner]
        return cut

    def _survey(self, place: Place, revision: int) -> MapTile:
        states = self._states[place] = self._around(place, 'states', UNKNOWN)
        inner = np.ascontiguousarray(states[INNER])
        areas, tops, ground = self._occupancy.backend.survey_columns(inner, self._climb)
        occupied = inner == OCCUPIED
        lowest = np.where(occupied.any(2), occupied.argmax(2), self._nz)
        unknown = np.full((TILE, TILE), UNKNOWN, np.int8)
        return MapTile(revision, areas, tops.astype(np.int16), ground, lowest.astype(np.int16),
                       unknown, unknown)

    def _classified(
        self, place: Place, bases: NDArray[np.int32], low: int, high: int,
        lower_shares: tuple[float, float],
    ) -> tuple[NDArray[np.int8], NDArray[np.int8]]:  # fmt: skip
        states = self._states.get(place)
        if states is None:
            states = self._around(place, 'states', UNKNOWN)
        hits, misses = (self._around(place, name, 0) for name in ('hits', 'misses'))
        cells, shares = self._occupancy.backend.classify_columns(
            states, hits, misses, bases.astype(np.int64), low, high, *lower_shares)
        return cells[INNER], np.interp(shares[INNER], SHARES, PROBABILITIES).astype(np.int8)

    def _around(self, place: Place, name: str, fill: int) -> NDArray[Any]:
        """Return states, hits or misses of a tile with its border.

        Outside of the grid they are `fill`.
        """
        first = np.array([*place, 0]) * TILE - self._occupancy.first
        box = slices(np.array([*first[:2] - BORDER, self._z.start]),
                     np.array([*first[:2] + TILE + BORDER, self._z.stop]))
        low, high = corners(box)
        part = slices(low.clip(min=0), np.minimum(high, self._occupancy.shape))
        content = (self._occupancy.states(part) if name == 'states'
                   else getattr(self._occupancy, name)[part].cpu().numpy())
        values = np.full(high - low, fill, content.dtype)
        values[inside(part, box)] = content
        return values

    def _assembled(self, name: str, fill: int, kind: type) -> NDArray[Any]:
        """Return what all tiles have by a name, in one array; where there is none, `fill`."""
        values = np.full(self._shape, fill, kind)
        for place, tile in self.tiles.items():
            x, y = (np.array(place) - self._begin) * TILE
            values[x : x + TILE, y : y + TILE] = getattr(tile, name)
        return values
