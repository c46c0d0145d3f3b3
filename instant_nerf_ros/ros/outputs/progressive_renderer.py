"""Views in pieces: coarse at once, fine when time allows, and training never waits for long."""
import dataclasses
import math
import time

import numpy as np

AT_ONCE = 4096  # pixels that are never worth two views
PACE = 4e-6  # seconds per pixel, until it is measured
MEMORY = 0.8  # of the pace, at each new measurement


@dataclasses.dataclass(frozen=True)
class Picture:
    """Pixels of a view."""

    color: np.ndarray  # (H, W, 3) uint8 RGB
    depth: np.ndarray  # (H, W) float32 metres along the optical axis, NaN where nothing is


class Painter:
    """Knows how long a pixel takes."""

    def __init__(self):
        """Start with a guess."""
        self._pace = PACE

    def paint(self, mapper, camera, T_map_camera, deadline):
        """Yield a Picture of a Camera at a pose (4, 4), and perhaps a better one later.

        Where all of it takes longer than deadline [s], the first one is coarse, and the whole one
        comes last, after as many pieces as it takes: each yields None, or that Picture.
        """
        if camera.width * camera.height <= self._within(deadline):
            yield Picture(*self._render(mapper, camera, T_map_camera, 0, camera.height))
            return
        factor = math.ceil(math.sqrt(camera.width * camera.height / self._within(deadline)))
        small = camera.scaled(max(1, camera.width // factor), max(1, camera.height // factor))
        yield _enlarged(self._render(mapper, small, T_map_camera, 0, small.height), camera)
        pieces, first = [], 0
        while first < camera.height:
            last = min(first + max(1, self._within(deadline) // camera.width), camera.height)
            pieces.append(self._render(mapper, camera, T_map_camera, first, last))
            first = last
            if first < camera.height:
                yield None
        yield Picture(*map(np.concatenate, zip(*pieces)))

    def _within(self, deadline):
        """Return how many pixels take no longer than a deadline."""
        return max(int(deadline / self._pace), AT_ONCE)

    def _render(self, mapper, camera, T_map_camera, first, last):
        """Return colours and depths of rows first to last."""
        begin = time.monotonic()
        view = mapper.render(camera, T_map_camera, slice(first, last))
        pixels = (last - first) * camera.width
        if pixels >= AT_ONCE // 2:  # what is smaller tells little
            pace = (time.monotonic() - begin) / pixels
            self._pace = MEMORY * self._pace + (1 - MEMORY) * pace
        return view.color, view.depth


def _enlarged(arrays, camera):
    """Return the Picture at the size of a Camera, each pixel as large as it must be."""
    height, width = arrays[0].shape[:2]
    rows = np.arange(camera.height) * height // camera.height
    columns = np.arange(camera.width) * width // camera.width
    return Picture(*(array[rows][:, columns] for array in arrays))
