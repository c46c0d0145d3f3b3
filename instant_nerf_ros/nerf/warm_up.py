"""Warm-up: compiles the kernels before they are needed.

Run it as ``python -m instant_nerf_ros.nerf.warm_up``.
"""
import dataclasses
import functools

import numpy as np

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.config import Config, FieldConfig
from instant_nerf_ros.nerf.mapper import Mapper
from instant_nerf_ros.nerf.motion import plane_sweep, refinement, stereo_image


@functools.lru_cache  # once in a process
def warm_up(device: str, field: FieldConfig) -> None:
    """Run everything once on two tiny images; compiled kernels are cached on disk.

    device and field are those of a Config.
    """
    field = dataclasses.replace(field, log2_table=8)
    config = dataclasses.replace(Config(), field=field, device=device)
    mapper = Mapper(config)
    camera = Camera(16, 12, 12.0, 12.0, 7.5, 5.5)
    image = np.zeros((12, 16, 3), dtype=np.uint8)
    pose = np.eye(4)
    mapper.add(image, camera, pose, np.ones((12, 16), dtype=np.float32))
    pose = pose.copy()
    pose[0, 3] = 1.0
    mapper.add(image, camera, pose)
    gray = stereo_image.undistort(np.zeros((12, 16), dtype=np.uint8), camera)
    plane_sweep.depth(gray, pose, [(gray, np.eye(4))], [], mapper.backend)
    refinement.refine(
        gray, pose, [(gray, np.eye(4))] * refinement.MIN_AGREEING,
        np.ones((12, 16), dtype=np.float32), mapper.backend)
    for _ in range(2):
        mapper.step()
    mapper.add_ranges(np.zeros(3), np.ones((1, 3)))
    for _ in range(2):
        mapper.step()
    mapper.render(camera, pose)
    mapper.map()
    mapper.points()


if __name__ == '__main__':
    warm_up(Config().device, Config().field)
