"""Files: a folder with the map, the points, the mesh, and the model to continue with."""
from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.products import model
from instant_nerf_ros.nerf.products.exports import write_map, write_ply
from instant_nerf_ros.nerf.products.folders import atomic_folder
from instant_nerf_ros.nerf.products.mesh import mesh

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.mapper import Mapper

MAP, POINTS, MESH, MODEL = ('map.pgm', 'map.yaml'), 'points.ply', 'mesh.ply', 'model.npz'


def save(mapper: Mapper, folder: str | os.PathLike[str]) -> None:
    """Write all files of a Mapper with keyframes to a folder; it is unchanged after an error.

    Raises OSError if the folder cannot be written, ValueError if it contains other files.
    """
    grid = mapper.map()
    with atomic_folder(folder, [*MAP, POINTS, MESH, MODEL]) as new:
        write_map(new, grid.cells, grid.origin, grid.resolution)
        write_ply(new / POINTS, *mapper.points())
        write_ply(new / MESH, *_mesh(mapper))
        model.write(new / MODEL, mapper)


def rescue(mapper: Mapper, folder: str | os.PathLike[str]) -> None:
    """Write only the keyframes, to a folder without other files; raises the errors of `save`."""
    with atomic_folder(folder, [MODEL]) as new:
        model.write(new / MODEL, mapper, trained=False)


def load(
    make: Callable[[Config], Mapper], folder: str | os.PathLike[str], config: Config | None = None,
) -> Mapper:  # fmt: skip
    """Return make(config) with the model of a folder; None: with the settings of the file.

    Raises OSError if there is none, ValueError if it is damaged or of another kind of field.
    """
    return model.read(Path(folder) / MODEL, config, make)


def _mesh(mapper: Mapper) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.integer]]:
    """Return positions [m, world], colors and faces of the mesh of a Mapper."""
    votes, voxels, space = mapper.measurements.grid(), mapper.voxels(), mapper.trainer.space
    origin = mapper.measurements.frame.origin
    sampling = dataclasses.replace(mapper.trainer.config.sampling, near=0.0)

    def render_rays(rays: Rays) -> tuple[Tensor, Tensor, Tensor]:
        return space.render_rays(mapper.trainer.field, rays, votes, sampling, 1.0)

    surface = mesh(
        functools.partial(space.density, mapper.trainer.field),
        dataclasses.replace(voxels, origin=voxels.origin - origin),
        mapper.keyframes.T_world_camera[:, :3, 3], render_rays)
    return surface.positions + origin, surface.colors, surface.faces
