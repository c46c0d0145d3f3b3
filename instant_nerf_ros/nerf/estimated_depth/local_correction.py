"""Local correction: what the residuals of nearby anchors say about the error of a network.

Locally weighted regression, as in Xu et al. 2022 (arXiv 2202.01470), of log depth. The anchors of
an image of stereo err together, as its poses are not exact; those of several images do less.
"""
import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BANDWIDTH = 0.08  # standard deviation of the weights, as a share of the width of the image
SPACING = 4  # pixels, between the nodes at which it is computed
TINY = 1e-9  # information that is none


@dataclasses.dataclass(frozen=True)
class Residuals:
    """What log depth lacks at anchors from one source, (N,) each."""

    pixels: NDArray[np.int64]  # flat indices
    values: Array
    sigmas: Array  # standard deviations


def correct(
    shape: tuple[int, ...], sources: Sequence[Residuals], prior: float, common: float,
    correlated: float,
) -> tuple[Array, Array]:  # fmt: skip
    """Return the correction (H, W) of log depth, and its standard deviation (H, W).

    prior: standard deviation of the error of the network; common: that of the error that a source
    has everywhere; correlated: number of anchors that err together.
    """
    coarse = tuple(-(-size // SPACING) for size in shape)
    down, across = (_weights(size, BANDWIDTH * coarse[1]) for size in coarse)
    total, product = np.full(coarse, prior**-2.0), np.zeros(coarse)
    for source in sources:
        at, information = source.pixels, source.sigmas**-2.0 / correlated
        node = at // shape[1] // SPACING * coarse[1] + at % shape[1] // SPACING
        sums = [
            down @ np.bincount(node, values, coarse[0] * coarse[1]).reshape(coarse) @ across
            for values in (information, information * source.values)]
        known = sums[0] > TINY
        weight = np.where(known, 1 / (common**2 + 1 / np.where(known, sums[0], 1)), 0)
        product += weight * sums[1] / np.where(known, sums[0], 1)
        total += weight
    rows, columns = (_interpolation(*sizes) for sizes in zip(shape, coarse))
    return rows @ (product / total) @ columns.T, rows @ np.sqrt(1 / total) @ columns.T


def _weights(size: int, bandwidth: float) -> Array:
    """Return the weights (size, size) between the nodes of a row or column."""
    steps = np.arange(size)
    return np.exp(-(((steps[:, None] - steps) / bandwidth) ** 2) / 2)


def _interpolation(size: int, coarse: int) -> Array:
    """Return the matrix (size, coarse) of linear interpolation between nodes."""
    at = (np.arange(size) - (SPACING - 1) / 2) / SPACING
    return np.array([np.interp(at, np.arange(coarse), node) for node in np.eye(coarse)]).T
