"""Exposure: how much brighter or darker each keyframe is than the others.

A camera with automatic exposure shows the same wall in different colors. So the pixels of a
keyframe are compared with the field after an affine change of each channel, gain * pixel + offset,
which brings them nearest to the rendered colors: ridge regression, with the prior that there is no
difference. Pixels are counted from MIDDLE, so that gain and offset are nearly independent.
"""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.constants import EXPOSURE_MIDDLE as MIDDLE

PRIOR = 300.0  # rays that the prior is worth
MEMORY = 3000.0  # rays after which older ones fade: the field was another
SUMS = 5  # of rays, pixels, their squares, differences, differences times pixels


class Exposure:
    """Gains and offsets of K keyframes."""

    def __init__(self) -> None:
        self.sums: NDArray[np.float64] = np.empty((0, SUMS, 3))
        self.gains, self.offsets = np.empty((2, 0, 3), dtype=np.float32)  # of channels

    def append(self) -> None:
        """Add a keyframe with gain 1 and offset 0."""
        self.sums = np.concatenate([self.sums, np.zeros((1, SUMS, 3))])
        self.gains = np.concatenate([self.gains, np.ones((1, 3), dtype=np.float32)])
        self.offsets = np.concatenate([self.offsets, np.zeros((1, 3), dtype=np.float32)])

    def remove(self, k: int) -> None:
        """Remove keyframe k."""
        self.sums = np.delete(self.sums, k, axis=0)
        self.gains = np.delete(self.gains, k, axis=0)
        self.offsets = np.delete(self.offsets, k, axis=0)

    def apply(
        self, keyframes: NDArray[np.integer], pixels: NDArray[np.uint8],
    ) -> NDArray[np.uint8]:  # fmt: skip
        """Return pixels (R, 3) of keyframes (R,) as if all had the same exposure."""
        middle = np.float32(255 * MIDDLE)
        changed = (pixels - middle) * self.gains[keyframes] + 255 * self.offsets[keyframes]
        return np.clip(changed + (middle + np.float32(0.5)), 0, 255).astype(np.uint8)

    def update(
        self, keyframes: NDArray[np.integer], pixels: NDArray[np.uint8],
        rendered: NDArray[np.float32],
    ) -> None:  # fmt: skip
        """Add pixels (R, 3), as recorded, and the colors (R, 3) rendered there, in [0, 1]."""
        count = len(self.sums)
        values = pixels / 255 - MIDDLE
        differences = rendered - MIDDLE - values
        products = np.stack([
            np.ones_like(values), values, values**2, differences, values * differences], 1)
        places = keyframes[:, None] * 3 * SUMS + np.arange(3 * SUMS)
        added = np.bincount(places.ravel(), products.ravel(), 3 * SUMS * count)
        self.sums += added.reshape(self.sums.shape)
        self.sums *= np.minimum(1, MEMORY / np.maximum(self.sums[:, :1, :1], 1))
        self.solve()

    def restore(self, k: int, sums: NDArray[np.float64]) -> None:
        """Set the sums (SUMS, 3) of keyframe k; `solve` makes them count."""
        self.sums[k] = sums

    def solve(self) -> None:
        """Compute gains and offsets from the sums."""
        rays, sums, squares, apart, product = self.sums.transpose(1, 0, 2)
        # Two equations a channel: (squares + prior) gain + sums offset = product, and so on.
        squares, rays = squares + PRIOR, rays + PRIOR
        determinant = squares * rays - sums**2
        gains = (rays * product - sums * apart) / determinant
        offsets = (squares * apart - sums * product) / determinant
        # What all keyframes have in common is not exposure: the field may still be blurred.
        self.gains = (1 + gains - gains.mean(0)).astype(np.float32)
        self.offsets = (offsets - offsets.mean(0)).astype(np.float32)
