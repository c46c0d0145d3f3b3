"""Files: a folder with the map, the points, the mesh, and the model to go on with."""
import dataclasses
import functools
from pathlib import Path

from instant_nerf_ros.nerf.products import model
from instant_nerf_ros.nerf.field import render
from instant_nerf_ros.nerf.products.exports import write_map, write_ply
from instant_nerf_ros.nerf.products.folders import written
from instant_nerf_ros.nerf.products.mesh import mesh

MAP, POINTS, MESH, MODEL = ('map.pgm', 'map.yaml'), 'points.ply', 'mesh.ply', 'model.npz'


def save(mapper, folder):
    """Write a Mapper that has keyframes to a folder; what goes wrong leaves the old one.

    Raises OSError where that cannot be written, ValueError if it has other files.
    """
    grid, points, voxels = mapper.map(), mapper.points(), mapper.voxels()
    with written(folder, [*MAP, POINTS, MESH, MODEL]) as new:
        write_map(new, grid.cells, grid.origin, grid.resolution)
        write_ply(new / POINTS, *points)
        look = functools.partial(
            render.look, mapper.field, occupancy=mapper.occupancy, backend=mapper.engine,
            config=dataclasses.replace(mapper.config.sampling, near=0.0), stride=1.0)
        viewpoints = mapper.keyframes.T_world_camera[:, :3, 3]
        surface = mesh(mapper.field, voxels, viewpoints, look)
        write_ply(new / MESH, surface.positions, surface.colors, surface.faces)
        model.write(new / MODEL, mapper)


def rescue(mapper, folder):
    """Write the keyframes of a Mapper to a folder that has nothing else; raises as `save` does."""
    with written(folder, [MODEL]) as new:
        model.write(new / MODEL, mapper, learnt=False)


def load(make, folder, config=None):
    """Return make(config) with the model of a folder, by default with the settings of that.

    Raises OSError if there is none, ValueError if it is damaged, foreign or of another field.
    """
    return model.read(Path(folder) / MODEL, config, make)
