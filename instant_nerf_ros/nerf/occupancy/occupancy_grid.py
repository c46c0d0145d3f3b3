"""The occupancy grid: voxels that training may skip, and votes on what is there."""
from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import OccupancyConfig
from instant_nerf_ros.nerf.constants import SURFACE_WEIGHT
from instant_nerf_ros.nerf.local_frame import LocalFrame
from instant_nerf_ros.nerf.occupancy import lattice
from instant_nerf_ros.nerf.occupancy.content import Content
from instant_nerf_ros.nerf.occupancy.lattice import Window
from instant_nerf_ros.nerf.occupancy.sparse_memory import enlarged, most_voxels, zeros
from instant_nerf_ros.nerf.occupancy.voters import Voters, tag
from instant_nerf_ros.nerf.occupancy.voxel_states import window_states

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

logger = logging.getLogger('instant_nerf_ros')

DECAY = 0.9  # of the density, at each update
GRIDS = 'density', 'density_state', 'hits', 'misses', 'last_keyframe', 'colors'


class OccupancyGrid:
    """A voxel grid around the first camera that grows with the path of the cameras.

    On a processor it may be much larger than the memory, as the system provides pages where
    something is written. So what visits voxels does it in the pieces of `content`.

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
        self.content = Content(self.first, shape, backend.DEVICE)
        self.density = zeros(shape, torch.float32, backend.DEVICE)
        self.density_state, self.hits, self.misses, self.last_keyframe = (
            zeros(shape, torch.uint8, backend.DEVICE) for _ in range(4))
        self.colors = zeros((*shape, 3), torch.uint8, backend.DEVICE)
        self.sensor = np.asarray(center, dtype=np.float64)  # where the latest one was, (3,) m
        self.voters = Voters()
        self.has_disappeared = False  # whether something was in the grid that has gone

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

    def _place(self, first: NDArray[np.int64], shape: NDArray[np.int64]) -> None:
        self.first = first  # lattice index of voxel (0, 0, 0)
        # The lowest and the highest corner (3,) float32, on the device: each step needs them.
        self.origin = self._tensor(self.corner).float()
        self.end = self.origin + self._tensor(shape).float() * self.voxel_size

    def follow(self, position: NDArray[np.float64]) -> None:
        """Grow to a sensor at a position (3,); see grow_to."""
        self.grow_to(position)
        self.sensor = np.array(position)

    def grow_to(self, *positions: NDArray[np.float64]) -> None:
        """Grow, doubling an axis at a time, until positions (3,) lie inside.

        Raises ValueError if there is no memory; nothing has changed then.
        """
        index = [np.floor((each - self.corner) / self.voxel_size) for each in positions]
        below, above = lattice.growth(index, self.shape)
        if not (below.any() or above.any()):
            return
        count = np.prod(1.0 * (below + self.shape + above))
        try:
            if count > most_voxels(self.backend.DEVICE):
                raise MemoryError
            self.enlarge(below, above)
        except (MemoryError, torch.cuda.OutOfMemoryError) as error:
            places = np.round(self.frame.origin + positions, 2).tolist()
            raise ValueError(
                f'there is no memory for {count:.2g} voxels, to {places} m: '
                "is the pose right? Else enlarge 'occupancy.voxel_size'") from error

    def enlarge(self, below: NDArray[np.int64], above: NDArray[np.int64]) -> None:
        """Add so many voxels (3,). MemoryError, or OutOfMemoryError of a GPU: nothing changed."""
        grids = {name: getattr(self, name) for name in GRIDS}
        shape = below + self.shape + above
        for name, grid in enlarged(grids, self.content.pieces(), below, above):
            setattr(self, name, grid)  # the old one is free before the next one is copied
        self._place(self.first - below, shape)
        self.content = self.content.enlarged(below, shape)

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
        crossings = (torch.stack([self.origin, self.end])[:, None] - rays.origins) / safe
        return (crossings.amin(0).amax(-1).clamp(min=near),
                crossings.amax(0).amin(-1).clamp(max=far))

    def update_density(self, positions: Tensor, densities: Tensor) -> None:
        """Update the voxels at positions (N, 3) with densities (N,) per metre of the field."""
        if not len(densities):
            return
        self.content.add_densities(*(positions[:, :2] / self.voxel_size).unbind(1))
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
        self.content.add_votes(low, high)
        self.backend.integrate_rays(
            rays.origins, rays.directions, distances, clear_distances, measured, weight,
            rays.pixels, tag(keyframe), self.hits, self.misses, self.last_keyframe,
            self.colors, self.density_state, self.origin, self.voxel_size)

    def forget(self, voxels: NDArray[np.int64]) -> None:
        """Forget all hits on voxels (N, 3), as what was there has gone."""
        if len(voxels):
            self.hits[tuple(voxels.T)] = 0
            self.content.touch(*(self.first + end for end in (voxels.min(0), voxels.max(0) + 1)))
            self.has_disappeared = True

    def window(self, columns: float = math.inf) -> Window:
        """Return the slices of the voxels that may have votes: a box, smaller than the grid.

        If it has more than so many columns, it is the part around the latest sensor.
        """
        return self.content.window(self.sensor / self.voxel_size, columns)

    def states(self, window: Window) -> NDArray[np.int8]:
        """Return OCCUPIED, FREE or UNKNOWN for a window of voxels."""
        return window_states(self.backend, self.hits, self.misses, window)

    def restore(
        self, first: NDArray[np.int64], content: Content, grids: Mapping[str, Tensor],
    ) -> None:  # fmt: skip
        """Replace all grids, by name, and the lattice index (3,) of their first voxel."""
        for name in GRIDS:
            setattr(self, name, grids[name])
        self._place(first, np.array(self.shape))
        self.content, self.has_disappeared = content, True  # it may be so

    def _tensor(self, values: ArrayLike) -> Tensor:
        return torch.tensor(np.asarray(values, dtype=np.float64), device=self.backend.DEVICE)
