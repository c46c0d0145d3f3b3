"""Axis-aligned boxes and their faces."""
import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# Axes (u, v) of the texture of a face, by the axis of its normal.
TANGENTS = ((1, 2), (0, 2), (0, 1))

Vector = tuple[float, float, float]
Albedo = NDArray[np.float32]  # (height, width, 3) in [0, 1], RGB


@dataclasses.dataclass(frozen=True)
class Surface:
    """A rectangle to be textured. Row 0 is its lower edge."""

    height: int  # texels
    width: int  # texels
    texel_size: float  # metres
    rng: np.random.Generator

    @property
    def extent(self) -> tuple[float, float]:
        """Return width and height [m]."""
        return self.width * self.texel_size, self.height * self.texel_size

    def centers(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the coordinates x (along rows) and y of texel centers, (height, width) [m]."""
        x, y = ((np.arange(count, dtype=np.float32) + 0.5) * self.texel_size
                for count in (self.width, self.height))
        columns, rows = np.meshgrid(x, y)
        return columns, rows


Texture = Callable[[Surface], Albedo]


@dataclasses.dataclass(frozen=True)
class Box:
    """A solid box and its texture."""

    low: Vector  # (x, y, z) metres
    high: Vector  # (x, y, z) metres
    texture: Texture
    texel_size: float = 0.01  # metres
    reflects: bool = True  # False: no depth sensor gets a return (black, glossy, glass)


@dataclasses.dataclass(frozen=True)
class Face:
    """A face of a box: the rectangle low..high, whose normal points along `side` * `axis`."""

    low: NDArray[np.float64]  # (3,) metres
    high: NDArray[np.float64]  # (3,) metres
    axis: int  # of the normal: 0, 1, 2 for x, y, z
    side: int  # +1 or -1
    texel_size: float  # metres

    @property
    def size(self) -> NDArray[np.float64]:
        """Return the lengths of the edges, (3,) metres; zero along the normal."""
        return self.high - self.low


def face_of(box: Box, axis: int, side: int) -> Face:
    """Return the face of a box whose normal points along `side` (+1, -1) times `axis`."""
    low, high = np.array(box.low, np.float64), np.array(box.high, np.float64)
    low[axis] = high[axis] = (high if side > 0 else low)[axis]
    return Face(low, high, axis, side, box.texel_size)
