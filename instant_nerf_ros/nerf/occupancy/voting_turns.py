"""Voting turns: which keyframe votes next with what the field renders of it."""
from __future__ import annotations

import numpy as np

from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.occupancy.integration import MIN_TRAINED_RAYS
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

GROWTH = 2.0  # of the rays that a keyframe was trained on, before it votes again


class VotingTurns:
    """Keyframes vote one after the other, again and again, as the field gets better.

    Stereo of a keyframe votes once. Where it votes, a keyframe has another turn only when it was
    trained on GROWTH times as many rays: what the field says of it in between is no new evidence,
    and would outvote stereo by mere repetition.
    """

    def __init__(self) -> None:
        self._rays: dict[int, int] = {}  # of a keyframe, by id, when it last voted
        self._occupancy: OccupancyGrid | None = None  # in which they voted

    def keyframe(
        self, turn: int, keyframes: Keyframes, stereo: bool, occupancy: OccupancyGrid,
    ) -> int | None:  # fmt: skip
        """Return the index of the keyframe that votes at a turn, None if it is too early for it.

        stereo: whether stereo votes as well. In a new grid, all vote anew.
        """
        if occupancy is not self._occupancy:
            self._rays, self._occupancy = {}, occupancy
        voters = np.flatnonzero(keyframes.is_own(keyframes.ids))
        if not len(voters):
            return None
        k = int(voters[turn % len(voters)])
        if stereo:
            keyframe, rays = int(keyframes.ids[k]), int(keyframes.ray_counts[k])
            if rays < max(MIN_TRAINED_RAYS, GROWTH * self._rays.get(keyframe, 0)):
                return None
            self._rays[keyframe] = rays
        return k
