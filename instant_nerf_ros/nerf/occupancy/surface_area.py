"""Surface area: how much of the world is in a grid."""
from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid


def surface_area(occupancy: OccupancyGrid) -> float:
    """Return the area [m^2] of the surfaces in a grid: one face of each voxel that was hit."""
    hits = sum(int(torch.count_nonzero(occupancy.hits[piece]))
               for piece in occupancy.content.pieces(occupancy.window()))
    return hits * occupancy.voxel_size**2
