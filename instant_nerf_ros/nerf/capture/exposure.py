"""Exposure: how much brighter or darker each keyframe is than the others.

A camera that adapts to the light shows the same wall in different colours. So the pixels of a
keyframe are compared with the field after an affine change of each channel, gain * pixel + offset,
that brings them nearest to what the field shows: ridge regression, with the prior that there is
no difference. Pixels count from MIDDLE here, so that gain and offset say different things.
"""
import numpy as np

PRIOR = 300.0  # rays that the prior is worth
MEMORY = 3000.0  # rays after which what they told fades: the field was another
MIDDLE = 0.5  # of the range of pixels
SUMS = 5  # of rays, pixels, their squares, differences, differences times pixels


class Exposure:
    """Gains and offsets of K keyframes."""

    def __init__(self):
        self.sums = np.empty((0, SUMS, 3))
        self.gains, self.offsets = np.empty((2, 0, 3), dtype=np.float32)  # of channels

    def append(self):
        """Take in a keyframe that is taken to be like the others."""
        self.sums = np.concatenate([self.sums, np.zeros((1, SUMS, 3))])
        self.gains = np.concatenate([self.gains, np.ones((1, 3), dtype=np.float32)])
        self.offsets = np.concatenate([self.offsets, np.zeros((1, 3), dtype=np.float32)])

    def remove(self, k):
        """Forget a keyframe."""
        self.sums, self.gains, self.offsets = (
            np.delete(values, k, axis=0) for values in (self.sums, self.gains, self.offsets))

    def correct(self, keyframes, pixels):
        """Return pixels (R, 3) uint8 of keyframes (R,) as if all were exposed alike."""
        middle = np.float32(255 * MIDDLE)
        changed = (pixels - middle) * self.gains[keyframes] + 255 * self.offsets[keyframes]
        return np.clip(changed + (middle + np.float32(0.5)), 0, 255).astype(np.uint8)

    def learn(self, keyframes, pixels, shown):
        """Take in pixels (R, 3) uint8, as recorded, and what the field showed there, in [0, 1]."""
        count = len(self.sums)
        pixels = pixels / 255 - MIDDLE
        differences = shown - MIDDLE - pixels
        values = np.stack([
            np.ones_like(pixels), pixels, pixels**2, differences, pixels * differences], 1)
        places = keyframes[:, None] * 3 * SUMS + np.arange(3 * SUMS)
        new = np.bincount(
            places.ravel(), values.ravel(), 3 * SUMS * count)
        self.sums += new.reshape(self.sums.shape)
        self.sums *= np.minimum(1, MEMORY / np.maximum(self.sums[:, :1, :1], 1))
        self.solve()

    def solve(self):
        """Find gains and offsets of what the rays told."""
        rays, sums, squares, apart, product = self.sums.transpose(1, 0, 2)
        # Of each channel, two equations: (squares + prior) g + sums o = product and so on.
        squares, rays = squares + PRIOR, rays + PRIOR
        determinant = squares * rays - sums**2
        gains = (rays * product - sums * apart) / determinant
        offsets = (squares * apart - sums * product) / determinant
        # What all have in common is not exposure: the field is still blurred, say.
        self.gains = (1 + gains - gains.mean(0)).astype(np.float32)
        self.offsets = (offsets - offsets.mean(0)).astype(np.float32)
