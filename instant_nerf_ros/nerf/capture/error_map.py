"""Error map: where in the keyframes the field is wrong, so that rays go there (as in instant-ngp).

The error of each tile of an image is a moving average over the rays sampled from it.
"""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.constants import (
    ERROR_FLOOR,
    ERROR_RATE,
    NO_ERROR,
    TILE_COLUMNS,
    TILE_ROWS,
    TILES,
)


class ErrorMap:
    """The mean color error of K keyframes, tile by tile."""

    def __init__(self) -> None:
        self.errors = np.empty((0, TILES), dtype=np.float32)  # in [0, 1]

    def append(self) -> None:
        """Add a keyframe with unknown errors: all its tiles have the same."""
        self.errors = np.concatenate([self.errors, np.ones((1, TILES), dtype=np.float32)])

    def remove(self, k: int) -> None:
        """Remove keyframe k."""
        self.errors = np.delete(self.errors, k, axis=0)

    def sample_tiles(
        self, keyframes: NDArray[np.integer], generator: np.random.Generator,
    ) -> NDArray[np.int64]:  # fmt: skip
        """Return a tile (R,) for a ray of each keyframe (R,), in proportion to the errors."""
        sums = self.errors.cumsum(1)
        least = ERROR_FLOOR * sums[:, -1:] / TILES + NO_ERROR
        sums += least * np.arange(1, TILES + 1, dtype=np.float32)
        chosen = sums[keyframes]
        share = generator.random(len(keyframes), dtype=np.float32) * chosen[:, -1]
        return np.minimum((chosen < share[:, None]).sum(1), TILES - 1)

    def update(
        self, keyframes: NDArray[np.integer], tiles: NDArray[np.integer],
        errors: NDArray[np.float32],
    ) -> None:  # fmt: skip
        """Move the error of tiles (R,) of keyframes (R,) towards the errors (R,) of rays."""
        size = self.errors.size
        places = keyframes * TILES + tiles
        counts = np.bincount(places, minlength=size)
        touched = np.flatnonzero(counts)
        counts = counts[touched]
        means = np.bincount(places, errors, size)[touched] / counts
        flat = self.errors.reshape(-1)
        flat[touched] += (1 - (1 - ERROR_RATE) ** counts) * (means - flat[touched])


def pixel_in(
    tiles: NDArray[np.int64], widths: NDArray[np.int64], heights: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.int64]:  # fmt: skip
    """Return a random pixel (R,), row-major, in tiles (R,) of images of these sizes (R,)."""
    across, down = generator.random((2, len(tiles)))
    u = ((tiles % TILE_COLUMNS + across) * widths / TILE_COLUMNS).astype(np.int64)
    v = ((tiles // TILE_COLUMNS + down) * heights / TILE_ROWS).astype(np.int64)
    return v * widths + u


def tile_of(
    pixels: NDArray[np.int64], widths: NDArray[np.int64], heights: NDArray[np.int64],
) -> NDArray[np.int64]:  # fmt: skip
    """Return the tile (R,) in which a pixel (R,) lies."""
    u, v = pixels % widths, pixels // widths
    return v * TILE_ROWS // heights * TILE_COLUMNS + u * TILE_COLUMNS // widths
