"""Meshes: the colored surface of the field as PLY or GLB."""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.nerf.products import exports
from instant_nerf_ros.nerf.products.mesh import Mesh
from instant_nerf_ros.scenes.exports.fusion import fuse
from instant_nerf_ros.scenes.exports.glb import POINTS, TRIANGLES, glb
from instant_nerf_ros.scenes.exports.rendered_views import rendered_views
from instant_nerf_ros.scenes.exports.surfels import MAX_SURFELS, surfels
from instant_nerf_ros.scenes.outputs import output_file

UNLIT = 'KHR_materials_unlit'  # the colors of the field are those of a lit surface already
SUFFIXES = '.ply', '.glb'


def surface(
    mapper: Mapper, max_count: int = MAX_SURFELS,
) -> tuple[Mesh, NDArray[np.float64]]:  # fmt: skip
    """Return the Mesh of a mapper's scene, and the origin (3,) in the world of its positions.

    It has about as many vertices as surfels, at most max_count. Raises ValueError if the scene has
    no surface yet.
    """
    views = rendered_views(mapper)
    return fuse(views, surfels(views, max_count))


def write_mesh(mapper: Mapper, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write the mesh of a mapper's scene as .ply or .glb, with vertex colors.

    A PLY is in the axes of the world; a GLB says by itself that z is up. Raises FileExistsError,
    or ValueError for another suffix or without a surface.
    """
    with output_file(_checked(path), overwrite) as new:
        found, origin = surface(mapper)
        if new.suffix.lower() == '.ply':
            exports.write_ply(new, found.positions + origin, found.colors, found.faces)
        else:
            new.write_bytes(glb(
                {'POSITION': found.positions, 'COLOR_0': linear(found.colors)}, origin, TRIANGLES,
                found.faces.astype(np.uint32), {'material': 0}, {
                    'extensionsUsed': [UNLIT],
                    'materials': [{'extensions': {UNLIT: {}}, 'doubleSided': True}]}))


def write_points(mapper: Mapper, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write centers and colors of the occupied voxels as .ply or .glb; see `write_mesh`."""
    with output_file(_checked(path), overwrite) as new:
        positions, colors = mapper.points()
        if not len(positions):
            raise ValueError('no voxel is known to be occupied yet: train longer')
        if new.suffix.lower() == '.ply':
            exports.write_ply(new, positions, colors)
        else:
            origin = np.round(positions.mean(axis=0))
            new.write_bytes(glb(
                {'POSITION': (positions - origin).astype(np.float32), 'COLOR_0': linear(colors)},
                origin, POINTS))


def linear(colors: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return colors (N, 3) of sRGB as linear RGBA (N, 4), as glTF has them at vertices."""
    encoded = colors / 255
    decoded = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    opaque = np.ones((len(colors), 1))  # four components, as vertices must begin at four bytes
    return (np.concatenate([decoded, opaque], axis=1) * 65535 + 0.5).astype(np.uint16)


def _checked(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f'{path} must end in {" or ".join(SUFFIXES)}')
    return path
