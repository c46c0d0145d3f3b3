"""Parts of the report: images as data URIs, a line chart as SVG, the map as a picture."""
import base64
import math
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.constants import FREE, OCCUPIED
from instant_nerf_ros.nerf.products.grids import MapGrid

MAX_SIZE = 1280  # pixels of an image in the page
JPEG_QUALITY = 90
MIN_MAP_PIXELS = 600  # of the longer side of the map
MARGIN_CELLS = 4  # around what is known of the map
WIDTH, HEIGHT = 640, 320  # of a chart
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 44  # margins of a chart
TICKS = 5


def image_uri(image: NDArray[np.uint8], lossless: bool = False) -> str:
    """Return an image (H, W, 3) RGB as a data URI, reduced to MAX_SIZE."""
    scale = MAX_SIZE / max(image.shape[:2])
    if scale < 1 and not lossless:
        image = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    kind = 'png' if lossless else 'jpeg'
    options = [] if lossless else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, data = cv2.imencode(f'.{kind}', np.ascontiguousarray(image[..., ::-1]), options)
    return f'data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}'


def line_chart(
    x: NDArray[np.floating], y: NDArray[np.floating], x_label: str, y_label: str, summary: str,
) -> str:  # fmt: skip
    """Return the line through points x (N,), y (N,) as SVG; summary says it in words."""
    x_ticks, y_ticks = _ticks(0.0, float(x.max())), _ticks(float(y.min()), float(y.max()))
    end = max(float(x.max()), x_ticks[1])

    def place(u: float, v: float) -> tuple[float, float]:
        across = u / end
        upward = (v - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return (LEFT + across * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - upward * (HEIGHT - TOP - BOTTOM))

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(summary)}">']
    right, base = WIDTH - RIGHT, HEIGHT - BOTTOM
    for tick in y_ticks:
        _, at = place(x_ticks[0], tick)
        parts.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" '
                     'stroke="var(--line)"/>'
                     f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks if x_ticks[-1] <= end else x_ticks[:-1]:
        at, _ = place(tick, y_ticks[0])
        parts.append(f'<text x="{at:.1f}" y="{base + 18}" text-anchor="middle">{tick:g}</text>')
    points = ' '.join('{:.1f},{:.1f}'.format(*place(*point)) for point in zip(x, y))
    parts.append(f'<polyline points="{points}" fill="none" stroke="var(--accent)" '
                 'stroke-width="2.5" stroke-linejoin="round"/>')
    if len(x) == 1:
        parts.append('<circle cx="{:.1f}" cy="{:.1f}" r="4" fill="var(--accent)"/>'.format(
            *place(float(x[0]), float(y[0]))))
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
                 f'{escape(x_label)}</text>'
                 f'<text transform="translate(14 {(TOP + base) / 2}) rotate(-90)" '
                 f'text-anchor="middle">{escape(y_label)}</text></svg>')
    return ''.join(parts)


def map_picture(
    grid: MapGrid, positions: NDArray[np.float64],
) -> NDArray[np.uint8] | None:  # fmt: skip
    """Return the known part of a map as an image (H, W, 3), +y up, with positions (K, 3) in blue.

    White is free, black is occupied, gray is unknown. None if nothing is known.
    """
    known = np.argwhere((grid.cells == FREE) | (grid.cells == OCCUPIED))
    if not len(known):
        return None
    places = (positions[:, :2] - grid.origin) / grid.resolution
    shown = np.concatenate([known, np.floor(places[:, ::-1]).astype(int)])
    low = np.maximum(shown.min(axis=0) - MARGIN_CELLS, 0)
    high = np.minimum(shown.max(axis=0) + MARGIN_CELLS + 1, grid.cells.shape)
    cells = grid.cells[low[0] : high[0], low[1] : high[1]]
    image = np.full((*cells.shape, 3), 205, np.uint8)
    image[cells == FREE], image[cells == OCCUPIED] = 255, 0
    factor = max(1, math.ceil(MIN_MAP_PIXELS / max(cells.shape)))
    image = image.repeat(factor, 0).repeat(factor, 1)
    for column, row in np.round((places - low[::-1]) * factor).astype(int).tolist():
        cv2.circle(image, (column, row), max(2, factor // 2), (11, 98, 196), -1, cv2.LINE_AA)
    return np.flipud(image)


def _ticks(low: float, high: float) -> list[float]:
    """Return about TICKS round numbers from at most low to at least high."""
    span = max(high - low, 1e-3 * max(abs(high), 1.0))
    power = 10.0 ** math.floor(math.log10(span / TICKS))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span / TICKS)
    first, last = math.floor(low / step), math.ceil((low + span) / step)
    return [round(number * step, 9) for number in range(first, last + 1)]
