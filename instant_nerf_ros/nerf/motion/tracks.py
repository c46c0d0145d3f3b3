"""Tracks: which features of images are of the same point."""
import numpy as np


class Tracks:
    """A table (tracks, images) of indices of features; -1: the image does not show the point.

    So a track has one feature an image at most. Each feature is on one, be it alone.
    """

    def __init__(self):
        self.table = np.empty((0, 0), int)

    def add(self, count, keep):
        """Take in an image with so many features, and keep those of so many images."""
        tracks, images = self.table.shape
        table = np.full((tracks + count, images + 1), -1)
        table[:tracks, :images] = self.table
        table[tracks:, images] = np.arange(count)
        table = table[:, -keep:]
        self.table = table[(table >= 0).any(1)]

    def join(self, own, back, its):
        """Join the tracks of features of the latest image (M,) with those of one so far back.

        Two that are in the same image are of two points, so one of the matches was wrong.
        """
        one, other = self._rows(0)[own], self._rows(back)[its]
        apart = ~((self.table[one] >= 0) & (self.table[other] >= 0)).any(1)
        one, other = one[apart], other[apart]
        self.table[one] = np.maximum(self.table[one], self.table[other])
        self.table[other] = -1

    def best(self, most, free):
        """Return the longest tracks (T, images), as many as leave no image with more than most.

        Those are left out that tell nothing of the latest images, of which so many are free.
        """
        there = self.table >= 0
        lengths = there.sum(1)
        useful = np.flatnonzero((lengths > 1) & there[:, -free:].any(1))
        useful = useful[np.argsort(-lengths[useful], kind='stable')]
        crowd = np.where(there[useful], there[useful].cumsum(0), 0).max(1, initial=0)
        return self.table[useful[crowd <= most]]

    def _rows(self, back):
        """Return the tracks of the features of an image."""
        features = self.table[:, -1 - back]
        [rows] = np.nonzero(features >= 0)
        return rows[np.argsort(features[rows])]
