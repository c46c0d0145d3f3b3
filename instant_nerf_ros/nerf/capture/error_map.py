"""Error map: where in the keyframes the field is wrong, so that rays go there (instant-ngp's)."""
import numpy as np

COLUMNS, ROWS = 16, 12  # tiles of an image
TILES = COLUMNS * ROWS
RATE = 0.1  # share by which one ray moves the error of its tile
FLOOR = 0.1  # share of the mean error of its keyframe that a tile is taken to have at least
NOTHING = 0.003  # error that is none: less than a step of 8 bits


class ErrorMap:
    """The mean colour error of K keyframes, tile by tile."""

    def __init__(self):
        self.errors = np.empty((0, TILES), dtype=np.float32)  # of the rays of late, in [0, 1]

    def append(self):
        """Take in a keyframe of which nothing is known: all its tiles are alike."""
        self.errors = np.concatenate([self.errors, np.ones((1, TILES), dtype=np.float32)])

    def remove(self, k):
        """Forget a keyframe."""
        self.errors = np.delete(self.errors, k, axis=0)

    def draw(self, keyframes, generator):
        """Return a tile (R,) for a ray of each keyframe (R,), likelier where the error is."""
        sums = self.errors.cumsum(1)
        least = FLOOR * sums[:, -1:] / TILES + NOTHING
        sums += least * np.arange(1, TILES + 1, dtype=np.float32)
        chosen = sums[keyframes]
        share = generator.random(len(keyframes), dtype=np.float32) * chosen[:, -1]
        return np.minimum((chosen < share[:, None]).sum(1), TILES - 1)

    def learn(self, keyframes, tiles, errors):
        """Take in what rays found: keyframes, tiles and errors, all (R,)."""
        size = self.errors.size
        places = keyframes * TILES + tiles
        counts = np.bincount(places, minlength=size)
        touched = np.flatnonzero(counts)
        counts = counts[touched]
        means = np.bincount(places, errors, size)[touched] / counts
        flat = self.errors.reshape(-1)
        flat[touched] += (1 - (1 - RATE) ** counts) * (means - flat[touched])


def pixel_in(tiles, widths, heights, generator):
    """Return a pixel (R,), row-major, in tiles (R,) of images of some widths and heights (R,)."""
    across, down = generator.random((2, len(tiles)))
    u = ((tiles % COLUMNS + across) * widths / COLUMNS).astype(np.int64)
    v = ((tiles // COLUMNS + down) * heights / ROWS).astype(np.int64)
    return v * widths + u


def tile_of(pixels, widths, heights):
    """Return the tile (R,) that a pixel (R,) lies in."""
    u, v = pixels % widths, pixels // widths
    return v * ROWS // heights * COLUMNS + u * COLUMNS // widths
