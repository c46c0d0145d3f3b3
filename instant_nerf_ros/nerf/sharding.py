"""Sharding: a mapper that has its own part of the keyframes, before and after training."""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from instant_nerf_ros.nerf.capture.alpha import keyframe_alpha
from instant_nerf_ros.nerf.constants import MILLIMETRE
from instant_nerf_ros.nerf.occupancy import merging
from instant_nerf_ros.nerf.ranks import Ranks

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.mapper import Mapper


def distribute(mapper: Mapper, ranks: Ranks) -> None:
    """Let a mapper, which has its keyframes, train together with those of the other ranks.

    Their settings are the same but for the seed, and so is where they begin; see
    Measurements.grow_to. Raises ConnectionError if a rank has ended.
    """
    if ranks.size > 1:
        merging.share_empty(mapper.measurements.grid(), ranks)
        mapper.trainer.distribute(ranks)


def collect(mapper: Mapper, ranks: Ranks) -> None:
    """Add the votes of all ranks, and give all keyframes to the mapper of rank 0."""
    if ranks.size == 1:
        return
    merging.add_votes(mapper.measurements.grid(), ranks)
    keyframes, poses = mapper.keyframes, mapper.keyframe_poses()
    own = [
        (keyframes.image(k), keyframe_alpha(keyframes, k), poses[k],
         float(keyframes.ray_counts[k]), keyframes.exposure.sums[k])
        for k in range(len(keyframes)) if ranks.rank > 0]
    for others in ranks.collect(own)[1:]:
        for (camera, image, depth), alpha, pose, ray_count, exposure in others:
            keyframes.add(
                image, camera, mapper.measurements.frame.localize(pose),
                depth * np.float32(MILLIMETRE), alpha)
            keyframes.restore(len(keyframes) - 1, ray_count, exposure)
    keyframes.exposure.solve()
