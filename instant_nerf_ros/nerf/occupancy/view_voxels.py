"""View voxels: the occupied voxels in the view of a depth image, and the pixels that see them."""
from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.constants import OCCUPIED
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

NOISE = 0.005  # [1/m], times the distance squared, of a depth image: three standard deviations

Distances = NDArray[np.float32]  # (h, w) m, along the rays of the pixels of an image


@dataclasses.dataclass(frozen=True)
class ViewVoxels:
    """Occupied voxels, as a depth image sees them."""

    voxels: NDArray[np.int64]  # (N, 3)
    points: NDArray[np.float64]  # (N, 3) m, their centers in the frame of the camera
    lengths: NDArray[np.float64]  # (N,) m, the distances of these
    pixels: NDArray[np.int64]  # (N, 2) columns and rows of the image, also outside of it

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> ViewVoxels:
        """Return the chosen ones."""
        return ViewVoxels(*(getattr(self, field.name)[chosen]
                            for field in dataclasses.fields(self)))

    def noise(self) -> NDArray[np.float64]:
        """Return the largest errors (N,) [m] of depth that is measured at their distances."""
        return NOISE * self.lengths**2


def view_voxels(
    distances: Distances, directions: NDArray[np.float32], camera: Camera, step: int,
    T_world_camera: Pose, occupancy: OccupancyGrid,
) -> ViewVoxels:  # fmt: skip
    """Return the occupied voxels in a box around the view, as far as the image measures anything.

    distances (h, w) [m] along the rays of every step-th pixel of a camera, 0 where unknown, and
    unit directions (h, w, 3) of these in the frame of the pose (4, 4), which is local.
    """
    lengths = np.where(distances > 0, distances, distances.max())
    axes = [lengths * directions[..., axis] for axis in range(3)]
    corners = np.array([[min(axis.min(), 0.0) for axis in axes],  # 0 is the camera
                        [max(axis.max(), 0.0) for axis in axes]])
    voxels = _occupied(T_world_camera[:3, 3] + corners, occupancy)
    points = occupancy.corner + (voxels + 0.5) * occupancy.voxel_size - T_world_camera[:3, 3]
    points = points @ T_world_camera[:3, :3]
    pixels = (camera.project(points) / step).round()
    pixels = np.where(np.isfinite(pixels), pixels, -1).astype(np.int64)
    return ViewVoxels(voxels, points, np.linalg.norm(points, axis=-1), pixels)


def at(
    distances: Distances, pixels: NDArray[np.int64], reach: int = 0,
) -> NDArray[np.float32]:  # fmt: skip
    """Return the distances (N,) at pixels (N, 2), 0 where these are not so far inside."""
    size = np.array(distances.shape)[::-1]
    inside = np.all((pixels >= reach) & (pixels < size - reach), axis=-1)
    u, v = np.where(inside[:, None], pixels, 0).T
    return np.where(inside, distances[v, u], np.float32(0))


def box_mask(
    voxels: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64],
) -> NDArray[np.bool_]:  # fmt: skip
    """Return which voxels from low to high (3,) are among voxels (N, 3)."""
    mask = np.zeros(high - low, bool)
    mask[tuple((voxels[((voxels >= low) & (voxels < high)).all(-1)] - low).T)] = True
    return mask


def _occupied(
    corners: NDArray[np.float64], occupancy: OccupancyGrid,
) -> NDArray[np.int64]:  # fmt: skip
    """Return the occupied voxels (N, 3) in a box with lowest and highest corners (2, 3) [m]."""
    window = occupancy.window()
    low, high = np.floor((corners - occupancy.corner) / occupancy.voxel_size).astype(int)
    low = np.maximum(low, [axis.start for axis in window])
    high = np.minimum(high + 1, [axis.stop for axis in window])
    part = tuple(map(slice, low, np.maximum(high, low)))
    states = occupancy.backend.states(occupancy.hits[part], occupancy.misses[part])
    found = torch.nonzero(states == OCCUPIED).cpu().numpy()
    return np.asarray(found + low, np.int64)
