"""A building of boxes: its images with exact depth, and its true occupancy.

Boxes are axis-aligned in the frame of the building, which is turned by `yaw` about the z axis of
the world: z up, the floor at z = 0, the same origin.
"""
import dataclasses
import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.data.metrics import project
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.simulation.boxes import Box
from instant_nerf_ros.simulation.lighting import LAMP_INTENSITY
from instant_nerf_ros.simulation.scene import Rendering, Scene

# Corner of voxel (0, 0, 0) of the lattice, in voxels: that of the mapper (nerf/occupancy/lattice).
LATTICE_OFFSET = np.array([0.0, 0.0, -0.5])
MIN_OVERLAP = 0.01  # metres; a solid that reaches less far into a voxel does not occupy it


@dataclasses.dataclass(frozen=True, eq=False)
class Building:
    """Rooms between low and high, and the boxes of which everything in it is made."""

    boxes: tuple[Box, ...]
    low: NDArray[np.float64]  # (3,) metres, of the inside of all rooms
    high: NDArray[np.float64]  # (3,) metres
    lamps: NDArray[np.float64]  # (L, 3) metres
    intensity: float = LAMP_INTENSITY  # of all lamps together
    yaw: float = 0.0  # radians

    @property
    def T_world_building(self) -> NDArray[np.float64]:
        """Return the pose (4, 4) of the building in the world."""
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        return np.array([[cosine, -sine, 0, 0], [sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.]])

    @functools.cached_property
    def scene(self) -> Scene:
        """Return all textures and lightmaps, which takes seconds to compute."""
        return Scene(self.boxes, (self.low, self.high), self.lamps, self.intensity)

    def render(
        self, camera: Camera, T_world_camera: NDArray[np.float64],
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:  # fmt: skip
        """Return image (H, W, 3) uint8 RGB and depth (H, W) float32 of a camera at a pose (4, 4).

        Depth is exact [m], along the optical axis, at the pixel centers.
        """
        rendering = self.view(camera, T_world_camera)
        return rendering.image, rendering.depth

    def view(self, camera: Camera, T_world_camera: NDArray[np.float64]) -> Rendering:
        """Return the Rendering of a camera at a pose (4, 4)."""
        return self.scene.view(camera, np.linalg.inv(self.T_world_building) @ T_world_camera)

    def footprints(self, min_height: float, max_height: float) -> NDArray[np.float64]:
        """Return lowest and highest (x, y) of the boxes in a band of heights [m], (N, 2, 2).

        They are in the frame of the building.
        """
        return np.array([[box.low[:2], box.high[:2]] for box in self.boxes
                         if box.low[2] < max_height and box.high[2] > min_height])

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
        lowest, highest = self._bounds(self.low, self.high)
        first = np.floor(lowest / voxel_size - LATTICE_OFFSET + 1e-6).astype(int) - 2
        last = np.ceil(highest / voxel_size - LATTICE_OFFSET - 1e-6).astype(int) + 2
        states = np.full(last - first, -1, np.int8)

        def fill(low: ArrayLike, high: ArrayLike, state: int) -> None:
            middle = np.add(low, high) / 2
            half = np.maximum(np.subtract(high, low) / 2 - min_overlap, 1e-6)
            lowest, highest = self._bounds(middle - half, middle + half)
            start = np.floor(lowest / voxel_size - LATTICE_OFFSET).astype(int).clip(min=first)
            stop = np.ceil(highest / voxel_size - LATTICE_OFFSET).astype(int).clip(max=last)
            if (start >= stop).any():
                return
            x, y = ((np.arange(*ends) + 0.5) * voxel_size
                    for ends in zip(start[:2], stop[:2]))
            part = states[tuple(map(slice, start - first, stop - first))]
            part[self._overlap(x[:, None], y, voxel_size, middle, half)] = state

        fill(self.low, self.high, 0)
        for box in self.boxes:
            fill(box.low, box.high, 100)
        return states, (first + LATTICE_OFFSET) * voxel_size

    def _overlap(
        self, x: NDArray[np.float64], y: NDArray[np.float64], size: float,
        middle: NDArray[np.float64], half: NDArray[np.float64],
    ) -> NDArray[np.bool_]:  # fmt: skip
        """Return which squares around x (nx, 1), y (ny,) of the world overlap a box's footprint.

        Squares and rectangle are disjoint if they are so along an axis of one of them, whose
        bounding boxes in the world are known to overlap (separating axis theorem).
        """
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        reach = size / 2 * (abs(cosine) + abs(sine)) - 1e-9
        along = cosine * x + sine * y - middle[0]
        across = cosine * y - sine * x - middle[1]
        return (np.abs(along) < half[0] + reach) & (np.abs(across) < half[1] + reach)

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
        center = self.T_world_building[:2, :2].T @ np.asarray(position)
        for low, high in self.footprints(MIN_OVERLAP, height):
            if np.linalg.norm(np.clip(center, low, high) - center) < radius:
                return False
        return bool(np.all(center > self.low[:2]) and np.all(center < self.high[:2]))

    def _bounds(
        self, low: ArrayLike, high: ArrayLike,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
        """Return the corners in the world of the box around a box low..high of the building."""
        T, middle = self.T_world_building[:3, :3], np.add(low, high) / 2
        half = np.abs(T) @ (np.subtract(high, low) / 2)
        return T @ middle - half, T @ middle + half
