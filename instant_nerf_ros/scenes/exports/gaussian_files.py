"""Files of Gaussians: the .ply of 3D Gaussian splatting, .spz, and glTF.

PLY and SPZ do not say what is up. SuperSplat shows both upright if y is down, as in most files of
Gaussians; the library of SPZ itself takes y for up. glTF says that y is up, and is written so.
"""
from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.scenes.exports.gaussians import Gaussians
from instant_nerf_ros.scenes.exports.glb import POINTS, glb
from instant_nerf_ros.scenes.outputs import output_file

AXES = {  # of the positions, from those of the world, in which z is up
    'y_down': np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    'y_up': np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    'world': np.eye(3),
}
MAX_FLOAT32 = 4096.0  # units, where the resolution of float32 is half a thousandth
MAX_SPZ = 2047.0  # units: 24 bits with a fraction of FRACTION bits
FRACTION = 12  # bits of an SPZ position after the point
KHR = 'KHR_gaussian_splatting'


def write_ply(
    path: str | os.PathLike[str], scene: Gaussians, axes: str = 'y_down',
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Write the .ply that the reference implementation of Kerbl et al. 2023 writes.

    axes: a key of AXES. Raises FileExistsError; ImportError without gsply; ValueError for other
    axes, or where float32 would lose millimetres.
    """
    with output_file(path, overwrite) as new:
        _gsply().plywrite(str(new), _data(scene, axes, MAX_FLOAT32))


def write_spz(
    path: str | os.PathLike[str], scene: Gaussians, axes: str = 'y_down',
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Write an .spz of Niantic, version 3, a tenth of the size of the .ply; see `write_ply`.

    Raises ValueError for positions of 2047 units or more, which the format cannot hold.
    """
    with output_file(path, overwrite) as new:
        _gsply().write_spz(str(new), _data(scene, axes, MAX_SPZ), fractional_bits=FRACTION)


def write_glb(
    path: str | os.PathLike[str], scene: Gaussians, overwrite: bool = False,
) -> None:  # fmt: skip
    """Write a .glb with the extension KHR_gaussian_splatting; others show colored points.

    Raises FileExistsError.
    """
    origin = np.round(scene.positions.mean(axis=0))
    points = np.column_stack([scene.colors, scene.opacities])
    arrays: dict[str, NDArray[Any]] = {
        'POSITION': (scene.positions - origin).astype(np.float32),
        'COLOR_0': (np.clip(points, 0, 1) * 255 + 0.5).astype(np.uint8),
        f'{KHR}:ROTATION': scene.rotations.astype(np.float32),
        f'{KHR}:SCALE': scene.scales.astype(np.float32),
        f'{KHR}:OPACITY': scene.opacities.astype(np.float32),
        f'{KHR}:SH_DEGREE_0_COEF_0': scene.coefficients.astype(np.float32)}
    about = {'kernel': 'ellipse', 'colorSpace': 'srgb_rec709_display',
             'sortingMethod': 'cameraDistance', 'projection': 'perspective'}
    with output_file(path, overwrite) as new:
        new.write_bytes(glb(
            arrays, origin, POINTS, primitive={'extensions': {KHR: about}},
            document={'extensionsUsed': [KHR]}))


def _gsply() -> Any:
    try:
        import gsply
    except ImportError:
        raise ImportError('files of Gaussians need gsply: pip install gsply') from None
    return gsply


def _data(scene: Gaussians, axes: str, farthest: float) -> Any:
    """Return gsply's form of Gaussians: logarithms of scales, logits of opacities, w first."""
    if axes not in AXES:
        raise ValueError(f"axes '{axes}' are none of {', '.join(AXES)}")
    scene = scene.turned(AXES[axes])
    if (distance := np.abs(scene.positions).max()) >= farthest:
        raise ValueError(
            f'the scene is {distance:.0f} units from the origin of its world, and the format '
            f'holds {farthest:.0f}: export a GLB, or move the poses')
    return _gsply().GSData.from_arrays(
        means=scene.positions.astype(np.float32),
        scales=np.log(scene.scales).astype(np.float32),
        quats=np.roll(scene.rotations, 1, axis=1).astype(np.float32),
        opacities=np.log(scene.opacities / (1 - scene.opacities)).astype(np.float32),
        sh0=scene.coefficients.astype(np.float32), shN=None, format='ply')
