"""Content: where a grid has votes and densities, so that what is empty is not visited."""
from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from instant_nerf_ros.nerf.constants import OBSTACLE_RADIUS
from instant_nerf_ros.nerf.occupancy import lattice
from instant_nerf_ros.nerf.occupancy.lattice import Window

TILE = 64  # voxels, along an edge of a square of columns
WHOLE_VOXELS = 2**26  # of a window, up to which it is visited as a whole
# Voxels: votes that are farther from a tile change neither its states, which depend on the voxels
# next to them, nor its cells.
MARGIN = OBSTACLE_RADIUS + 1

DENSITIES_ONLY = 1  # the revision of a tile without votes; 0: nothing was written to it
_revisions = itertools.count(DENSITIES_ONLY + 1)  # of the votes in tiles of all grids


class Content:
    """The box of all votes of a grid, and the tiles that were written to: squares of columns.

    Each tile has a revision, which changes with its votes. Tiles are at multiples of their size on
    the lattice. Everything stays on the device of the grid, so that the host never waits. Corners
    (3,) and positions are in voxels on the lattice.
    """

    def __init__(
        self, first: NDArray[np.int64], shape: NDArray[np.int64], device: str,
        votes: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> None:  # fmt: skip
        """Begin with no tile, for a grid from a first voxel (3,) on; votes: the box of them."""
        self.first, self.size = first, shape
        self.low, self.high = (
            torch.tensor(np.asarray(corner, dtype=np.float64), device=device)
            for corner in votes or (first + shape // 2,) * 2)
        self._begin = first[:2] // TILE
        self._count = -(-(first + shape)[:2] // TILE) - self._begin
        self._revisions = torch.zeros(*self._count.tolist(), dtype=torch.int64, device=device)
        self._x, self._y = (
            torch.arange(begin, begin + count, device=device) * TILE
            for begin, count in zip(self._begin.tolist(), self._count.tolist()))

    def enlarged(self, below: NDArray[np.int64], shape: NDArray[np.int64]) -> Content:
        """Return that of a larger grid, which begins so many voxels (3,) below."""
        larger = Content(self.first - below, shape, str(self.low.device))
        larger.low, larger.high = self.low, self.high
        x, y = (self._begin - larger._begin).tolist()
        width, depth = self._count.tolist()
        larger._revisions[x : x + width, y : y + depth] = self._revisions
        return larger

    def add_votes(self, low: ArrayLike | Tensor, high: ArrayLike | Tensor) -> None:
        """Add a box with votes, from a corner (3,) to another one, exclusive."""
        low, high = (torch.as_tensor(corner, device=self.low.device).double()
                     for corner in (low, high))
        self.low, self.high = self.low.minimum(low), self.high.maximum(high)
        self.touch(low, high)

    def touch(self, low: Tensor | NDArray[np.int64], high: Tensor | NDArray[np.int64]) -> None:
        """Say that votes change in a box, from a corner to another one, exclusive."""
        along_x, along_y = (
            (tiles + TILE > begin - MARGIN) & (tiles < end + MARGIN)
            for tiles, begin, end in zip((self._x, self._y), low, high))
        self._revisions.masked_fill_(along_x[:, None] & along_y, next(_revisions))

    def add_densities(self, x: Tensor, y: Tensor) -> None:
        """Add the tiles of columns at x, y (N,); if outside of the grid, any one at its border."""
        tiles = [
            ((axis / TILE).floor().long() - int(begin)).clamp(0, int(count) - 1)
            for axis, begin, count in zip((x, y), self._begin, self._count)]
        revisions = self._revisions[tiles[0], tiles[1]]
        self._revisions[tiles[0], tiles[1]] = revisions.clamp(min=DENSITIES_ONLY)

    def window(self, around: NDArray[np.float64], columns: float = math.inf) -> Window:
        """Return the slices of the box of all votes in the grid, of at least one voxel.

        If it has more than so many columns, they are those of the part around a position (3,).
        """
        low, high = (corner.cpu().numpy().astype(int) - self.first
                     for corner in (self.low, self.high))
        low = low.clip(0, self.size - 1) + self.first
        high = np.minimum(high + self.first, self.first + self.size).clip(low + 1)
        low, high = lattice.part_around(low, high, around, columns)
        return lattice.slices(low - self.first, high - self.first)

    def voted_tiles(self, window: Window) -> dict[tuple[int, int], int]:
        """Return the revisions of the tiles (x, y) in a window that may have votes.

        Tile (0, 0) begins at voxel (0, 0) of the lattice. As long as a tile has the same revision,
        no votes have changed in it, nor within MARGIN of it.
        """
        low, high = (corner[:2] + self.first[:2] for corner in lattice.corners(window))
        begin, end = low // TILE - self._begin, -(-high // TILE) - self._begin
        revisions = self._revisions.cpu().numpy()[begin[0] : end[0], begin[1] : end[1]]
        places = np.argwhere(revisions > DENSITIES_ONLY)
        x, y = (places + begin + self._begin).T.tolist()
        return dict(zip(zip(x, y), revisions[tuple(places.T)].tolist()))

    def pieces(self, window: Window | None = None) -> list[Window]:
        """Return parts of a window, or of the whole grid, with all content that is in it.

        They are rows of tiles along y, or the window itself if it is small.
        """
        low, high = lattice.corners(window) if window else (np.zeros(3, dtype=int), self.size)
        if np.prod(1.0 * (high - low)) <= WHOLE_VOXELS:
            return [lattice.slices(low, high)]
        pieces, touched = [], (self._revisions > 0).cpu().numpy()
        for row in np.flatnonzero(touched.any(1)):
            ends = np.flatnonzero(np.diff(touched[row].astype(np.int8), prepend=0, append=0))
            for begin, end in ends.reshape(-1, 2):
                start, stop = ((self._begin + tile) * TILE - self.first[:2]
                               for tile in ((row, begin), (row + 1, end)))
                start, stop = np.maximum(low, [*start, 0]), np.minimum(high, [*stop, high[2]])
                if (start < stop).all():
                    pieces.append(lattice.slices(start, stop))
        return pieces
