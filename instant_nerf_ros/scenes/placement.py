"""Placement: how the world of a scene lies in that of its data: upright, and in metres."""
import dataclasses

import numpy as np
from numpy.typing import NDArray

MAX_TILT = 20.0  # degrees, between the mean up axis of cameras and z; more is turned away
MIN_UPRIGHT = 0.3  # length of the mean up axis; less means that there is no common one


@dataclasses.dataclass(frozen=True)
class Placement:
    """The similarity from the world of the data to that of the scene: rotation, then scale."""

    rotation: NDArray[np.float64]  # (3, 3)
    scale: float  # metres per unit

    def poses(self, poses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return poses (..., 4, 4) of the data in the world of the scene."""
        placed = poses.copy()
        placed[..., :3, :3] = self.rotation @ poses[..., :3, :3]
        placed[..., :3, 3] = self.scale * poses[..., :3, 3] @ self.rotation.T
        return placed

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (N, 3) of the data in the world of the scene."""
        return np.asarray(self.scale * points @ self.rotation.T)

    def matrix(self) -> NDArray[np.float64]:
        """Return it as a matrix (4, 4)."""
        T = np.eye(4)
        T[:3, :3] = self.scale * self.rotation
        return T


def upright(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation (3, 3) of least angle that turns the mean up axis of cameras to z.

    The identity if they agree with z already, or if they have no common up axis.
    """
    up = -poses[:, :3, 1].mean(axis=0)
    length = float(np.linalg.norm(up))
    if length < MIN_UPRIGHT or up[2] / length > np.cos(np.radians(MAX_TILT)):
        return np.eye(3)
    x, y, z = up / length
    if z < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    # Rodrigues' formula for the rotation about up x z.
    cross = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + z))
