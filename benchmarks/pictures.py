"""Pictures of maps beside the ground truth: from above, with the drives, and as voxels."""
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from instant_nerf_ros.data.metrics import OCCUPIED

sys.path.append(str(Path(__file__).resolve().parents[1] / 'examples'))
from drawing import INK, MARGIN, PAPER, TEXT, TITLE, map_picture, write  # noqa: E402

PANEL = 480  # pixels, about the width of a map
COLUMNS, GAP = 3, 24  # of panels, pixels between them
MAX_PATHS = 60  # in a map, and all those that collide
PATH, COLLISION = (60, 130, 180), (214, 60, 40)
MAX_HEIGHT = 1.6  # m; higher voxels would hide the rooms
AZIMUTH, ELEVATION = np.radians(65.0), np.radians(50.0)  # of the viewpoint of voxels
LIGHT = {0: 0.80, 1: 0.66, 2: 1.0}  # on the faces of a voxel, by the axis of their normal


def plans(title, panels, origin, size):
    """Return a picture (H, W, 3) of maps side by side.

    panels: (heading, cells (nx, ny), paths (N, 2) [m], which of these collide).
    """
    known = np.argwhere(np.any([cells != -1 for _, cells, *_ in panels], axis=0))
    low, high = known.min(0), known.max(0) + 1
    zoom, pictures = max(2, round(PANEL / (high - low)[0])), []
    for heading, cells, paths, collide in panels:
        picture = map_picture(np.flipud(cells[low[0]:high[0], low[1]:high[1]].T), zoom)
        clear = [(path, False) for path, hit in zip(paths, collide) if not hit][:MAX_PATHS]
        for path, hit in clear + [(path, True) for path, hit in zip(paths, collide) if hit]:
            points = ((path - origin) / size - low) * zoom
            points[:, 1] = picture.shape[0] - points[:, 1]
            cv2.polylines(picture, [np.round(points * 16).astype(np.int32)], False,
                          COLLISION if hit else PATH, 1, cv2.LINE_AA, 4)
        pictures.append((heading, picture))
    return _framed(title, pictures)


def spaces(title, panels, size):
    """Return a picture (H, W, 3) of voxels side by side: (heading, states (nx, ny, nz))."""
    known = np.argwhere(np.any([states == OCCUPIED for _, states in panels], axis=0))
    low, high = known.min(0), known.max(0) + 1
    return _framed(title, [
        (heading, voxel_picture(states[tuple(map(slice, low, high))] == OCCUPIED, size))
        for heading, states in panels])


def voxel_picture(occupied, size):
    """Return a picture of voxels (nx, ny, nz) in a parallel projection, colored by height."""
    top = round(MAX_HEIGHT / size)
    occupied = np.pad(occupied[:, :, :top], 1)
    sine, cosine = np.sin(AZIMUTH), np.cos(AZIMUTH)
    right = np.array([-sine, cosine, 0.0])
    ahead = -np.array([cosine * np.cos(ELEVATION), sine * np.cos(ELEVATION), np.sin(ELEVATION)])
    down = np.cross(ahead, right)
    corners = np.indices((2, 2, 2)).reshape(3, -1).T * occupied.shape
    u, v = corners @ right, corners @ down
    zoom = PANEL / (u.max() - u.min())
    picture = np.empty((int(zoom * (v.max() - v.min())) + 1, PANEL, 3), np.uint8)
    picture[:] = PAPER
    faces, colors = [], []
    levels = np.linspace(0, 255, top).astype(np.uint8)[:, None]
    ramp = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    for axis in range(3):
        side = -1 if ahead[axis] > 0 else 1  # of the face that is turned to the viewer
        visible = np.argwhere(occupied & ~np.roll(occupied, -side, axis))
        others = [other for other in range(3) if other != axis]
        square = np.zeros((4, 3))
        square[:, axis] = max(side, 0)
        square[:, others] = [[0, 0], [1, 0], [1, 1], [0, 1]]
        faces.append(visible[:, None] + square)
        colors.append(ramp[np.clip(visible[:, 2] - 1, 0, top - 1)] * LIGHT[axis])
    faces, colors = np.concatenate(faces), np.concatenate(colors)
    points = np.stack([faces @ right - u.min(), faces @ down - v.min()], axis=-1) * zoom
    for index in np.argsort(-(faces.mean(1) @ ahead)):  # the farthest first
        cv2.fillConvexPoly(picture, np.round(points[index] * 16).astype(np.int32),
                           colors[index].tolist(), cv2.LINE_AA, 4)
    return picture


def save(path, picture):
    """Write a picture as a PNG of 128 colors, which keeps it small."""
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(picture).quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def _framed(title, pictures):
    """Return pictures of one size with their headings, COLUMNS in a row, under a title."""
    height, width = pictures[0][1].shape[:2]
    top, pitch = MARGIN + TITLE + 16, TEXT + 16 + height + GAP
    columns, rows = min(COLUMNS, len(pictures)), -(-len(pictures) // COLUMNS)
    canvas = np.empty((top + rows * pitch - GAP + MARGIN,
                       2 * MARGIN + columns * (width + GAP) - GAP, 3), np.uint8)
    canvas[:] = PAPER
    write(canvas, title, MARGIN, MARGIN + TITLE, TITLE, INK, weight=600)
    for number, (heading, picture) in enumerate(pictures):
        row, column = divmod(number, COLUMNS)
        left, head = MARGIN + column * (width + GAP), top + row * pitch + TEXT + 16
        write(canvas, heading, left, head - 10, TEXT, INK)
        canvas[head:head + height, left:left + width] = picture
    return canvas
