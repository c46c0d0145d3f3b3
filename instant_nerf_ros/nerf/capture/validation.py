"""Validation of the images that are added to a mapper, and the format of stored depths."""
import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.arrays import Alpha, AnyDepth, Depth, EstimatedDepth, Image
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.constants import MASKED_ALPHA, MILLIMETRE


def check_posed_image(
    image: Image, camera: Camera, depth: AnyDepth | None, alpha: Alpha | None = None,
    angular_velocity: ArrayLike | None = None,
) -> None:  # fmt: skip
    """Raise ValueError for a malformed argument of Mapper.add, with what it must be."""
    if not isinstance(camera, Camera):
        raise ValueError(f'camera must be a Camera, is {type(camera).__name__}')
    size = camera.height, camera.width
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape != (*size, 3):
        raise ValueError(f'the image must be {(*size, 3)} uint8 as the camera says, '
                         f'is {image.shape} {image.dtype}')
    if alpha is not None and (np.shape(alpha) != size or np.asarray(alpha).dtype != np.uint8):
        raise ValueError(f'alpha must be {size} uint8 as the camera says, '
                         f'is {np.shape(alpha)} {np.asarray(alpha).dtype}')
    if alpha is not None and (np.asarray(alpha) == MASKED_ALPHA).all():
        raise ValueError('all pixels of the image are masked: leave it out')
    if angular_velocity is not None and (
            np.shape(angular_velocity) != (3,) or not np.isfinite(angular_velocity).all()):
        raise ValueError('the angular velocity must be three finite numbers in rad/s, '
                         f'is {angular_velocity}')
    if depth is not None:
        depth = np.asarray(depth.values if isinstance(depth, EstimatedDepth) else depth)
        if depth.shape != size or depth.dtype.kind != 'f':  # integers would be millimetres
            raise ValueError(f'the depth must be {size} as the camera says, in metres as floats, '
                             f'is {depth.shape} {depth.dtype}')


def to_millimetres(depth: Depth) -> NDArray[np.uint16]:
    """Return depths in metres as millimetres; invalid ones become 0."""
    # In place: new memory costs more time than the arithmetic.
    scaled = np.asarray(depth, dtype=np.float32) / np.float32(MILLIMETRE)
    scaled[~((scaled >= 1) & (scaled < 65535))] = 0  # NaN, too
    scaled += 0.5
    return scaled.astype(np.uint16)
