"""Lightmaps of the faces of boxes: ambient light, and lamps with soft shadows."""
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.simulation.boxes import TANGENTS, Box, Face

CELL_SIZE = 0.08  # metres, of a lightmap
SURFACE_OFFSET = 0.005  # metres: light is computed this far in front of the face
AMBIENT = (0.50, 0.46, 0.58)  # light on faces whose normal is along x, y, z
LAMP_INTENSITY = 2.6  # of all lamps together
CONSTANT, QUADRATIC = 0.6, 0.25  # attenuation with the distance [1], [1/m^2]
REACH = 6.0  # metres; what is left of a lamp's light behind it would not be seen


def lightmaps(
    faces: Sequence[Face], boxes: Sequence[Box], lamps: ArrayLike,
    intensity: float = LAMP_INTENSITY,
) -> list[NDArray[np.float32]]:  # fmt: skip
    """Return the lightmap of every face, (rows, columns) float32 each, a factor of the albedo.

    Light is ambient, plus point lights `lamps` (L, 3) [m] of an intensity, all together, by
    Lambert's cosine law and a softened inverse square. A box between lamp and face casts a
    shadow; several lamps make it soft.
    """
    lamps = np.asarray(lamps, np.float32).reshape(-1, 3)
    shapes, grids, codes = [], [], []
    for face in faces:
        u, v = TANGENTS[face.axis]
        size = face.size
        rows, columns = (int(size[i] / CELL_SIZE) + 2 for i in (v, u))
        grid = np.empty((rows, columns, 3), np.float32)
        grid[..., face.axis] = face.low[face.axis] + SURFACE_OFFSET * face.side
        grid[..., u] = face.low[u] + size[u] * (np.arange(columns) + 0.5) / columns
        grid[..., v] = (face.low[v] + size[v] * (np.arange(rows) + 0.5) / rows)[:, None]
        shapes.append((rows, columns))
        grids.append(grid.reshape(-1, 3))
        codes.append(np.full(rows * columns, 2 * face.axis + (face.side > 0)))
    points, normals = np.concatenate(grids).T.copy(), np.concatenate(codes)
    axis, side = normals // 2, np.where(normals % 2, 1.0, -1.0)
    light = np.array(AMBIENT, np.float32)[axis]
    for lamp in lamps:
        to_lamp = lamp[:, None] - points
        distance = np.linalg.norm(to_lamp, axis=0)
        cosine = np.take_along_axis(to_lamp, axis[None], axis=0)[0] * side / distance
        facing = np.flatnonzero((cosine > 0) & (distance < REACH))
        near = [box for box in boxes if np.linalg.norm(
            np.clip(lamp, box.low, box.high) - lamp) < REACH]
        facing = facing[~_in_shadow(points[:, facing], to_lamp[:, facing], near)]
        light[facing] += (intensity / len(lamps)) * cosine[facing] / (
            CONSTANT + QUADRATIC * distance[facing]**2)
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(light, ends[:-1]), shapes)]


def _in_shadow(
    points: NDArray[np.float32], to_lamp: NDArray[np.float32], boxes: Sequence[Box],
) -> NDArray[np.bool_]:  # fmt: skip
    """Return whether a box intersects the segment from each point (3, N) to the lamp, (N,)."""
    inverse = 1.0 / np.where(np.abs(to_lamp) < 1e-6, np.float32(1e-6), to_lamp)
    shadow = np.zeros(points.shape[1], bool)
    for box in boxes:
        enter, leave = np.zeros(1, np.float32), np.ones(1, np.float32)
        for axis in range(3):
            first = (np.float32(box.low[axis]) - points[axis]) * inverse[axis]
            last = (np.float32(box.high[axis]) - points[axis]) * inverse[axis]
            enter = np.maximum(enter, np.minimum(first, last))
            leave = np.minimum(leave, np.maximum(first, last))
        shadow |= enter < leave
    return shadow
