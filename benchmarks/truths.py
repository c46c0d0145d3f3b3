"""What is true of a place: its voxels, what of them can be seen, and what a robot can hit."""
import dataclasses

import numpy as np
from scipy import ndimage

from instant_nerf_ros.data.metrics import FREE, OCCUPIED, UNKNOWN, grown, measured, project
from instant_nerf_ros.nerf.config import MapConfig

BESIDE = 5  # pixels, whose depths count for the one in their middle
BAND = MapConfig().min_height, MapConfig().max_height


@dataclasses.dataclass(frozen=True)
class Truth:
    """The voxels of a place, on the lattice of the mapper."""

    states: np.ndarray  # (nx, ny, nz) int8, as far as surfaces can be seen; all that is judged
    solid: np.ndarray  # the same with the inside of walls and furniture
    contested: np.ndarray  # (nx, ny, nz) bool: unknown, as some rays end there and more cross
    origin: np.ndarray  # (3,) m, the corner of voxel [0, 0, 0]
    size: float  # m
    boxes: np.ndarray  # (N, 2, 2) m: lower and upper (x, y) of what stands in a robot's way

    @property
    def plan(self):
        """Return the states (nx, ny) of the band in which a robot drives, of what can be seen."""
        return project(self.states, self.origin, self.size, *BAND).T

    @property
    def solid_plan(self):
        """Return the same of all solids."""
        return project(self.solid, self.origin, self.size, *BAND).T

    @property
    def ground(self):
        """Return where a robot could drive (nx, ny): free are cells where nothing solid is.

        Unknown is a cell of which nothing was seen in the lower half of the band: something may
        stand there, behind what hides it. And one with a contested voxel, into which a surface
        reaches a little.
        """
        plan, free = self.solid_plan, np.where(self.solid == FREE, FREE, UNKNOWN)
        lower = project(free, self.origin, self.size, BAND[0], sum(BAND) / 2).T
        contested = project(
            np.where(self.contested, OCCUPIED, UNKNOWN), self.origin, self.size, *BAND).T
        return np.where(plan != FREE, plan, np.where(contested == OCCUPIED, UNKNOWN, lower))


def never_seen(truth, frames):
    """Return which voxels (nx, ny, nz) no frame with depth can have seen.

    Seen is a voxel whose middle is in an image and at most a voxel further than what was measured
    there or a few pixels beside, or where nothing was; and those around it.
    """
    middles = truth.origin + (np.indices(truth.states.shape).reshape(3, -1).T + 0.5) * truth.size
    seen = np.zeros(len(middles), bool)
    for frame in frames:
        T_camera_world = np.linalg.inv(frame.T_world_camera)
        x, y, z = T_camera_world[:3, :3] @ middles.T + T_camera_world[:3, 3:]
        camera = frame.camera
        with np.errstate(divide='ignore', invalid='ignore'):
            u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        inside = ((z > 0) & (u > -0.5) & (u < camera.width - 0.5)
                  & (v > -0.5) & (v < camera.height - 0.5))
        index = np.flatnonzero(inside)
        reach = ndimage.maximum_filter(
            np.where(measured(frame.depth), frame.depth, np.inf), BESIDE) + truth.size
        row, column = v[index].round().astype(int), u[index].round().astype(int)
        seen[index] |= z[index] <= reach[row, column]
    return ~grown(seen.reshape(truth.states.shape))
