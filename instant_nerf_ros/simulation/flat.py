"""A small furnished flat: images with depth of a simulated camera, and the true occupancy.

Two rooms joined by a doorway, 7 x 5 x 2.5 m. The world frame is the map frame: z up, the floor at
z = 0, the origin near the middle. Everything is deterministic.
"""
import dataclasses

import numpy as np

from instant_nerf_ros.simulation.building import Building
from instant_nerf_ros.simulation.furniture import LAMPS, SIZE, all_boxes

# Position of the plan's origin (a corner of the flat) in the world [m]. Walls and furniture are at
# multiples of 5 cm in the plan, so that they end in the middle of 5 cm voxels, not on borders.
PLAN_ORIGIN = np.array([-3.475, -2.475, 0.0])


class Flat(Building):
    """The flat. Building it computes all textures and lightmaps, which takes seconds."""

    def __init__(self) -> None:
        boxes = tuple(
            dataclasses.replace(
                box, low=tuple(box.low + PLAN_ORIGIN), high=tuple(box.high + PLAN_ORIGIN))
            for box in all_boxes())
        super().__init__(boxes, PLAN_ORIGIN, PLAN_ORIGIN + SIZE, LAMPS + PLAN_ORIGIN)
        _ = self.scene  # computed now, not with the first image
