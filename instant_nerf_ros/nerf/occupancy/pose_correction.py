"""Corrections: a Mapper whose images and scans turn out to have been taken elsewhere.

SLAM that closes a loop finds out where its sensors were. What they saw stays the same: poses and
measured rays move. The votes on the voxels are cast anew, as nobody knows which was whose, and the
field learns on from what it is.
"""
import numpy as np

from instant_nerf_ros.nerf.occupancy import integration
from instant_nerf_ros.nerf.occupancy.occupancy_grid import Occupancy


def correct(mapper, corrections):
    """See Mapper.correct."""
    keyframes, ranges = mapper.keyframes, mapper.ranges
    poses = {
        number: corrections.get(number, np.eye(4)) @ T_world_camera
        for number, T_world_camera in zip(keyframes.numbers.tolist(), keyframes.T_world_camera)}
    positions = [pose[:3, 3] for pose in poses.values()] + [
        (corrections.get(number, np.eye(4)) @ (*scan.origins[-1].numpy(), 1))[:3]
        for number, scan in ranges.scans()]
    if not positions:
        return
    occupancy = Occupancy(mapper.config.occupancy, positions[0], mapper.engine)
    for position in positions:
        occupancy.include(position)  # this fails, if at all, before anything has changed
    for part in (ranges, mapper.motion, mapper.held_out):
        part.correct(corrections)
    keyframes.correct(poses)
    keyframes.draws[:] = 0  # none is learnt as it is now
    images = {number: k for k, number in enumerate(poses)}
    scans = dict(ranges.scans())
    for number in sorted({*images, *scans}):
        if number in images:
            integration.tell_measured(keyframes, images[number], occupancy, mapper.random)
        else:
            integration.tell_scan(scans[number], occupancy, number)
    mapper.occupancy = occupancy
