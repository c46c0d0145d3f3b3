"""Cut off: whether much of what the images show lies where no samples are."""
from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from instant_nerf_ros.nerf.config import SamplingConfig
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.capture.rays import Rays

MIN_SHARE = 0.2  # of the rays: fewer see through a window or at the sky
MIN_OPACITY = 0.5
END = 0.95  # share of a ray behind which a surface was only painted on its end


def cut_off_message(
    rays: Rays, medians: Tensor, opacities: Tensor, occupancy: OccupancyGrid,
    config: SamplingConfig,
) -> str | None:  # fmt: skip
    """Return what to set if many rays find no surface before their samples end, else None.

    None also where the log has said already that the grid cannot grow to what is seen.

    rays (R,) of a trained field, with their rendered medians (R,) [m] and opacities (R,). Rays
    with a measured distance do not count.
    """
    if occupancy.cut_off:
        return None
    _, ends = occupancy.clip(rays, config.near, config.far)
    unmeasured = rays.surfaces == 0
    missed = unmeasured & ((opacities < MIN_OPACITY) | (medians > END * ends))
    count = int(unmeasured.sum())
    if not count or int(missed.sum()) < MIN_SHARE * count:
        return None
    by_far = torch.isclose(ends, torch.full_like(ends, config.far))
    share = f'{100 * int(missed.sum()) / count:.0f} % of the rays without depth end in no surface'
    if int((missed & by_far).sum()) * 2 > int(missed.sum()):
        return (f"{share} up to 'sampling.far' = {config.far:g} m: enlarge it if the scene is "
                'larger, and check that the poses are in metres')
    size = ' x '.join(f'{n * occupancy.voxel_size:.4g}' for n in occupancy.shape)
    return (f"{share} in the grid of {size} m: enlarge 'occupancy.length', 'occupancy.width' or "
            "'occupancy.height', and check that z is up and the poses are in metres")
