"""Field space: the local frame in another unit of length, in which a scene is as large as a room.

The field has lengths of its own: the cells of its hash grid, the steps along rays, the voxels that
are skipped, and the fog of 1/m with which training begins. They suit a room. In a hall, that fog
hides the walls, and most of the voxels along a ray are never sampled. So lengths are divided by a
unit, and the images of a hall train the field that those of a room would. Its inverse is what
instant-ngp and nerfstudio call the scale of a scene.
"""
from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.config import OccupancyConfig, SamplingConfig
from instant_nerf_ros.nerf.constants import UNVISITED
from instant_nerf_ros.nerf.occupancy.blocks import DENSITY, SIZE, pieces_of, to_blocks
from instant_nerf_ros.nerf.occupancy.grid_state import restore
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend
    from instant_nerf_ros.nerf.field.radiance_field import RadianceField

Density = Callable[[Tensor], Tensor]  # positions (N, 3) [m] -> densities (N,) [1/m]


class FieldSpace:
    """A unit of length [m], and the grid of the densities in it.

    If the unit is a metre, that is the grid of the votes, whose free voxels are skipped, too.
    """

    def __init__(
        self, backend: Backend, unit: float = 1.0, config: OccupancyConfig | None = None,
    ) -> None:  # fmt: skip
        """Use the opacity of a config; its lengths are those of the votes."""
        self.backend, self.unit = backend, unit
        self._config = OccupancyConfig(min_alpha=(config or OccupancyConfig()).min_alpha)
        self._grid: OccupancyGrid | None = None  # in units; None: that of the votes

    def cover(self, points: NDArray[np.float64]) -> None:
        """Let the grid grow to points (N, 3) [m, local], if there is memory."""
        if self.unit != 1:
            low, high = points.min(0) / self.unit, points.max(0) / self.unit
            with contextlib.suppress(ValueError):  # the grid of the votes has said so
                self._grid_around((low + high) / 2).grow_to(low, high)

    def forget(self) -> None:
        """Forget which voxels are empty, as things were elsewhere."""
        if self._grid:
            for piece in self._grid.content.pieces():
                self._grid.density_state[piece] = UNVISITED

    def grid(self, votes: OccupancyGrid) -> OccupancyGrid:
        """Return the grid of the densities, in units, beside that of the votes."""
        if self.unit == 1:
            return votes
        return self._grid_around(votes.sensor / self.unit)

    def _grid_around(self, center: NDArray[np.float64]) -> OccupancyGrid:
        if self._grid is None:
            self._grid = OccupancyGrid(self._config, center, self.backend)
        return self._grid

    def rays(self, rays: Rays) -> Rays:
        """Return rays [m] in units."""
        return rays if self.unit == 1 else dataclasses.replace(
            rays, origins=rays.origins / self.unit, surfaces=rays.surfaces / self.unit)

    def pose(self, T_local_camera: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a pose (4, 4) [m] in units."""
        pose = T_local_camera.copy()
        pose[:3, 3] /= self.unit
        return pose

    def sampling(self, config: SamplingConfig) -> SamplingConfig:
        """Return settings with near and far [m] in units; what suits a room is in units anyway."""
        return config if self.unit == 1 else dataclasses.replace(
            config, near=config.near / self.unit, far=config.far / self.unit)

    def render_rays(
        self, field: RadianceField, rays: Rays, votes: OccupancyGrid, config: SamplingConfig,
        stride: float,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return colors (R, 3), median distances (R,) [m] and opacities (R,) of rays [m]."""
        colors, medians, opacities = self.backend.render_rays(
            field, self.rays(rays.to(self.backend.DEVICE)), self.grid(votes),
            self.sampling(config), stride)
        return colors, medians * self.unit, opacities

    def density(self, field: RadianceField, positions: Tensor) -> Tensor:
        """Return the densities (N,) [1/m] of a field at positions (N, 3) [m, local]."""
        return field.density(positions / self.unit) / self.unit

    def blocks(self, votes: OccupancyGrid) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return places and blocks of the densities; see `to_blocks`."""
        return to_blocks(self.grid(votes), DENSITY)

    def restore(self, places: NDArray[np.int64], blocks: Mapping[str, NDArray[Any]]) -> None:
        """Continue with the densities of `blocks`, by name, unless the unit is a metre."""
        if self.unit != 1 and len(places):
            first = places.min(0) * SIZE
            shape = (places.max(0) + 1) * SIZE - first
            self._grid = OccupancyGrid(self._config, np.zeros(3), self.backend)
            pieces = list(pieces_of(places, blocks, first, shape))
            restore(self._grid, first, shape, (first, first), pieces)
