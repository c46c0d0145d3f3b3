"""Exposure: how much brighter or darker each keyframe is than the others.

A camera with automatic exposure and white balance shows the same wall in different colors. So the
pixels of a keyframe are compared with the field after they were multiplied by a gain per channel:
the sum of the rendered colors over that of the recorded ones. Sums, unlike a regression, do not
mistake a field that is still blurred for a camera with less contrast.

Where the exposure is constant, gains would be errors of the field, and would be learnt. So all are
1 until gains explain much of the difference between rendered and recorded colors, unless the user
says that the exposure changes.
"""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.constants import EXPOSURE_MIDDLE as MIDDLE

PRIOR = 300.0  # rays of middle brightness that say that the gain is 1
MEMORY = 3000.0  # rays after which older ones fade: the field was another
# Share from which on gains are used, see Exposure.explained. With a constant exposure, it is up to
# 0.08 while the field is still wrong; with images that differ by 15 %, it is 0.18 and more.
MIN_EXPLAINED = 0.12
SUMS = 4  # of rays, recorded and rendered colors, and squares of their differences


class Exposure:
    """Gains of K keyframes, as gain * (pixel - MIDDLE) + offset for the kernels."""

    def __init__(self, always: bool = False) -> None:
        """Begin without keyframes; always: use gains, also where they explain little."""
        self._always = always
        self.sums: NDArray[np.float64] = np.empty((0, SUMS, 3))
        self.gains, self.offsets = np.empty((2, 0, 3), dtype=np.float32)  # of channels

    def append(self) -> None:
        """Add a keyframe with gain 1."""
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
        recorded = pixels / np.float32(255)
        products = np.stack([
            np.ones_like(recorded), recorded, rendered, (rendered - recorded) ** 2], 1)
        places = keyframes[:, None] * 3 * SUMS + np.arange(3 * SUMS)
        added = np.bincount(places.ravel(), products.ravel(), self.sums.size)
        self.sums += added.reshape(self.sums.shape)
        self.sums *= np.minimum(1, MEMORY / np.maximum(self.sums[:, :1, :1], 1))
        self.solve()

    def restore(self, k: int, sums: NDArray[np.float64]) -> None:
        """Set the sums (SUMS, 3) of keyframe k; `solve` makes them count.

        Those of older files are of something else; they are left out.
        """
        if sums.shape == self.sums[k].shape:
            self.sums[k] = sums

    def solve(self) -> None:
        """Compute the gains from the sums."""
        recorded, rendered = self.sums.transpose(1, 0, 2)[1:3] + PRIOR * MIDDLE
        logs = np.log(rendered / recorded)
        # What all keyframes have in common is not exposure: the field may still be dark.
        logs -= logs.sum(0) / max(len(logs), 1)
        used = self._always or self.explained() > MIN_EXPLAINED
        self.gains = np.exp(logs * used).astype(np.float32)
        self.offsets = np.float32(MIDDLE) * (self.gains - 1)

    def explained(self) -> float:
        """Return the part of the squared differences between colors that is of whole images.

        It is that of the mean differences of keyframes, without what they have in common: the
        share between groups in the analysis of variance (Fisher 1925), with the prior.
        """
        rays, recorded, rendered, squares = self.sums.transpose(1, 0, 2)
        differences = rendered - recorded
        differences = differences - rays * (differences.sum(0) / np.maximum(rays.sum(0), 1))
        of_images = (differences**2 / (rays + PRIOR)).sum()
        return float(of_images / max(squares.sum(), 1e-9))
