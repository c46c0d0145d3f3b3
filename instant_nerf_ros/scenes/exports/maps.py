"""Maps: the files of map_server and of OctoMap."""
from __future__ import annotations

import os

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.nerf.products.exports import write_map as write_map_files
from instant_nerf_ros.scenes.outputs import output_file, output_folder


def write_map(mapper: Mapper, folder: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write map.pgm and map.yaml for Nav2's map_server; raises FileExistsError."""
    grid = mapper.map()
    folder = output_folder(folder, overwrite)
    write_map_files(folder, grid.cells, grid.origin, grid.resolution)


def write_octomap(mapper: Mapper, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write the voxels as a binary OctoMap, .bt; raises FileExistsError.

    Its leaves are half as large as the voxels; see products.octree.
    """
    with output_file(path, overwrite) as new:
        tree = mapper.octree()
        header = ('# Octomap OcTree binary file\n'
                  '# written by instant_nerf_ros\n'
                  f'id OcTree\nsize {tree.nodes}\nres {tree.resolution!r}\ndata\n')
        new.write_bytes(header.encode() + tree.data)
