"""Exports: map, points and mesh in the formats of other programs."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.constants import FREE, OCCUPIED

FREE_GREY, UNKNOWN_GREY, OCCUPIED_GREY = 254, 205, 0
MAX_FLOAT32 = 4096.0  # metres: its step is half a millimetre there


def write_map(
    folder: Path, cells: NDArray[np.int8], origin: NDArray[np.float64], resolution: float,
) -> None:  # fmt: skip
    """Write the cells of a MapGrid as map.pgm and map.yaml for Nav2's map_server."""
    pixels = np.full(cells.shape, UNKNOWN_GREY, np.uint8)
    pixels[cells == FREE] = FREE_GREY
    pixels[cells == OCCUPIED] = OCCUPIED_GREY
    height, width = pixels.shape
    header = f'P5\n{width} {height}\n255\n'.encode()
    # An image begins with its top row, a grid with its lowest.
    (folder / 'map.pgm').write_bytes(header + np.flipud(pixels).tobytes())
    # Gray 205 is 0.19608 occupied: above this free_thresh, so that unknown stays unknown. Nav2
    # compares the origin with multiples of the resolution, so that all digits are written.
    (folder / 'map.yaml').write_text(
        'image: map.pgm\n'
        'mode: trinary\n'
        f'resolution: {float(resolution)!r}\n'
        f'origin: [{float(origin[0])!r}, {float(origin[1])!r}, 0.0]\n'
        'negate: 0\n'
        'occupied_thresh: 0.65\n'
        'free_thresh: 0.196\n')


def write_ply(
    path: Path, positions: NDArray[np.floating], colors: NDArray[np.uint8],
    faces: NDArray[np.integer] | Sequence[Sequence[int]] = (),
) -> None:  # fmt: skip
    """Write points (N, 3) in metres with colors (N, 3), and triangles (M, 3), as PLY.

    Coordinates are float32, or float64 where that would lose millimetres.
    """
    far = np.abs(positions).max(initial=0) > MAX_FLOAT32
    kind, name_of_kind = ('<f8', 'double') if far else ('<f4', 'float')
    vertex = np.dtype([('position', kind, 3), ('color', 'u1', 3)])
    face = np.dtype([('count', 'u1'), ('corners', '<i4', 3)])
    vertices, triangles = np.empty(len(positions), vertex), np.empty(len(faces), face)
    vertices['position'], vertices['color'] = positions, colors
    lines = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(vertices)}']
    lines += [f'property {name_of_kind} {name}' for name in 'xyz']
    lines += [f'property uchar {name}' for name in ('red', 'green', 'blue')]
    if len(faces):
        triangles['count'], triangles['corners'] = 3, faces
        lines += [f'element face {len(triangles)}', 'property list uchar int vertex_indices']
    header = '\n'.join([*lines, 'end_header', '']).encode()
    path.write_bytes(header + vertices.tobytes() + triangles.tobytes())
