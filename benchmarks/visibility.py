"""What cameras saw of a grid of voxels: rays of exact depth, traced through it."""
import dataclasses

import numba
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera

BEHIND = 0.03  # m; so far behind a surface its solid voxel is searched: it may be thin
PROBE = 0.004  # m, the steps of that search
PLACE = 0.25  # m, the distance from which two viewpoints are two places


@dataclasses.dataclass
class Visibility:
    """Which voxels (nx, ny, nz) rays crossed, and in which solid ones they ended."""

    firm: NDArray[np.bool_]  # solid voxels in which a surface can be seen
    origin: NDArray[np.float64]  # (3,) m, the corner of voxel [0, 0, 0]
    size: float  # m

    def __post_init__(self) -> None:
        """Begin without any ray."""
        # Of how many places, and that of the last one plus 1.
        self.crossed, self.ended = (np.zeros(self.firm.shape, np.uint8) for _ in range(2))
        self._last_crossed, self._last_ended = (
            np.zeros(self.firm.shape, np.int32) for _ in range(2))
        self._places: list[NDArray[np.float64]] = []

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Return which voxels a ray has touched."""
        return (self.crossed > 0) | (self.ended > 0)

    def add(
        self, camera: Camera, T_world_camera: NDArray[np.float64], depth: NDArray[np.float32],
        ends: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Add the rays of the pixels whose depth (H, W) [m] is positive.

        ends (H, W): whether there is a surface where a ray ends.
        """
        rays = camera.directions().astype(np.float64)
        chosen = np.nan_to_num(depth.ravel()) > 0
        rays, depth = rays[chosen], depth.ravel()[chosen]
        position = T_world_camera[:3, 3]
        _trace((position - self.origin) / self.size, rays @ T_world_camera[:3, :3].T,
               depth / rays[:, 2] / self.size, ends.ravel()[chosen], self._place(position),
               BEHIND / self.size, PROBE / self.size, self.firm, self.crossed, self.ended,
               self._last_crossed, self._last_ended)

    def _place(self, position: NDArray[np.float64]) -> int:
        """Return the number, from 1, of the place of a position, perhaps a new one."""
        for number, place in enumerate(self._places):
            if np.linalg.norm(place - position) < PLACE:
                return number + 1
        self._places.append(position)
        return len(self._places)


@numba.njit(cache=True)
def _trace(start, directions, lengths, ends, place, behind, probe, firm, crossed, ended,
           last_crossed, last_ended):
    """Count a place in the voxels along rays; all lengths are in voxels."""
    nx, ny, nz = firm.shape
    for ray in range(len(directions)):
        dx, dy, dz = directions[ray]
        length = lengths[ray]
        # Amanatides and Woo 1987, "A fast voxel traversal algorithm for ray tracing".
        x, y, z = int(np.floor(start[0])), int(np.floor(start[1])), int(np.floor(start[2]))
        step_x, step_y, step_z = (1 if dx > 0 else -1), (1 if dy > 0 else -1), (
            1 if dz > 0 else -1)
        slow_x, slow_y, slow_z = (1 / max(abs(dx), 1e-12), 1 / max(abs(dy), 1e-12),
                                  1 / max(abs(dz), 1e-12))
        next_x = (x + (dx > 0) - start[0]) * step_x * slow_x
        next_y = (y + (dy > 0) - start[1]) * step_y * slow_y
        next_z = (z + (dz > 0) - start[2]) * step_z * slow_z
        while True:
            if 0 <= x < nx and 0 <= y < ny and 0 <= z < nz and last_crossed[x, y, z] != place:
                last_crossed[x, y, z] = place
                crossed[x, y, z] = min(crossed[x, y, z] + 1, 255)
            if min(next_x, next_y, next_z) > length:
                break
            if next_x < next_y and next_x < next_z:
                x, next_x = x + step_x, next_x + slow_x
            elif next_y < next_z:
                y, next_y = y + step_y, next_y + slow_y
            else:
                z, next_z = z + step_z, next_z + slow_z
        if not ends[ray]:
            continue
        along = length + probe / 4
        while along < length + behind:
            x = int(np.floor(start[0] + along * dx))
            y = int(np.floor(start[1] + along * dy))
            z = int(np.floor(start[2] + along * dz))
            if 0 <= x < nx and 0 <= y < ny and 0 <= z < nz and firm[x, y, z]:
                if last_ended[x, y, z] != place:
                    last_ended[x, y, z] = place
                    ended[x, y, z] = min(ended[x, y, z] + 1, 255)
                break
            along += probe
