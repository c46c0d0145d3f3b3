"""Body path: where the robot has been, nothing stands in its way."""
from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose, Poses
from instant_nerf_ros.nerf.capture.rays import NO_COLOR, Rays
from instant_nerf_ros.nerf.config import BodyConfig
from instant_nerf_ros.nerf.occupancy.integration import integrate_free
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

SPACING = 0.25  # of its radius, between poses that vote
MAX_TILT = 30.0  # degrees, of a robot that drives
INSIDE = 1e-3  # of a voxel: how far from its faces a ray through its middle begins and ends


class BodyPath:
    """Poses of the robot's base, and the votes of its body: an upright cylinder on the floor.

    Voxels that it filled completely are free, from one above the floor on: the lowest one may hold
    the floor itself. Each pose has one vote, so that surfaces that are measured later win.
    """

    def __init__(self, config: BodyConfig) -> None:
        self.config = config
        self._poses: Poses = {}  # T_local_base by id
        self._newest: Pose | None = None

    def is_new(self, T_local_base: Pose) -> bool:
        """Return whether a pose (4, 4) is far enough from the one before it to vote.

        Raises ValueError if the robot does not stand upright.
        """
        if T_local_base[2, 2] < np.cos(np.radians(MAX_TILT)):
            tilt = np.degrees(np.arccos(np.clip(T_local_base[2, 2], -1, 1)))
            raise ValueError(f'the robot is tilted by {tilt:.0f} degrees: its base frame must '
                             'have z up')
        return self.config.radius > 0 and (
            self._newest is None or bool(np.linalg.norm(
                T_local_base[:3, 3] - self._newest[:3, 3]) >= SPACING * self.config.radius))

    def add(self, T_local_base: Pose, pose_id: int, occupancy: OccupancyGrid) -> None:
        """Keep a pose, and let the body vote there."""
        self._poses[pose_id] = self._newest = T_local_base.copy()
        self._integrate(T_local_base, pose_id, occupancy)

    def correct_poses(self, corrections: Poses) -> None:
        """Move poses by {id: T_new_old (4, 4)}."""
        self._poses = {
            pose_id: corrections.get(pose_id, np.eye(4)) @ pose
            for pose_id, pose in self._poses.items()}

    def integrate_all(self, occupancy: OccupancyGrid) -> None:
        """Let the body vote at all poses, in a new grid."""
        for pose_id, pose in self._poses.items():
            self._integrate(pose, pose_id, occupancy)

    def _integrate(self, T_local_base: Pose, pose_id: int, occupancy: OccupancyGrid) -> None:
        size, base = occupancy.voxel_size, T_local_base[:3, 3]
        columns = _columns(base[:2] - occupancy.corner[:2], self.config.radius, size)
        bottom = np.ceil((base[2] - occupancy.corner[2]) / size - INSIDE) + 1
        top = np.floor((base[2] + self.config.height - occupancy.corner[2]) / size + INSIDE)
        if not len(columns) or top <= bottom:
            return
        origins = np.column_stack([columns + 0.5, np.full(len(columns), bottom + INSIDE)])
        origins = (occupancy.corner + size * origins).astype(np.float32)
        occupancy.grow_to(origins.min(0), origins.max(0) + [0, 0, size * (top - bottom)])
        rays = Rays(
            torch.from_numpy(origins),
            torch.tensor([0.0, 0.0, 1.0]).expand(len(origins), 3).contiguous(),
            torch.full((len(origins),), float(size * (top - bottom - 2 * INSIDE))),
            torch.full((len(origins), 3), NO_COLOR, dtype=torch.int16))
        integrate_free(rays, occupancy, pose_id)


def _columns(center: NDArray[np.float64], radius: float, size: float) -> NDArray[np.int64]:
    """Return the indices (N, 2) of the columns of voxels that lie in a disc completely."""
    first = np.floor((center - radius) / size).astype(np.int64)
    width = 2 * int(np.ceil(radius / size)) + 1
    index = first + np.argwhere(np.ones((width, width)))
    farthest = np.maximum(abs(index * size - center), abs((index + 1) * size - center))
    return np.asarray(index[np.linalg.norm(farthest, axis=-1) <= radius], np.int64)
