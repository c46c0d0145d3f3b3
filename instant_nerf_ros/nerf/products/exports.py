"""Exports: the map for Nav2's map_server, points and meshes as PLY."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.constants import FREE, OCCUPIED

FREE_GRAY, UNKNOWN_GRAY, OCCUPIED_GRAY = 254, 205, 0
MAX_FLOAT32 = 4096.0  # metres, where the resolution of float32 is half a millimetre


def write_map(
    folder: Path, cells: NDArray[np.int8], origin: NDArray[np.float64], resolution: float,
) -> None:  # fmt: skip
    """Write the cells (ny, nx) of a MapGrid to a folder, as map.pgm and map.yaml for map_server.

    origin is the corner of cell (0, 0), (2,) or (3,), and resolution the edge of a cell [m].
    """
    pixels = np.full(cells.shape, UNKNOWN_GRAY, np.uint8)
    pixels[cells == FREE] = FREE_GRAY
    pixels[cells == OCCUPIED] = OCCUPIED_GRAY
    height, width = cells.shape
    header = f'P5\n{width} {height}\n255\n'.encode()
    # The first row of an image is the top one, that of a grid the one with the lowest y.
    (folder / 'map.pgm').write_bytes(header + np.flipud(pixels).tobytes())
    # Gray 205 is an occupancy of 0.19608, more than free_thresh: unknown stays unknown. All digits
    # of the origin are written, as Nav2 compares it with multiples of the resolution.
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
    """Write positions (N, 3) [m] with colors (N, 3) RGB, and triangles (M, 3), as PLY.

    Coordinates are float32, or float64 if float32 would lose millimetres.
    """
    far = np.abs(positions).max(initial=0) > MAX_FLOAT32
    kind, ply_kind = ('<f8', 'double') if far else ('<f4', 'float')
    vertex = np.dtype([('position', kind, 3), ('color', 'u1', 3)])
    face = np.dtype([('count', 'u1'), ('corners', '<i4', 3)])
    vertices, triangles = np.empty(len(positions), vertex), np.empty(len(faces), face)
    vertices['position'], vertices['color'] = positions, colors
    lines = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(vertices)}']
    lines += [f'property {ply_kind} {name}' for name in 'xyz']
    lines += [f'property uchar {name}' for name in ('red', 'green', 'blue')]
    if len(faces):
        triangles['count'], triangles['corners'] = 3, faces
        lines += [f'element face {len(triangles)}', 'property list uchar int vertex_indices']
    header = '\n'.join([*lines, 'end_header', '']).encode()
    path.write_bytes(header + vertices.tobytes() + triangles.tobytes())
