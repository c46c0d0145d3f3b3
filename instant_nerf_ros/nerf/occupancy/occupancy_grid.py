"""The occupancy grid: voxels that training may skip, and votes on what is there."""
from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import MAX_VOXELS, OccupancyConfig
from instant_nerf_ros.nerf.constants import SURFACE_WEIGHT
from instant_nerf_ros.nerf.local_frame import LocalFrame
from instant_nerf_ros.nerf.occupancy import lattice
from instant_nerf_ros.nerf.occupancy.sparse_memory import enlarged, zeros
from instant_nerf_ros.nerf.occupancy.voxel_states import voxel_states

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

logger = logging.getLogger('instant_nerf_ros')

DECAY = 0.9  # of the density, at each update
GRIDS = 'density', 'density_state', 'hits', 'misses', 'last_keyframe', 'colors'
KEYFRAME_TAGS = 255  # keyframes that last_keyframe distinguishes; 0 is none
NEIGHBORHOOD = np.argwhere(np.ones((3, 3, 3))) - 1  # a voxel and its neighbors
Window = tuple[slice, slice, slice]


class OccupancyGrid:
    """A dense voxel grid around the first camera that grows with the path of the cameras.

    `density_state` follows from the field, and lets samples be skipped; `hits` and `misses` count
    the keyframes whose rays ended in a voxel or crossed it, and make the maps. A voxel without
    votes is neither free nor occupied, whatever the field renders there. The tensors are on the
    device of the backend. Positions are metres in the local frame.
    """

    def __init__(
        self, config: OccupancyConfig, center: ArrayLike, backend: Backend,
        frame: LocalFrame | None = None,
    ) -> None:  # fmt: skip
        self.config, self.backend = config, backend
        self.frame = frame or LocalFrame()
        self.voxel_size = config.voxel_size
        self.cut_off = False  # whether something lies beyond the grid, as the log has said
        self.threshold = -math.log(1 - config.min_alpha) / config.voxel_size
        extent = np.array([config.length, config.width, config.height])
        shape = np.ceil(extent / self.voxel_size).astype(int)
        self._place(lattice.first_voxel(center, shape, self.voxel_size), shape)
        self._lattice = self._tensor(lattice.OFFSET)
        # The box of all voxels with votes. It stays on the device, so that the host never waits.
        self.low, self.high = (self._tensor(self.first + shape // 2) for _ in range(2))
        self.density = zeros(shape, torch.float32, backend.DEVICE)
        self.density_state, self.hits, self.misses, self.last_keyframe = (
            zeros(shape, torch.uint8, backend.DEVICE) for _ in range(4))
        self.colors = zeros((*shape, 3), torch.uint8, backend.DEVICE)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the number of voxels along x, y, z."""
        return tuple(self.density_state.shape)

    @property
    def corner(self) -> NDArray[np.float64]:
        """Return the corner of voxel (0, 0, 0), (3,) metres, local."""
        return lattice.corner(self.first, self.voxel_size)

    @property
    def world_first(self) -> NDArray[np.int64]:
        """Return the lattice index (3,) of voxel (0, 0, 0) in the world."""
        return self.first + self.frame.voxels

    @property
    def world_corner(self) -> NDArray[np.float64]:
        """Return the corner of voxel (0, 0, 0), (3,) metres, world."""
        return lattice.corner(self.world_first, self.voxel_size)

    def empty_at(self, center: NDArray[np.float64]) -> OccupancyGrid:
        """Return a grid without votes around a center (3,), of the first size."""
        return OccupancyGrid(self.config, center, self.backend, self.frame)

    def _place(self, first: NDArray[np.int64], shape: NDArray[np.int64]) -> None:
        self.first = first  # lattice index of voxel (0, 0, 0)
        # The lowest and the highest corner (3,) float32, on the device: each step needs them.
        self.origin = self._tensor(self.corner).float()
        self.end = self.origin + self._tensor(shape).float() * self.voxel_size

    def grow_to(self, *positions: NDArray[np.float64]) -> None:
        """Grow, doubling an axis at a time, until positions (3,) lie inside.

        Raises ValueError if there is no memory; nothing has changed then.
        """
        index = [np.floor((each - self.corner) / self.voxel_size) for each in positions]
        below, above = lattice.growth(index, self.shape)
        if not (below.any() or above.any()):
            return
        shape = below + self.shape + above
        try:
            if np.prod(shape.astype(float)) > MAX_VOXELS:
                raise MemoryError
            grown = {name: enlarged(getattr(self, name), below, above) for name in GRIDS}
        except (MemoryError, torch.cuda.OutOfMemoryError) as error:
            places = np.round(self.frame.origin + positions, 2).tolist()
            raise ValueError(
                f'there is no memory for {np.prod(1.0 * shape):.2g} voxels, to {places} m: '
                "is the pose right? Else enlarge 'occupancy.voxel_size'") from error
        self._place(self.first - below, shape)
        for name, grid in grown.items():
            setattr(self, name, grid)

    def reach(self, rays: Rays) -> None:
        """Grow to where measured rays end, if there is memory; else log once what is missing."""
        if len(rays) and not self.cut_off:
            ends = (rays.origins + rays.surfaces[:, None] * rays.directions).cpu().numpy()
            try:
                self.grow_to(ends.min(0), ends.max(0))
            except ValueError as error:
                self.cut_off = True
                logger.warning('the map ends where its grid ends: %s', error)

    def clip(self, rays: Rays, near: float, far: float) -> tuple[Tensor, Tensor]:
        """Return the interval (R,), (R,) of each ray that lies in the grid and in [near, far]."""
        safe = torch.where(rays.directions.abs() < 1e-9, 1e-9, rays.directions)
        faces = torch.stack([self.origin, self.end])
        crossings = (faces[:, None] - rays.origins) / safe
        enter = crossings.amin(0).amax(-1).clamp(min=near)
        leave = crossings.amax(0).amin(-1).clamp(max=far)
        return enter, leave

    def update_density(self, positions: Tensor, densities: Tensor) -> None:
        """Update the voxels at positions (N, 3) with densities (N,) per metre of the field."""
        if not len(densities):
            return
        # While all is fog, a voxel with less than half of the mean density counts as empty.
        threshold = (densities.mean() / 2).clamp(max=self.threshold)
        self.backend.update_density(
            positions, densities, self.density, self.density_state, self.origin, self.voxel_size,
            DECAY, threshold)

    def integrate_rays(
        self, rays: Rays, distances: Tensor, clear_distances: Tensor, measured: bool,
        keyframe: int, weight: int = SURFACE_WEIGHT,
    ) -> None:  # fmt: skip
        """Count the votes of the rays of a keyframe, by id.

        distances (R,) [m] to their ends, 0 if unknown; clear_distances (R,) [m] along which they
        crossed nothing; measured: by a sensor, not rendered; weight: of a hit.
        """
        if not len(rays):
            return
        farthest = torch.maximum(distances, clear_distances)
        known = (farthest > 0)[:, None]
        ends = rays.origins + farthest[:, None] * rays.directions
        places = torch.stack([rays.origins, ends]) / self.voxel_size - self._lattice
        low = torch.where(known, places, math.inf).amin((0, 1)).floor() - 1  # kernels round
        high = torch.where(known, places, -math.inf).amax((0, 1)).floor() + 2
        self.low, self.high = self.low.minimum(low), self.high.maximum(high)
        self.backend.integrate_rays(
            rays.origins, rays.directions, distances, clear_distances, measured, weight,
            rays.pixels, keyframe % KEYFRAME_TAGS + 1, self.hits, self.misses,
            self.last_keyframe, self.colors, self.density_state, self.origin, self.voxel_size)

    def mark_voted(self, positions: Tensor, keyframe: int) -> None:
        """Take from a keyframe, by id, its vote on the voxels at and around positions (N, 3)."""
        cells = ((positions - self.origin) / self.voxel_size).floor().unique(dim=0)
        cells = (cells[:, None] + self._tensor(NEIGHBORHOOD)).reshape(-1, 3).long()
        inside = ((cells >= 0) & (cells < self._tensor(self.shape))).all(-1)
        self.last_keyframe[tuple(cells[inside].T)] = keyframe % KEYFRAME_TAGS + 1

    def window(self) -> Window:
        """Return the slices of the voxels that may have votes: a box, smaller than the grid."""
        size = np.array(self.shape)
        low, high = (corner.cpu().numpy().astype(int) - self.first
                     for corner in (self.low, self.high))
        low = low.clip(0, size - 1)  # at least one voxel, even without votes
        return lattice.slices(low, np.minimum(high, size).clip(low + 1))

    def states(self, window: Window) -> NDArray[np.int8]:
        """Return OCCUPIED, FREE or UNKNOWN for a window of voxels."""
        return voxel_states(self.backend, self.hits[window], self.misses[window])

    def contents(self) -> dict[str, NDArray[Any]]:
        """Return the box of the votes and copies of all grids, by name."""
        return {name: getattr(self, name).cpu().numpy() for name in ('low', 'high', *GRIDS)}

    def restore(
        self, first: NDArray[np.int64], shape: NDArray[np.int64], inside: Window,
        contents: Mapping[str, NDArray[Any]],
    ) -> None:  # fmt: skip
        """Replace all content: the first voxel, the shape, and the grids in a window of it.

        Raises ValueError if an array has another shape or type than the grid of its name.
        """
        self._place(first, shape)
        self.low, self.high = self._tensor(contents['low']), self._tensor(contents['high'])
        for name in GRIDS:
            saved, grid = torch.from_numpy(contents[name]), getattr(self, name)
            grid = zeros((*shape, *grid.shape[3:]), grid.dtype, grid.device)
            if grid[inside].shape != saved.shape or grid.dtype != saved.dtype:
                raise ValueError(f'{name} is {tuple(saved.shape)} {saved.dtype}, unlike others')
            grid[inside] = saved
            setattr(self, name, grid)

    def _tensor(self, values: ArrayLike) -> Tensor:
        return torch.tensor(np.asarray(values, dtype=np.float64), device=self.backend.DEVICE)
