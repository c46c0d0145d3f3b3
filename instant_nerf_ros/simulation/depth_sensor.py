"""A depth sensor: what it measures of exact depth images, one function for each imperfection.

Depth images (H, W) float32 are in metres along the optical axis; 0 is what was not measured.
"""
import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

Depth = NDArray[np.float32]
JUMP = 0.05  # relative difference of depth within a pixel that makes an edge


@dataclasses.dataclass(frozen=True)
class DepthSensor:
    """A stereo or structured-light camera; the default is an exact one."""

    near: float = 0.0  # m; nearer is not measured
    far: float = float('inf')  # m; farther is not measured
    noise: float = 0.0  # 1/m, standard deviation of the inverse depth: noise * z^2 of the depth
    correlation: float = 0.0  # pixels, standard deviation of the Gaussian that smooths the noise
    step: float = 0.0  # 1/m, of the inverse depth: disparities are quantised
    smear: float = 0.0  # share of the pixels at edges that mix the depths of both sides
    flying: float = 0.0  # share of the pixels with any depth
    needs_reflection: bool = False  # nothing is measured on black, glossy and glass surfaces

    def measure(
        self, depth: Depth, reflects: NDArray[np.bool_], random: np.random.Generator,
    ) -> Depth:  # fmt: skip
        """Return the measured depth of an exact one, NaN or 0 where there is nothing.

        reflects (H, W): whether the surface of a pixel returns the light of a sensor.
        """
        measured = np.nan_to_num(depth, nan=0.0, posinf=0.0)
        measured = smeared(measured, self.smear, random)
        if self.needs_reflection:
            measured = np.where(reflects, measured, np.float32(0))
        measured = quantised(noisy(measured, self.noise, self.correlation, random), self.step)
        measured = with_flying_pixels(measured, self.flying, random)
        return np.where((measured >= self.near) & (measured <= self.far), measured,
                        np.float32(0))


def noisy(
    depth: Depth, noise: float, correlation: float, random: np.random.Generator,
) -> Depth:  # fmt: skip
    """Return depth z with Gaussian noise of its inverse: of a deviation of noise * z^2.

    Disparity is inverse to depth (Nguyen, Izadi and Lovell 2012, "Modeling Kinect sensor noise",
    find z^2 too), and its noise is alike in pixels that are `correlation` [pixels] apart.
    """
    if not noise:
        return depth
    error = random.standard_normal(depth.shape, dtype=np.float32)
    if correlation:
        size = 2 * int(3 * correlation) + 1
        kernel = cv2.getGaussianKernel(size, correlation, cv2.CV_32F)
        # The variance of a weighted sum of independent values is the sum of squared weights.
        error = cv2.sepFilter2D(error, -1, kernel, kernel) / np.float32((kernel**2).sum())
    return _inverse(_inverse(depth) + np.float32(noise) * error, depth)


def quantised(depth: Depth, step: float) -> Depth:
    """Return depth whose inverse is a multiple of a step [1/m]."""
    if not step:
        return depth
    return _inverse(np.round(_inverse(depth) / np.float32(step)) * np.float32(step), depth)


def smeared(depth: Depth, share: float, random: np.random.Generator) -> Depth:
    """Return depth where a share of the pixels beside an edge is a mix of both of its sides."""
    if not share:
        return depth
    behind = cv2.dilate(depth, np.ones((3, 3), np.uint8))
    before = cv2.erode(np.where(depth > 0, depth, np.float32(np.inf)), np.ones((3, 3), np.uint8))
    edge = (behind > before * (1 + JUMP)) & (depth > 0)
    edge &= random.random(depth.shape) < share
    weight = random.random(depth.shape, dtype=np.float32)
    return np.where(edge, weight * behind + (1 - weight) * np.minimum(before, behind), depth)


def with_flying_pixels(depth: Depth, share: float, random: np.random.Generator) -> Depth:
    """Return depth where a share of the measured pixels has any depth up to the largest."""
    if not share:
        return depth
    flying = (depth > 0) & (random.random(depth.shape) < share)
    anywhere = random.random(depth.shape, dtype=np.float32) * depth.max()
    return np.where(flying, anywhere, depth)


def _inverse(values: Depth, like: Depth | None = None) -> Depth:
    """Return 1 / values; 0 where these, or those of another image, are not positive."""
    positive = values > 0 if like is None else (values > 0) & (like > 0)
    return np.where(positive, 1 / np.where(positive, values, np.float32(1)), np.float32(0))
