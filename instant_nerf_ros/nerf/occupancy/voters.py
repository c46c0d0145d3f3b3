"""Voters: where the images and scans were whose votes are in a grid, kept or not."""
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ids = TypeVar('Ids', int, NDArray[np.int64])

TAGS = 255  # ids that a voxel distinguishes; tag 0 is none


class Voters:
    """The positions of all that have voted with measured distances, by id."""

    def __init__(self) -> None:
        self.positions = np.full((1, 3), np.nan, np.float32)  # (I, 3) m, local; not finite: none

    def add(self, vote_id: int, position: ArrayLike) -> None:
        """Add the position (3,) [m, local] of what votes under an id."""
        while vote_id >= len(self.positions):
            self.positions = np.concatenate([self.positions, np.full_like(self.positions, np.nan)])
        self.positions[vote_id] = position

    def ids(self) -> NDArray[np.int64]:
        """Return the ids (V,) of all that have voted."""
        return np.flatnonzero(np.isfinite(self.positions).all(1))

    def nearest(
        self, tags: NDArray[np.uint8], places: NDArray[np.float64],
    ) -> NDArray[np.int64]:  # fmt: skip
        """Return the ids (N,) of those with tags (N,) that were nearest to places (N, 3); 0: none.

        A voxel has room for a tag only, and ids with the same tag are far apart in time.
        """
        ids, distances = np.zeros(len(tags), np.int64), np.full(len(tags), np.inf)
        for begin in range(0, len(self.positions), TAGS):
            candidates = begin + tags.astype(np.int64) - 1
            known = (tags > 0) & (candidates < len(self.positions))
            farther = np.linalg.norm(
                places - self.positions[np.where(known, candidates, 0)], axis=1)
            closer = known & (farther < distances)  # false for those without a position, too
            ids[closer], distances[closer] = candidates[closer], farther[closer]
        return ids


def tag(vote_id: Ids) -> Ids:
    """Return what voxels have of an id, or of several (N,)."""
    return vote_id % TAGS + 1
