"""Voting turns: which keyframe votes next with what the field renders of it."""
from __future__ import annotations

import numpy as np

from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.occupancy.integration import MIN_TRAINED_RAYS
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid


class VotingTurns:
    """Keyframes vote one after the other, again and again, as the field gets better.

    Stereo of a keyframe votes once. Where it votes, the field of a keyframe also votes once, when
    the keyframe is trained: what the field says of it later is no new evidence, and would outvote
    stereo by mere repetition, the more so the faster the training is.
    """

    def __init__(self) -> None:
        self._voted: set[int] = set()  # keyframe ids, beside stereo
        self._occupancy: OccupancyGrid | None = None  # in which they voted

    def keyframe(
        self, turn: int, keyframes: Keyframes, stereo: bool, occupancy: OccupancyGrid,
    ) -> int | None:  # fmt: skip
        """Return the index of the keyframe that votes at a turn, None if it does not vote now.

        stereo: whether stereo votes as well. In a new grid, all vote anew.
        """
        if occupancy is not self._occupancy:
            self._voted, self._occupancy = set(), occupancy
        voters = np.flatnonzero(keyframes.is_own(keyframes.ids))
        if not len(voters):
            return None
        k = int(voters[turn % len(voters)])
        if stereo:
            keyframe = int(keyframes.ids[k])
            if keyframe in self._voted or keyframes.ray_counts[k] < MIN_TRAINED_RAYS:
                return None
            self._voted.add(keyframe)
        return k
