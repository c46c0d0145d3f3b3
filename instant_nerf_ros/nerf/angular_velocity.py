"""Angular velocity: how fast a camera turns, from its poses before and after an image."""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose


def angular_velocity(
    T_world_before: Pose, T_world_after: Pose, seconds: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the mean angular velocity (3,) [rad/s] between two poses, in the frame of the camera.

    Half a turn or more between them looks like less in the other direction.
    """
    R = T_world_before[:3, :3].T @ T_world_after[:3, :3]
    axis = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    sine, cosine = np.linalg.norm(axis), (np.trace(R) - 1) / 2
    angle = np.arctan2(sine, cosine)
    return np.asarray(axis * (angle / sine if sine else 1.0) / seconds)
