"""A small furnished flat: what a simulated robot sees, and the truth about its space.

Two rooms joined by a doorway, 7 x 5 x 2.5 m, made of axis-aligned boxes. World = map frame: z up,
the floor at z = 0, the origin near the middle. Deterministic.
"""
import dataclasses

import numpy as np

from instant_nerf_ros.simulation.furniture import LAMPS, SIZE, furnished
from instant_nerf_ros.data.metrics import project
from instant_nerf_ros.simulation.scene import Scene

# From the coordinates of the plan (a corner of the flat = 0, multiples of 5 cm) to the world.
# Walls and furniture end in the middle of 5 cm voxels, not on their borders.
SHIFT = np.array([-3.475, -2.475, 0.0])
LATTICE = np.array([0.0, 0.0, -0.5])  # corner of voxel (0, 0, 0) of the world, in voxels
TOUCH = 0.01  # m; usually, what reaches less far into a voxel does not occupy it


class Flat:
    """The flat. Building it paints and lights every surface once, which takes seconds."""

    def __init__(self):
        """Furnish, paint and light."""
        self.boxes = [
            dataclasses.replace(box, low=tuple(box.low + SHIFT), high=tuple(box.high + SHIFT))
            for box in furnished()]
        self.low, self.high = SHIFT, SHIFT + SIZE
        self._scene = Scene(self.boxes, (self.low, self.high), LAMPS + SHIFT)

    def render(self, camera, T_world_camera):
        """Return what the camera sees: image (H, W, 3) uint8 RGB, depth (H, W) float32.

        Depth is exact [m], along the optical axis, at the pixel centres.
        """
        return self._scene.render(camera, T_world_camera)

    def occupancy(self, voxel_size, touch=TOUCH):
        """Return the truth: states int8 (nx, ny, nz) and the origin (3,) of voxel [0, 0, 0] [m].

        100 occupied (a solid reaches at least `touch` [m] into it), 0 free, -1 unknown: beyond
        walls, ceiling and floor, which are 20 cm thick. The grid covers the rooms and two voxels
        more on each side.
        It is on the lattice of the mapper: the borders of voxels in x and y, and the middles of
        voxels in z, are multiples of voxel_size [m]; so the floor lies in one layer.
        """
        first = np.floor(self.low / voxel_size - LATTICE + 1e-6).astype(int) - 2
        last = np.ceil(self.high / voxel_size - LATTICE - 1e-6).astype(int) + 2
        states = np.full(last - first, -1, np.int8)

        def fill(low, high, value):
            start = np.floor(np.add(low, touch) / voxel_size - LATTICE).astype(int) - first
            stop = np.ceil(np.subtract(high, touch) / voxel_size - LATTICE).astype(int) - first
            window = zip(np.maximum(start, 0), np.maximum(stop, 0))
            states[tuple(slice(*limits) for limits in window)] = value

        fill(self.low, self.high, 0)
        for box in self.boxes:
            fill(box.low, box.high, 100)
        return states, (first + LATTICE) * voxel_size

    def map_truth(self, resolution, min_height, max_height):
        """Return the map of what stands between two heights [m], as metrics.project does.

        cells int8 (ny, nx), row 0 at the lowest y, and the origin (2,) of cell [0, 0] [m].
        """
        states, origin = self.occupancy(resolution)
        return project(states, origin, resolution, min_height, max_height), origin[:2]

    def free(self, position, radius, height):
        """Return whether an upright cylinder on the floor at (x, y) [m] touches nothing."""
        for box in self.boxes:
            low, high = np.array(box.low), np.array(box.high)
            if low[2] < height and high[2] > TOUCH:
                nearest = np.clip(position, low[:2], high[:2])
                if np.linalg.norm(nearest - position) < radius:
                    return False
        return bool(np.all(position > self.low[:2]) and np.all(position < self.high[:2]))
