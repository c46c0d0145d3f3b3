"""Exports: grids, points and meshes in the formats of other programs."""
import numpy as np

from instant_nerf_ros.nerf.products.grids import FREE, OCCUPIED

FREE_GREY, UNKNOWN_GREY, OCCUPIED_GREY = 254, 205, 0


def write_map(folder, cells, origin, resolution):
    """Write map.pgm and map.yaml, for Nav2's map_server, of what a MapGrid has."""
    pixels = np.full(cells.shape, UNKNOWN_GREY, np.uint8)
    pixels[cells == FREE] = FREE_GREY
    pixels[cells == OCCUPIED] = OCCUPIED_GREY
    height, width = pixels.shape
    header = f'P5\n{width} {height}\n255\n'.encode()
    # An image begins with its top row, a grid with its lowest.
    (folder / 'map.pgm').write_bytes(header + np.flipud(pixels).tobytes())
    # 205 is 0.19608 occupied: above this free_thresh, so that unknown stays unknown. Nav2 compares
    # the origin with multiples of the resolution, so that no digit is left out.
    (folder / 'map.yaml').write_text(
        'image: map.pgm\n'
        'mode: trinary\n'
        f'resolution: {float(resolution)!r}\n'
        f'origin: [{float(origin[0])!r}, {float(origin[1])!r}, 0.0]\n'
        'negate: 0\n'
        'occupied_thresh: 0.65\n'
        'free_thresh: 0.196\n')


def write_ply(path, positions, colors, faces=()):
    """Write points (N, 3) in metres with colours (N, 3) uint8, and triangles (M, 3), as PLY."""
    vertex = np.dtype([('position', '<f4', 3), ('color', 'u1', 3)])
    face = np.dtype([('count', 'u1'), ('corners', '<i4', 3)])
    vertices, triangles = np.empty(len(positions), vertex), np.empty(len(faces), face)
    vertices['position'], vertices['color'] = positions, colors
    lines = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(vertices)}']
    lines += [f'property float {name}' for name in 'xyz']
    lines += [f'property uchar {name}' for name in ('red', 'green', 'blue')]
    if len(faces):
        triangles['count'], triangles['corners'] = 3, faces
        lines += [f'element face {len(triangles)}', 'property list uchar int vertex_indices']
    header = '\n'.join([*lines, 'end_header', '']).encode()
    path.write_bytes(header + vertices.tobytes() + triangles.tobytes())
