"""Our mapper in the yard: what a robot that drives there gives to it."""
import time
from collections.abc import Sequence

import maps
from datasets import BODY
from yard_scenes import Recorded

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.arrays import Pose


def our_result(
    recorded: Recorded, base: Sequence[tuple[int, Pose]] = (), steps: int = 0,
) -> maps.Result:  # fmt: skip
    """Return the map of our mapper with its defaults.

    base: stamps [ns] and poses of the robot's base, whose body then counts as well; steps: of
    training after each image.
    """
    mapper = Mapper(replace(Config(), BODY if base else {}))
    seconds = add_frames(mapper, recorded.frames, base, steps)
    title = f'ours{", with the body" if base else ""}{", trained" if steps else ""}'
    return maps.mapped_result(title, mapper, recorded.truth, seconds)


def add_frames(
    mapper: Mapper, frames: Sequence[Frame], base: Sequence[tuple[int, Pose]] = (), steps: int = 0,
) -> float:  # fmt: skip
    """Add images and poses of the robot's base in order; return the seconds that it took.

    base: stamps [ns] and poses; steps: of training, after each image.
    """
    begin, passed = time.monotonic(), 0
    for frame in frames:
        mapper.add(frame.image, frame.camera, frame.T_world_camera, frame.depth,
                   angular_velocity=frame.angular_velocity)
        while passed < len(base) and base[passed][0] <= frame.stamp:
            mapper.add_body_pose(base[passed][1])
            passed += 1
        for _ in range(steps):
            mapper.step()
    return time.monotonic() - begin
