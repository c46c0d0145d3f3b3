"""Pictures of maps, and of rendered views beside real images."""
import os
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.data.metrics import FREE, OCCUPIED, has_depth

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
Color = tuple[int, int, int]  # RGB
# A frame, the color (H, W, 3) and the depth (H, W) [m] rendered from its pose, and a label.
LabelledView = tuple[Frame, NDArray[np.uint8], NDArray[np.float32], str]

PAPER, INK, FAINT = (250, 249, 246), (44, 52, 64), (120, 126, 134)
UNKNOWN_COLOR, FREE_COLOR, OCCUPIED_COLOR = (224, 224, 221), (255, 254, 251), (58, 72, 92)
PATH_COLOR, PATH_WIDTH = (226, 112, 74), 3
NO_DEPTH = (224, 224, 221)

MARGIN = 28  # pixels around everything
CROP_MARGIN = 0.3  # m around the known cells
MAP_SIZE = 1100  # pixels, approximate length of the longer side
TITLE, TEXT = 30, 19  # font sizes in pixels
SHADOW = 0.45  # darkness of the shadow of obstacles
COLUMN_GAP = 8


def draw_map(
    cells: NDArray[np.int8], origin: ArrayLike, resolution: float, path: ArrayLike, title: str,
    subtitles: Sequence[str],
) -> Picture:  # fmt: skip
    """Return a picture of a map: cells (ny, nx), origin (2,) [m], and a path (N, 2 or 3) [m]."""
    known = np.argwhere(cells >= 0)
    if not len(known):  # the whole map
        known = np.argwhere(cells < 0)
    edge = round(CROP_MARGIN / resolution)
    low = (known.min(axis=0) - edge).clip(0)
    high = np.minimum(known.max(axis=0) + edge + 1, cells.shape)
    crop = np.flipud(cells[low[0]:high[0], low[1]:high[1]])
    zoom = max(1, round(MAP_SIZE / max(crop.shape)))
    picture = map_picture(crop, zoom)
    if len(path) > 1:
        left, top = origin[0] + low[1] * resolution, origin[1] + high[0] * resolution
        points = np.stack([np.array(path)[:, 0] - left, top - np.array(path)[:, 1]], axis=1)
        _draw_path(picture, points / resolution * zoom)

    header = MARGIN + TITLE + len(subtitles) * (TEXT + 10) + 24
    canvas = _canvas(picture.shape[1] + 2 * MARGIN, header + picture.shape[0] + 80)
    write(canvas, title, MARGIN, MARGIN + TITLE, TITLE, INK, weight=600)
    for number, line in enumerate(subtitles, start=1):
        write(canvas, line, MARGIN, MARGIN + TITLE + number * (TEXT + 10), TEXT, FAINT)
    canvas[header:header + picture.shape[0], MARGIN:-MARGIN] = picture
    _draw_legend(canvas, header + picture.shape[0] + 40, zoom / resolution)
    return canvas


def draw_views(views: Sequence[LabelledView], title: str) -> Picture:
    """Return a picture with a row for each view: real and rendered images, and their depth."""
    with_depth = any(frame.depth is not None for frame, *_ in views)
    heads = ['real', 'rendered', *(['real depth'] if with_depth else []), 'rendered depth']
    height, width = views[0][1].shape[:2]
    header = MARGIN + TITLE + 24 + TEXT + 10
    canvas = _canvas(
        2 * MARGIN + len(heads) * (width + COLUMN_GAP) - COLUMN_GAP,
        header + len(views) * (height + COLUMN_GAP) + MARGIN)
    write(canvas, title, MARGIN, MARGIN + TITLE, TITLE, INK, weight=600)
    for column, head in enumerate(heads):
        write(canvas, head, MARGIN + column * (width + COLUMN_GAP), header - 10, TEXT, FAINT)
    for row, (frame, color, depth, label) in enumerate(views):
        tiles = [frame.image, color.copy()]
        _tag(tiles[1], label)
        depths = ([frame.depth] if with_depth else []) + [depth]
        limits = _limits(depths)
        tiles += [_depth_picture(values, limits) for values in depths]
        _tag(tiles[-1], f'{limits[0]:.1f} to {limits[1]:.1f} m')
        top = header + row * (height + COLUMN_GAP)
        for column, tile in enumerate(tiles):
            left = MARGIN + column * (width + COLUMN_GAP)
            canvas[top:top + height, left:left + width] = tile
    return canvas


def save(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write a picture."""
    cv2.imwrite(str(path), np.ascontiguousarray(picture[..., ::-1]))


def map_picture(cells: NDArray[np.int8], zoom: int) -> Picture:
    """Return a picture of the cells (ny, nx) of a map, row 0 on top, zoom pixels per cell."""
    def enlarge(image: NDArray) -> NDArray:
        return image.repeat(zoom, axis=0).repeat(zoom, axis=1)

    picture = np.empty((*cells.shape, 3), np.uint8)
    picture[:] = UNKNOWN_COLOR
    picture[cells == FREE] = FREE_COLOR
    picture = enlarge(picture).astype(np.float32)
    solid = enlarge((cells == OCCUPIED).astype(np.float32))
    shadow = cv2.GaussianBlur(solid, (0, 0), 0.7 * zoom)
    shadow = np.roll(shadow, (zoom // 3, zoom // 4), (0, 1))  # light from the upper left
    picture *= 1 - SHADOW * shadow[..., None] * (1 - np.array(OCCUPIED_COLOR) / 255)
    picture[solid > 0] = OCCUPIED_COLOR
    return picture.astype(np.uint8)


def _draw_path(picture: Picture, points: NDArray[np.floating]) -> None:
    subpixel = np.round(points * 16).astype(np.int32)
    cv2.polylines(picture, [subpixel], False, PATH_COLOR, PATH_WIDTH, cv2.LINE_AA, 4)
    for point, color in ((points[0], PAPER), (points[-1], PATH_COLOR)):  # begin hollow, end filled
        center = tuple(int(value) for value in np.round(point * 16))
        cv2.circle(picture, center, 7 * 16, color, -1, cv2.LINE_AA, 4)
        cv2.circle(picture, center, 7 * 16, PATH_COLOR, PATH_WIDTH - 1, cv2.LINE_AA, 4)


def _draw_legend(canvas: Picture, middle: int, pixels_per_metre: float) -> None:
    left = MARGIN
    for text, color in (
            ('free', FREE_COLOR), ('occupied', OCCUPIED_COLOR), ('unknown', UNKNOWN_COLOR)):
        corners = (left, middle - 10), (left + 20, middle + 10)
        cv2.rectangle(canvas, *corners, color, -1)
        cv2.rectangle(canvas, *corners, FAINT, 1)
        left = 32 + write(canvas, text, left + 30, middle + 7, TEXT, INK)
    cv2.line(canvas, (left, middle), (left + 30, middle), PATH_COLOR, PATH_WIDTH, cv2.LINE_AA)
    write(canvas, 'camera', left + 40, middle + 7, TEXT, INK)
    right = canvas.shape[1] - MARGIN
    begin = round(right - pixels_per_metre)
    for ends in (((begin, middle), (right, middle)),
                 *(((x, middle - 7), (x, middle + 7)) for x in (begin, right))):
        cv2.line(canvas, *ends, INK, 2)
    write(canvas, '1 m', begin - 44, middle + 7, TEXT, INK)


def _limits(depths: Sequence[NDArray | None]) -> tuple[float, float]:
    values = np.concatenate([depth[has_depth(depth)] for depth in depths if depth is not None])
    low, high = np.percentile(values, (1, 99)) if values.size else (0.0, 1.0)
    return low, max(high, low + 0.1)


def _depth_picture(depth: NDArray[np.floating], limits: tuple[float, float]) -> Picture:
    fraction = np.clip((depth - limits[0]) / (limits[1] - limits[0]), 0, 1)
    levels = np.round(255 * (1 - np.nan_to_num(fraction))).astype(np.uint8)  # near is bright
    picture = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1].copy()
    picture[~has_depth(depth)] = NO_DEPTH
    return picture


def _tag(tile: Picture, text: str) -> None:
    """Write a text on a dark band in the lower left corner."""
    end = write(np.zeros((1, 1, 3), np.uint8), text, 8, 0, 16, PAPER)
    corner = tile[-26:, :end + 8]
    corner[:] = corner * 0.35 + np.array(INK) * 0.3
    write(tile, text, 8, tile.shape[0] - 8, 16, PAPER)


def _canvas(width: int, height: int) -> Picture:
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = PAPER
    return canvas


def write(
    canvas: Picture, text: str, left: int, baseline: int, size: int, color: Color,
    weight: int = 400,
) -> int:  # fmt: skip
    """Write a text of a size [pixels]; return the column where it ends."""
    if hasattr(cv2, 'FontFace'):
        face = cv2.FontFace('sans')
        cv2.putText(canvas, text, (left, baseline), color, face, size, weight)
        return left + cv2.getTextSize((4000, 100), text, (0, 50), face, size, weight)[2]
    scale = size / 30  # OpenCV 4 has stroke fonts only
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, 2 if weight > 400 else 1
    cv2.putText(canvas, text, (left, baseline), font, scale, color, thickness, cv2.LINE_AA)
    return left + cv2.getTextSize(text, font, scale, thickness)[0][0]
