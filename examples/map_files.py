"""An occupancy grid as the files that Nav2's map_server reads."""
from pathlib import Path

import numpy as np

from instant_nerf_ros.data.metrics import FREE, OCCUPIED

FREE_GREY, UNKNOWN_GREY, OCCUPIED_GREY = 254, 205, 0


def write_map(folder, cells, origin, resolution):
    """Write map.pgm and map.yaml: cells (ny, nx) int8 with row 0 at the lowest y, origin (2,)."""
    pixels = np.full(cells.shape, UNKNOWN_GREY, np.uint8)
    pixels[cells == FREE] = FREE_GREY
    pixels[cells == OCCUPIED] = OCCUPIED_GREY
    height, width = cells.shape
    header = f'P5\n{width} {height}\n255\n'.encode()
    # An image begins with its top row, a grid with its lowest.
    (Path(folder) / 'map.pgm').write_bytes(header + np.flipud(pixels).tobytes())
    # 205 is 0.19608 occupied: above this free_thresh, so that unknown stays unknown.
    (Path(folder) / 'map.yaml').write_text(
        'image: map.pgm\n'
        'mode: trinary\n'
        f'resolution: {resolution:.6g}\n'
        f'origin: [{origin[0]:.6f}, {origin[1]:.6f}, 0.0]\n'
        'negate: 0\n'
        'occupied_thresh: 0.65\n'
        'free_thresh: 0.196\n')
