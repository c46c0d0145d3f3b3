"""Validation of the images that are added to a mapper."""
import numpy as np

from instant_nerf_ros.nerf.arrays import Depth, Image
from instant_nerf_ros.nerf.camera import Camera


def check_posed_image(image: Image, camera: Camera, depth: Depth | None) -> None:
    """Raise ValueError for a malformed argument of Mapper.add, with what it must be."""
    if not isinstance(camera, Camera):
        raise ValueError(f'camera must be a Camera, is {type(camera).__name__}')
    size = camera.height, camera.width
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape != (*size, 3):
        raise ValueError(f'the image must be {(*size, 3)} uint8 as the camera says, '
                         f'is {image.shape} {image.dtype}')
    if depth is not None:
        depth = np.asarray(depth)
        if depth.shape != size or depth.dtype.kind != 'f':  # integers would be millimetres
            raise ValueError(f'the depth must be {size} as the camera says, in metres as floats, '
                             f'is {depth.shape} {depth.dtype}')
