"""COLMAP model: cameras, corrected poses, images and points, as text.

The layout is that which trainers of Gaussians and radiance fields read: images/, sparse/0/.
"""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from instant_nerf_ros.nerf import Camera, Mapper
from instant_nerf_ros.scenes.outputs import output_folder


def write_colmap(
    mapper: Mapper, folder: str | os.PathLike[str], names: Sequence[str] = (),
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Write the keyframes of a mapper as a COLMAP model with images, in the frame of the world.

    names of their files, with a suffix; without them, they are numbered. The points are the
    centers of the occupied voxels. Raises FileExistsError if the folder has files, ValueError for
    a camera that COLMAP has no model for, or a wrong number of names.
    """
    keyframes, poses = mapper.keyframes, mapper.keyframe_poses()
    names = list(names) or [f'{k:05d}.png' for k in range(len(poses))]
    if len(names) != len(poses) or len(set(names)) != len(poses):
        raise ValueError(f'{len(poses)} keyframes need as many different names, not {len(names)}')
    if outside := [name for name in names if Path(name).is_absolute() or '..' in Path(name).parts]:
        raise ValueError(f'{outside[0]} leads out of the folder: give a relative name')
    lines = [_camera(number, camera) for number, camera in enumerate(keyframes.cameras, 1)]
    folder = output_folder(folder, overwrite)
    model = folder / 'sparse' / '0'
    model.mkdir(parents=True, exist_ok=True)
    (model / 'cameras.txt').write_text(
        '# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n' + '\n'.join(lines) + '\n')
    numbers = {camera: number for number, camera in enumerate(keyframes.cameras, 1)}
    lines = ['# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME, then POINTS2D[]']
    for k, (pose, name) in enumerate(zip(poses, names)):
        camera, image, _ = keyframes.image(k)
        inverse = np.linalg.inv(pose)
        x, y, z, w = Rotation.from_matrix(inverse[:3, :3]).as_quat()
        numbers_of_image = ' '.join(map(repr, map(float, [w, x, y, z, *inverse[:3, 3]])))
        lines += [f'{k + 1} {numbers_of_image} {numbers[camera]} {name}', '']
        path = folder / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), image[..., ::-1]):
            raise OSError(f'{path} cannot be written')
    (model / 'images.txt').write_text('\n'.join(lines) + '\n')
    lines = ['# POINT3D_ID, X, Y, Z, R, G, B, ERROR, then a track']
    lines += [f'{number} {x!r} {y!r} {z!r} {r} {g} {b} 0'
              for number, ((x, y, z), (r, g, b)) in enumerate(
                  zip(*(array.tolist() for array in mapper.points())), 1)]
    (model / 'points3D.txt').write_text('\n'.join(lines) + '\n')


def _camera(number: int, camera: Camera) -> str:
    """Return the line of a camera. Raises ValueError if COLMAP has no model for it.

    In COLMAP, the center of the first pixel is at (0.5, 0.5).
    """
    intrinsics = [camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5]
    given = list(camera.distortion)
    if camera.distortion_model == 'none':
        model, coefficients = 'PINHOLE', []
    elif camera.distortion_model == 'equidistant':
        model, coefficients = 'OPENCV_FISHEYE', given
    elif not any(given[4:]):
        model, coefficients = 'OPENCV', given[:4]
    elif not any(given[8:]):
        model, coefficients = 'FULL_OPENCV', given[:8] + [0.0] * (8 - len(given))
    else:
        raise ValueError('COLMAP has no model with the thin prism and tilt coefficients of '
                         f'{camera.distortion_model}: rectify the images')
    values = ' '.join(map(repr, map(float, intrinsics + coefficients)))
    return f'{number} {model} {camera.width} {camera.height} {values}'
