"""Comparison: the image of a keyframe beside the same view rendered, and where they differ."""
from __future__ import annotations

import cv2
import numpy as np
import viser
from numpy.typing import NDArray

from instant_nerf_ros.data.metrics import psnr
from instant_nerf_ros.viewer.picture_source import Source

MAX_WIDTH = 640  # pixel
FULL_SCALE = 64  # levels of 255: from here on, an error has the last color
SEAM = np.array([255, 255, 255], np.uint8)


def open_comparison(client: viser.ClientHandle, source: Source, index: int, name: str) -> None:
    """Show both images of a keyframe in a window of a browser; waits for the rendered one."""
    try:
        real, rendered = source.compare(index)
    except LookupError as error:
        client.add_notification(name, str(error), auto_close_seconds=8.0, color='orange')
        return
    real, rendered = fitted(real, rendered)
    modal = client.gui.add_modal(f'{name}: PSNR {psnr(rendered, real):.1f} dB')
    with modal:
        both = client.gui.add_image(split(real, rendered, 0.5), format='jpeg', jpeg_quality=90)
        slider = client.gui.add_slider('real | rendered', 0.0, 1.0, 0.01, 0.5, hint=(
            'left of the seam is the image of the camera, right of it the rendered view'))
        client.gui.add_image(
            error_colors(real, rendered), label='Where they differ', format='jpeg')
        client.gui.add_markdown(
            f'Dark: equal. Yellow: differs by {FULL_SCALE} of 255 levels, or more.')
        close = client.gui.add_button('Close')

    @slider.on_update
    def _(_: object) -> None:
        both.image = split(real, rendered, slider.value)

    @close.on_click
    def _(_: object) -> None:
        modal.close()


def fitted(
    real: NDArray[np.uint8], rendered: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:  # fmt: skip
    """Return both images (H, W, 3) at one size: that of the rendered one, at most MAX_WIDTH."""
    height, width = rendered.shape[:2]
    scale = min(1.0, MAX_WIDTH / width)
    size = round(width * scale), round(height * scale)
    real, rendered = (
        np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        for image in (real, rendered))
    return real, rendered


def split(
    real: NDArray[np.uint8], rendered: NDArray[np.uint8], share: float,
) -> NDArray[np.uint8]:  # fmt: skip
    """Return the real image on a share of the width from the left, and the rendered one beside."""
    seam = round(share * (real.shape[1] - 1))
    image = np.concatenate([real[:, :seam], rendered[:, seam:]], axis=1)
    image[:, seam] = SEAM
    return image


def error_colors(real: NDArray[np.uint8], rendered: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the absolute error, mean over the channels, in viridis: dark is none."""
    error = np.abs(real.astype(np.float32) - rendered).mean(axis=-1) * (255 / FULL_SCALE)
    colors = cv2.applyColorMap(np.minimum(error, 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return np.ascontiguousarray(colors[..., ::-1])
