"""Axis-aligned boxes and their faces."""
import dataclasses
from collections.abc import Callable

import numpy as np

TANGENTS = ((1, 2), (0, 2), (0, 1))  # axes (u, v) of a face by the axis of its normal


@dataclasses.dataclass(frozen=True)
class Box:
    """A solid box and its paint, see textures."""

    low: tuple  # (x, y, z) m
    high: tuple  # (x, y, z) m
    paint: Callable
    texel: float = 0.01  # m


@dataclasses.dataclass(frozen=True)
class Face:
    """One side of a box: the rectangle low..high, flat along `axis`, facing `side` (+1, -1)."""

    low: np.ndarray
    high: np.ndarray
    axis: int
    side: int
    texel: float

    @property
    def span(self):
        """Return the lengths of the edges, (3,) m."""
        return self.high - self.low


def face_of(box, axis, side):
    """Return one face of a box."""
    low, high = np.array(box.low, np.float64), np.array(box.high, np.float64)
    low[axis] = high[axis] = (high if side > 0 else low)[axis]
    return Face(low, high, axis, side, box.texel)
