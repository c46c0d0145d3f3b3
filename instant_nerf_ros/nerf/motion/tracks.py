"""Tracks: features of several images that show the same point."""
import numpy as np
from numpy.typing import NDArray


class Tracks:
    """A table (T, I) of feature indices by track and image; -1: the track is not in the image.

    A track has at most one feature in an image, and each feature is on exactly one track.
    """

    def __init__(self) -> None:
        self.table: NDArray[np.int64] = np.empty((0, 0), int)

    def add_image(self, features: int, window: int) -> None:
        """Add an image with a number of features, and keep the last images of a window."""
        tracks, images = self.table.shape
        table = np.full((tracks + features, images + 1), -1)
        table[:tracks, :images] = self.table
        table[tracks:, images] = np.arange(features)
        table = table[:, -window:]
        self.table = table[(table >= 0).any(1)]

    def merge(
        self, features: NDArray[np.int64], offset: int, matches: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Merge the tracks of features (M,) of the last image with those of their matches (M,).

        The matches are features of the image that is `offset` images earlier. Tracks that share an
        image are of different points, so that their match is wrong and they are not merged.
        """
        one, other = self._tracks(0)[features], self._tracks(offset)[matches]
        disjoint = ~((self.table[one] >= 0) & (self.table[other] >= 0)).any(1)
        one, other = one[disjoint], other[disjoint]
        self.table[one] = np.maximum(self.table[one], self.table[other])
        self.table[other] = -1

    def longest(self, max_tracks: int, last_images: int) -> NDArray[np.int64]:
        """Return the rows (T, I) of the longest tracks with two features or more.

        An image has at most max_tracks of them. Each is in one of the last images at least.
        """
        observed = self.table >= 0
        lengths = observed.sum(1)
        useful = np.flatnonzero((lengths > 1) & observed[:, -last_images:].any(1))
        useful = useful[np.argsort(-lengths[useful], kind='stable')]
        # Of a track, the largest rank in any of its images.
        ranks = np.where(observed[useful], observed[useful].cumsum(0), 0).max(1, initial=0)
        return self.table[useful[ranks <= max_tracks]]

    def _tracks(self, offset: int) -> NDArray[np.int64]:
        """Return the track of each feature of the image `offset` images before the last."""
        features = self.table[:, -1 - offset]
        [tracks] = np.nonzero(features >= 0)
        return tracks[np.argsort(features[tracks])]
