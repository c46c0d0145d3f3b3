"""Hole edges: how far away it is that the pixels without depth of an image begin."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.constants import TILE_COLUMNS, TILE_ROWS, TILES


class HoleEdges:
    """The depths below the holes of keyframes, which tell what kind of holes they are.

    Where a floor or a wall leaves the range of the sensor, the nearest depth below a hole is that
    range. Below something black, glossy or glass it is that of its foot, if there is any.
    """

    def __init__(self, keyframes: Keyframes) -> None:
        self._keyframes = keyframes
        self._revision = -1  # of the keyframes, of which the others are
        self._by_id: dict[int, NDArray[np.float32]] = {}
        self._table = np.empty((0, TILES), np.float32)

    def table(self) -> NDArray[np.float32]:
        """Return the mean depth (K, TILES) [mm] below the holes in a tile of the error map.

        A hole without any depth below it counts as 0, and so does a tile without holes.
        """
        keyframes, known = self._keyframes, self._by_id
        if self._revision != keyframes.revision:
            self._by_id = {
                each: known[each] if each in known else tile_edges(keyframes.image(k)[2])
                for k, each in enumerate(keyframes.ids.tolist())}
            self._table = np.stack(list(self._by_id.values()))
            self._revision = keyframes.revision
        return self._table


def tile_edges(depths: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the mean depth (TILES,) below the holes in a tile of depths (H, W) [mm]."""
    height = len(depths)
    rows = np.where(depths > 0, np.arange(height, dtype=np.int16)[:, None], height - 1)
    below = np.minimum.accumulate(rows[::-1])[::-1]  # the next row with depth, else the last one
    holes = (depths == 0).astype(np.float32)
    edges = holes * np.take_along_axis(depths, below.astype(np.int64), 0)
    return _tile_sums(edges) / _tile_sums(holes).clip(min=1)


def _tile_sums(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sums (TILES,) of values (H, W) in the tiles of an image."""
    top, left = (
        (-(-np.arange(count) * size // count)).clip(max=size - 1)
        for count, size in zip((TILE_ROWS, TILE_COLUMNS), values.shape))
    sums: NDArray[np.float32] = np.add.reduceat(np.add.reduceat(values, top, 0), left, 1)
    return sums.ravel()
