"""Light on the faces of boxes: ambient, and lamps with soft shadows. Computed once."""
import numpy as np

from instant_nerf_ros.simulation.boxes import TANGENTS

LIGHT_CELL = 0.08  # m, spacing of the light samples on a face
AMBIENT = (0.50, 0.46, 0.58)  # light from everywhere on faces along x, y, z
LAMPLIGHT = 2.6  # light of all lamps together, facing them at 1.3 m


def light_on(faces, boxes, lamps):
    """Return the light on every face, a list of (rows, columns) float32 at ~ LIGHT_CELL.

    Ambient light that depends on the axis of the normal, plus the lamps (x, y, z) m that no box
    hides, by Lambert's cosine and a softened inverse square. Several lamps make soft shadows.
    """
    shapes, points, normals = [], [], []
    for face in faces:
        u, v = TANGENTS[face.axis]
        span = face.span
        rows, columns = (int(span[i] / LIGHT_CELL) + 2 for i in (v, u))
        grid = np.empty((rows, columns, 3), np.float32)
        grid[..., face.axis] = face.low[face.axis] + 0.005 * face.side
        grid[..., u] = face.low[u] + span[u] * (np.arange(columns) + 0.5) / columns
        grid[..., v] = (face.low[v] + span[v] * (np.arange(rows) + 0.5) / rows)[:, None]
        shapes.append((rows, columns))
        points.append(grid.reshape(-1, 3))
        normals.append(np.full(rows * columns, 2 * face.axis + (face.side > 0)))
    points, normals = np.concatenate(points).T.copy(), np.concatenate(normals)
    axis, side = normals // 2, np.where(normals % 2, 1.0, -1.0)
    light = np.float32(AMBIENT)[axis]
    for lamp in lamps:
        to_lamp = np.asarray(lamp, np.float32)[:, None] - points
        distance = np.linalg.norm(to_lamp, axis=0)
        cosine = np.take_along_axis(to_lamp, axis[None], axis=0)[0] * side / distance
        facing = np.flatnonzero(cosine > 0)
        facing = facing[~_hidden(points[:, facing], to_lamp[:, facing], boxes)]
        light[facing] += (LAMPLIGHT / len(lamps)) * cosine[facing] / (
            0.6 + 0.25 * distance[facing]**2)
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(light, ends[:-1]), shapes)]


def _hidden(points, to_lamp, boxes):
    """Return whether a box lies on the segment from each point (3, N) to the lamp, (N,)."""
    inverse = 1.0 / np.where(np.abs(to_lamp) < 1e-6, np.float32(1e-6), to_lamp)
    hidden = np.zeros(points.shape[1], bool)
    for box in boxes:
        enter, leave = np.zeros(1, np.float32), np.ones(1, np.float32)
        for axis in range(3):
            first = (np.float32(box.low[axis]) - points[axis]) * inverse[axis]
            last = (np.float32(box.high[axis]) - points[axis]) * inverse[axis]
            enter = np.maximum(enter, np.minimum(first, last))
            leave = np.minimum(leave, np.maximum(first, last))
        hidden |= enter < leave
    return hidden
