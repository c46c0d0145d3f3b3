"""A small furnished flat: images with depth of a simulated camera, and the true occupancy.

Two rooms joined by a doorway, 7 x 5 x 2.5 m, made of axis-aligned boxes. The world frame is the
map frame: z up, the floor at z = 0, the origin near the middle. Everything is deterministic.
"""
import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.data.metrics import project
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.simulation.furniture import LAMPS, SIZE, all_boxes
from instant_nerf_ros.simulation.scene import Scene

# Position of the plan's origin (a corner of the flat) in the world [m]. Walls and furniture are at
# multiples of 5 cm in the plan, so that they end in the middle of 5 cm voxels, not on borders.
PLAN_ORIGIN = np.array([-3.475, -2.475, 0.0])
# Corner of voxel (0, 0, 0) of the lattice, in voxels: that of the mapper (nerf/occupancy/lattice).
LATTICE_OFFSET = np.array([0.0, 0.0, -0.5])
MIN_OVERLAP = 0.01  # metres; a solid that reaches less far into a voxel does not occupy it


class Flat:
    """The flat. Building it computes all textures and lightmaps, which takes seconds."""

    def __init__(self) -> None:
        self.boxes = [
            dataclasses.replace(
                box, low=tuple(box.low + PLAN_ORIGIN), high=tuple(box.high + PLAN_ORIGIN))
            for box in all_boxes()]
        self.low, self.high = PLAN_ORIGIN, PLAN_ORIGIN + SIZE  # (3,) metres, of the rooms
        self._scene = Scene(self.boxes, (self.low, self.high), LAMPS + PLAN_ORIGIN)

    def render(
        self, camera: Camera, T_world_camera: NDArray[np.float64],
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:  # fmt: skip
        """Return image (H, W, 3) uint8 RGB and depth (H, W) float32 of a camera at a pose (4, 4).

        Depth is exact [m], along the optical axis, at the pixel centers.
        """
        return self._scene.render(camera, T_world_camera)

    def occupancy(
        self, voxel_size: float, min_overlap: float = MIN_OVERLAP,
    ) -> tuple[NDArray[np.int8], NDArray[np.float64]]:  # fmt: skip
        """Return the true states (nx, ny, nz) and the corner (3,) of voxel [0, 0, 0] [m].

        100 occupied (a solid reaches at least `min_overlap` [m] into the voxel), 0 free,
        -1 unknown: behind walls, ceiling and floor, which are 20 cm thick. The grid covers the
        rooms and two more voxels on each side.
        It is on the lattice of the mapper: voxel borders in x and y, and voxel centers in z, are
        multiples of voxel_size [m], so that the floor lies in one layer.
        """
        first = np.floor(self.low / voxel_size - LATTICE_OFFSET + 1e-6).astype(int) - 2
        last = np.ceil(self.high / voxel_size - LATTICE_OFFSET - 1e-6).astype(int) + 2
        states = np.full(last - first, -1, np.int8)

        def fill(low: ArrayLike, high: ArrayLike, state: int) -> None:
            start = np.floor(np.add(low, min_overlap) / voxel_size - LATTICE_OFFSET)
            stop = np.ceil(np.subtract(high, min_overlap) / voxel_size - LATTICE_OFFSET)
            limits = zip(*(np.maximum(ends.astype(int) - first, 0) for ends in (start, stop)))
            states[tuple(slice(*ends) for ends in limits)] = state

        fill(self.low, self.high, 0)
        for box in self.boxes:
            fill(box.low, box.high, 100)
        return states, (first + LATTICE_OFFSET) * voxel_size

    def occupancy_map(
        self, resolution: float, min_height: float, max_height: float,
    ) -> tuple[NDArray[np.int8], NDArray[np.float64]]:  # fmt: skip
        """Return the true 2D map between two heights [m]; see metrics.project.

        Cells (ny, nx) int8, row 0 at the lowest y, and the corner (2,) of cell [0, 0] [m].
        """
        states, origin = self.occupancy(resolution)
        return project(states, origin, resolution, min_height, max_height), origin[:2]

    def is_free(self, position: ArrayLike, radius: float, height: float) -> bool:
        """Return whether an upright cylinder on the floor at (x, y) collides with nothing [m]."""
        position = np.asarray(position)
        for box in self.boxes:
            low, high = np.array(box.low), np.array(box.high)
            if low[2] < height and high[2] > MIN_OVERLAP:
                nearest = np.clip(position, low[:2], high[:2])
                if np.linalg.norm(nearest - position) < radius:
                    return False
        return bool(np.all(position > self.low[:2]) and np.all(position < self.high[:2]))
