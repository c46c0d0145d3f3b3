"""The local frame: the world frame, translated to near the first camera where that is far away.

Kernels compute in float32, whose step is half a metre at 5,000 km, as in a map frame with UTM
coordinates. So the mapper works in a local frame, and translates its arguments and results in
float64. The translation is a whole number of voxels, so that the voxels of all sessions
lie on one lattice. Near the origin of the world both frames are the same.
"""
from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEAR_ORIGIN = 256.0  # metres; within, nothing is translated


@dataclasses.dataclass(frozen=True)
class LocalFrame:
    """A translation from the world frame by whole voxels."""

    voxels: tuple[int, int, int] = (0, 0, 0)  # lattice index of its origin in the world
    voxel_size: float = 1.0  # metres

    @classmethod
    def around(cls, position: NDArray[np.float64], voxel_size: float) -> LocalFrame:
        """Return the frame for a first camera at a position (3,), metres, world."""
        if np.abs(position).max() < NEAR_ORIGIN:
            return cls((0, 0, 0), voxel_size)
        x, y, z = np.round(position / voxel_size).astype(np.int64).tolist()
        return cls((x, y, z), voxel_size)

    @property
    def origin(self) -> NDArray[np.float64]:
        """Return the origin of the local frame in the world, (3,) metres."""
        return np.array(self.voxels) * self.voxel_size

    def localize(self, T_world_camera: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return poses (..., 4, 4) in the local frame."""
        poses = T_world_camera.copy()
        poses[..., :3, 3] -= self.origin
        return poses

    def globalize(self, T_local_camera: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return poses (..., 4, 4) in the world frame."""
        poses = T_local_camera.copy()
        poses[..., :3, 3] += self.origin
        return poses

    def localize_points(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return points (..., 3) in the local frame."""
        return np.asarray(points, dtype=np.float64) - self.origin

    def localize_motion(self, T_new_old: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a rigid motion (4, 4) of the world as one of the local frame."""
        motion = T_new_old.copy()
        motion[:3, 3] += T_new_old[:3, :3] @ self.origin - self.origin
        return motion
