"""ProgressiveRenderer: views in pieces, so that training never waits long for one."""
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper

MIN_PIXELS = 2048  # that are always rendered at once
INITIAL_PIXEL_TIME = 4e-6  # s, until it has been measured
SMOOTHING = 0.8  # weight of the previous measurements of it


@dataclasses.dataclass(frozen=True)
class RenderedView:
    """The pixels of a view."""

    color: NDArray[np.uint8]  # (H, W, 3) RGB
    depth: NDArray[np.float32]  # (H, W) metres along the optical axis; NaN where transparent
    camera: Camera  # whose pixels these are: a coarse view has fewer than were asked for


class ProgressiveRenderer:
    """Renders views in pieces of bounded duration; it measures the time that a pixel takes."""

    def __init__(self) -> None:
        self._pixel_time = INITIAL_PIXEL_TIME

    def render(
        self, mapper: 'Mapper', camera: Camera, T_map_camera: NDArray[np.float64],
        deadline: float,
    ) -> Iterator[RenderedView | None]:  # fmt: skip
        """Yield the view of a camera at a pose (4, 4), at first coarse if it is large.

        If the view takes longer than the deadline [s], the first one is rendered with fewer
        pixels, by a smaller camera. Then each step renders a strip of rows within the deadline and
        yields None; the last one yields the whole view.
        """
        pixels, affordable = camera.width * camera.height, self._affordable_pixels(deadline)
        if pixels <= affordable:
            yield self._render_rows(mapper, camera, T_map_camera, 0, camera.height)
            return
        factor = math.ceil(math.sqrt(pixels / affordable))
        small = camera.scaled(max(1, camera.width // factor), max(1, camera.height // factor))
        coarse = self._render_rows(mapper, small, T_map_camera, 0, small.height)
        yield coarse
        strips, first = [], 0
        while first < camera.height:
            rows = max(1, self._affordable_pixels(deadline) // camera.width)
            last = min(first + rows, camera.height)
            strips.append(self._render_rows(mapper, camera, T_map_camera, first, last))
            first = last
            if first < camera.height:
                yield None
        yield RenderedView(
            np.concatenate([strip.color for strip in strips]),
            np.concatenate([strip.depth for strip in strips]), camera)

    def _affordable_pixels(self, deadline: float) -> int:
        """Return the number of pixels that are rendered within a deadline [s]."""
        return max(int(deadline / self._pixel_time), MIN_PIXELS)

    def _render_rows(
        self, mapper: 'Mapper', camera: Camera, T_map_camera: NDArray[np.float64], first: int,
        last: int,
    ) -> RenderedView:  # fmt: skip
        begin = time.monotonic()
        view = mapper.render(camera, T_map_camera, slice(first, last))
        pixels = (last - first) * camera.width
        if pixels >= MIN_PIXELS // 2:  # of fewer, the overhead dominates
            measured = (time.monotonic() - begin) / pixels
            self._pixel_time = SMOOTHING * self._pixel_time + (1 - SMOOTHING) * measured
        return RenderedView(view.color, view.depth, camera)


def enlarged(view: RenderedView, camera: Camera) -> RenderedView:
    """Return a view with the pixels of a camera, by nearest neighbors."""
    if view.camera == camera:
        return view
    height, width = view.depth.shape
    rows = np.arange(camera.height) * height // camera.height
    columns = np.arange(camera.width) * width // camera.width
    return RenderedView(view.color[rows][:, columns], view.depth[rows][:, columns], camera)
