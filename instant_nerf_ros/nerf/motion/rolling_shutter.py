"""Rolling shutter: the rows of an image are exposed one after another, while the camera turns.

The pose of an image is that of its middle row. A row that is exposed at a time t, in readouts of
the whole image, is seen from a camera that is rotated by t times the rotation vector (3,) [rad] of
a readout (Hedborg et al. 2012, "Rolling shutter bundle adjustment"; without the translation, which
is alike in neighboring images and moves rows far less).
"""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera

Array = NDArray[np.floating]
Positions = NDArray[np.float64]

# Standard deviation of the rotation during a readout [rad], beyond what the angular velocity says:
# half a rad/s in 20 ms. The velocity of a camera in a hand changes from image to image.
ROTATION_ERROR = 0.01


def row_times(camera: Camera, keypoints: Positions) -> Positions:
    """Return when the rows of keypoints (N, 3) are exposed, (N,): -1/2 at the top, 1/2 below."""
    return np.nan_to_num(exposure_times(camera.project(keypoints)[:, 1], camera.height))


def exposure_times(rows: Positions, height: int) -> Positions:
    """Return when rows of an image with a height [pixels] are exposed, as row_times."""
    return (rows - (height - 1) / 2) / height


def global_shutter(x: Array, y: Array, times: Array, rotation: Array) -> tuple[Array, Array]:
    """Return where normalized coordinates were if all rows were exposed with the middle one.

    x, y and times have shapes that fit together; rotation (3,) [rad].
    """
    # The ray (x, y, 1) and the cross product of times * rotation with it.
    about_x, about_y, about_z = rotation.astype(times.dtype)
    depth = 1 + times * (about_x * y - about_y * x)
    return ((x + times * (about_y - about_z * y)) / depth,
            (y + times * (about_z * x - about_x)) / depth)
