"""Frozen votes: those of a map to which others are added, and which no correction moves."""
from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.occupancy import grid_state, lattice
from instant_nerf_ros.nerf.occupancy.blocks import VOTES, pieces_of, to_blocks
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid


class FrozenVotes:
    """A copy of the votes of a grid, in blocks."""

    def __init__(self, occupancy: OccupancyGrid) -> None:
        self.places, self.blocks = to_blocks(occupancy, VOTES)  # (B, 3), (B,)
        self._box = occupancy.content.low.cpu().numpy(), occupancy.content.high.cpu().numpy()

    @functools.cached_property
    def checksums(self) -> Mapping[bytes, int]:
        """Return the CRC-32 of the blocks by their places, as bytes."""
        return block_checksums(self.places, self.blocks)

    def put(self, occupancy: OccupancyGrid) -> None:
        """Give these votes to an empty grid in the same frame.

        Raises ValueError if there is no memory for them; the grid is as before then.
        """
        low, high = self._box
        occupancy.grow_to(*(lattice.middle(corner, occupancy.voxel_size)
                            for corner in (low, high - 1)))
        first, shape = occupancy.first, np.array(occupancy.shape)
        grid_state.restore(occupancy, first, shape, self._box, list(pieces_of(
            self.places, {name: self.blocks[name] for name in VOTES}, first, shape)))


def block_checksums(
    places: NDArray[np.int64], blocks: NDArray[Any],
) -> dict[bytes, int]:  # fmt: skip
    """Return the CRC-32 of blocks (B,) by their places (B, 3), as bytes."""
    return {place.tobytes(): zlib.crc32(block.tobytes()) for place, block in zip(places, blocks)}
