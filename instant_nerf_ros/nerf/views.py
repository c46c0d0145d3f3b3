"""Views: what the field of a trainer shows, in metres whatever its unit of length is."""
from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.rays import Rays
from instant_nerf_ros.nerf.field.render import View, render_view
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.trainer import Trainer


def render(
    trainer: Trainer, votes: OccupancyGrid, camera: Camera, T_local_camera: NDArray[np.float64],
    rows: slice,
) -> View:  # fmt: skip
    """Return the View of a camera at a pose (4, 4), or of a slice of its rows."""
    space = trainer.space
    view = render_view(
        trainer.field, space.grid(votes), camera, space.pose(T_local_camera),
        space.sampling(trainer.config.sampling), trainer.backend, trainer.schedule.stride, rows)
    return dataclasses.replace(view, depth=view.depth * np.float32(space.unit))


def render_rays(
    trainer: Trainer, votes: OccupancyGrid, rays: Rays,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return colors (R, 3), median distances (R,) [m] and opacities (R,) of rays."""
    return trainer.space.render_rays(
        trainer.field, rays, votes, trainer.config.sampling, trainer.schedule.stride)
