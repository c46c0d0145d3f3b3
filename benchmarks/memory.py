"""Worker: a session of 500 keyframes of 640 x 480 with depth, in a separate process."""
import functools
import time

import numpy as np
from workers import serve

from instant_nerf_ros.nerf import Camera, Config, Mapper, replace

KEYFRAMES, STEPS = 500, 100
CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
DISTANCE = 2.0  # m, depth of all pixels


def pose(number):
    """Return the pose (4, 4) of a camera on a spiral that faces its direction of motion."""
    angle = 2 * np.pi * number / 50
    ahead = np.array([-np.sin(angle), np.cos(angle), 0.0])
    right = np.array([np.cos(angle), np.sin(angle), 0.0])
    T_world_camera = np.eye(4)
    T_world_camera[:3, :3] = np.stack([right, [0.0, 0.0, -1.0], ahead], axis=1)
    T_world_camera[:3, 3] = 2 * right + [0.0, 0.0, 1 + number / 1000]
    return T_world_camera


def peak_mebibytes():
    """Return the peak memory of this process; getrusage would include that of its parent."""
    with open('/proc/self/status') as file:
        line = next(line for line in file if line.startswith('VmHWM'))
    return int(line.split()[1]) / 1024


@functools.cache
def session():
    """Return the figures of the session."""
    random = np.random.default_rng(0)
    size = CAMERA.height, CAMERA.width
    depth = np.full(size, DISTANCE, dtype=np.float32)
    mapper = Mapper(replace(Config(), {'keyframes.held_out_every': 0}))
    first = None
    for number in range(KEYFRAMES):
        image = random.integers(256, size=(*size, 3), dtype=np.uint8)
        begin = time.perf_counter()
        mapper.add(image, CAMERA, pose(number), depth)
        mapper.step()
        first = first or time.perf_counter() - begin
    for _ in range(STEPS):
        mapper.step()
    mapper.render(CAMERA, pose(0))
    mapper.map()
    return {
        'from the first keyframe to the end of the first step [s]': first,
        'keyframes of 640 x 480 with depth': mapper.keyframe_count,
        'peak memory [MiB]': peak_mebibytes(),
    }


serve(session)
