"""The ground truth of a place: its voxels, which of them can be seen, and its obstacles."""
import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.data.metrics import FREE, OCCUPIED, UNKNOWN, dilate, has_depth, project
from instant_nerf_ros.nerf.config import MapConfig

WINDOW = 5  # pixels, within which the largest depth counts
BAND = MapConfig().min_height, MapConfig().max_height  # metres, the heights of a robot


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """The voxels of a place, on the lattice of the mapper."""

    states: NDArray[np.int8]  # (nx, ny, nz) of the surfaces that can be seen; evaluated
    solid: NDArray[np.int8]  # (nx, ny, nz) the same, with the inside of walls and furniture
    contested: NDArray[np.bool_]  # (nx, ny, nz) unknown: some rays end there and more cross
    origin: NDArray[np.float64]  # (3,) m, the corner of voxel [0, 0, 0]
    voxel_size: float  # m
    boxes: NDArray[np.float64]  # (N, 2, 2) m: lowest and highest (x, y) of the obstacles
    yaw: float = 0.0  # rad, of the axes of the boxes in the world

    @property
    def map(self) -> NDArray[np.int8]:
        """Return the states (nx, ny) of the heights of a robot, of surfaces that can be seen."""
        return self._project(self.states)

    @property
    def solid_map(self) -> NDArray[np.int8]:
        """Return the same of all solids."""
        return self._project(self.solid)

    @property
    def drivable(self) -> NDArray[np.int8]:
        """Return where a robot could drive (nx, ny): cells without any solid are free.

        A cell is unknown if nothing was seen in the lower half of the band, where an obstacle may
        be hidden, or if it has a contested voxel, into which a surface reaches a little.
        """
        solid = self.solid_map
        free = np.where(self.solid == FREE, FREE, UNKNOWN)
        lower = project(free, self.origin, self.voxel_size, BAND[0], sum(BAND) / 2).T
        contested = self._project(np.where(self.contested, OCCUPIED, UNKNOWN))
        return np.where(solid != FREE, solid, np.where(contested == OCCUPIED, UNKNOWN, lower))

    def among_boxes(self, path: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a path (N, 2) [m] of the world along the axes of the boxes."""
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        return path @ np.array([[cosine, -sine], [sine, cosine]])

    def _project(self, states: NDArray[np.int8]) -> NDArray[np.int8]:
        return project(states, self.origin, self.voxel_size, *BAND).T


def never_seen(truth: GroundTruth, frames: list[Frame]) -> NDArray[np.bool_]:
    """Return which voxels (nx, ny, nz) no frame with depth can have seen.

    A voxel is seen if its center is in an image, and at most a voxel farther than the largest
    depth within a few pixels, or where no depth was measured; so are its neighbors.
    """
    shape, size = truth.states.shape, truth.voxel_size
    centers = truth.origin + (np.indices(shape).reshape(3, -1).T + 0.5) * size
    seen = np.zeros(len(centers), bool)
    for frame in frames:
        T_camera_world = np.linalg.inv(frame.T_world_camera)
        x, y, z = T_camera_world[:3, :3] @ centers.T + T_camera_world[:3, 3:]
        camera = frame.camera
        with np.errstate(divide='ignore', invalid='ignore'):
            u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        inside = ((z > 0) & (u > -0.5) & (u < camera.width - 0.5)
                  & (v > -0.5) & (v < camera.height - 0.5))
        index = np.flatnonzero(inside)
        limit = ndimage.maximum_filter(
            np.where(has_depth(frame.depth), frame.depth, np.inf), WINDOW) + size
        row, column = v[index].round().astype(int), u[index].round().astype(int)
        seen[index] |= z[index] <= limit[row, column]
    return ~dilate(seen.reshape(shape))
