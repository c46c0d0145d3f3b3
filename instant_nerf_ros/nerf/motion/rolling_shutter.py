"""Rolling shutter: the rows of an image are exposed one after another, while the camera turns.

The pose of an image is that of its middle row. A row that is exposed at a time t, in readouts of
the whole image, sees what a camera sees that is turned by t times the turn (3,) [rad] of a readout
(Hedborg et al. 2012, "Rolling shutter bundle adjustment"; without the motion of the position,
which is alike in neighboring images and moves rows far less).
"""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera

Array = NDArray[np.floating]
Positions = NDArray[np.float64]

# Standard deviation of the turn during a readout [rad], beyond what the angular velocity says:
# half a rad/s in 20 ms. The velocity of a camera in a hand changes from image to image.
TURN_ERROR = 0.01


def row_times(camera: Camera, keypoints: Positions) -> Positions:
    """Return when the rows of keypoints (N, 3) are exposed, (N,): -1/2 at the top, 1/2 below."""
    rows = camera.project(keypoints)[:, 1]
    return np.nan_to_num((rows - (camera.height - 1) / 2) / camera.height)


def at_once(x: Array, y: Array, times: Array, turn: Array) -> tuple[Array, Array]:
    """Return where normalized coordinates were if all rows were exposed with the middle one.

    x, y and times have shapes that fit together; turn (3,) [rad].
    """
    # The ray (x, y, 1), turned by the cross product of time * turn with it.
    about_x, about_y, about_z = turn.astype(times.dtype)
    depth = 1 + times * (about_x * y - about_y * x)
    return ((x + times * (about_y - about_z * y)) / depth,
            (y + times * (about_z * x - about_x)) / depth)
