"""Blurred images: one waits for a sharper neighbour before it may become a keyframe."""
import collections
import dataclasses
import statistics
from collections.abc import Callable
from typing import Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH = 320  # pixels; blur that is invisible at this size does not matter
MIN_SHARPNESS = 0.3  # of the median sharpness; below, an image is blurred
HISTORY = 15  # sharp images of which the median is taken
MIN_HISTORY = 5  # sharp images without which no image is blurred
MAX_DELAY_NS = 250_000_000  # between the stamps of a blurred image and of the last alternative

Item = TypeVar('Item')


def sharpness(image: NDArray[np.uint8]) -> float:
    """Return the variance of the Laplacian of an image (H, W, 3) (Pech-Pacheco 2000)."""
    green = np.ascontiguousarray(image[..., 1])
    height, width = green.shape
    if width > WIDTH:
        size = WIDTH, max(1, height * WIDTH // width)
        green = np.asarray(cv2.resize(green, size, interpolation=cv2.INTER_AREA), np.uint8)
    return float(cv2.meanStdDev(cv2.Laplacian(green, cv2.CV_32F))[1][0, 0] ** 2)


@dataclasses.dataclass
class _Candidate(Generic[Item]):
    sharpness: float
    since_ns: int  # stamp of the first image that was delayed
    item: Item


class BlurFilter(Generic[Item]):
    """Selects the sharp images of a camera, or the sharpest one within MAX_DELAY_NS.

    An image is sharp in comparison with the last ones that were selected. A wall without texture
    has a low sharpness, too, and is selected after the delay.
    """

    def __init__(self, drop: Callable[[Item], None]) -> None:
        """Call drop(item) for each image that is replaced by a sharper one."""
        self._drop = drop
        self._history: collections.deque[float] = collections.deque(maxlen=HISTORY)
        self._delayed: _Candidate[Item] | None = None

    def select(self, image: NDArray[np.uint8], stamp_ns: int, item: Item) -> Item | None:
        """Add the next image (H, W, 3) as an item; return the item to use now, None to wait."""
        best = _Candidate(sharpness(image), stamp_ns, item)
        if (delayed := self._delayed) is not None:
            since_ns, loser = delayed.since_ns, delayed
            if delayed.sharpness > best.sharpness:
                best, loser = delayed, best
            best.since_ns = since_ns
            self._drop(loser.item)
        self._delayed = None
        delay_ns = stamp_ns - best.since_ns
        if best.sharpness < MIN_SHARPNESS * self._median() and 0 <= delay_ns < MAX_DELAY_NS:
            self._delayed = best
            return None
        self._history.append(best.sharpness)
        return best.item

    def _median(self) -> float:
        return statistics.median(self._history) if len(self._history) >= MIN_HISTORY else 0.0
