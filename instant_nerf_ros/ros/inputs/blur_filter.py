"""Blurred images: one waits for a sharper neighbour before it may become a keyframe."""
import collections
import dataclasses
import statistics

import cv2
import numpy as np

WIDTH = 320  # pixels; blur that is not seen at this size is not in the way
BLURRED = 0.3  # of the usual sharpness
KNOWN = 5  # images that tell what is usual
RECENT = 15  # images that are remembered for it
PATIENCE_NS = 250_000_000  # how long an image waits, by its stamp


def sharpness(image):
    """Return the variance of the Laplacian of an image (H, W, 3) uint8 (Pech-Pacheco 2000)."""
    green = np.ascontiguousarray(image[..., 1])
    height, width = green.shape
    if width > WIDTH:
        green = cv2.resize(
            green, (WIDTH, max(1, height * WIDTH // width)), interpolation=cv2.INTER_AREA)
    return float(cv2.meanStdDev(cv2.Laplacian(green, cv2.CV_32F))[1][0, 0] ** 2)


@dataclasses.dataclass
class _Candidate:
    sharpness: float
    stamp_ns: int
    since_ns: int  # stamp of the first one that waited
    value: object


class Sharpest:
    """Of the images of a camera, those that are as sharp as usual, or the sharpest of a while.

    What is usual, the last images that were kept tell: a wall without texture looks blurred, too,
    and is taken after a short wait.
    """

    def __init__(self, drop):
        """Keep drop(value), which is told of images that a sharper one took the place of."""
        self._drop = drop
        self._recent = collections.deque(maxlen=RECENT)
        self._held = None

    def offer(self, image, stamp_ns, value):
        """Take an image (H, W, 3) and what comes with it; return a value to keep now, or None."""
        best = _Candidate(sharpness(image), stamp_ns, stamp_ns, value)
        if (held := self._held) is not None:
            since_ns, loser = held.since_ns, held
            if held.sharpness > best.sharpness:
                best, loser = held, best
            best.since_ns = since_ns
            self._drop(loser.value)
        self._held = None
        waited_ns = stamp_ns - best.since_ns
        if best.sharpness < BLURRED * self._usual() and 0 <= waited_ns < PATIENCE_NS:
            self._held = best
            return None
        self._recent.append(best.sharpness)
        return best.value

    def clear(self):
        """Forget what waits."""
        self._held = None

    def _usual(self):
        return statistics.median(self._recent) if len(self._recent) >= KNOWN else 0.0
