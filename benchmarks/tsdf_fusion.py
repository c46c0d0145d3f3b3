"""A projective TSDF by the rule of nvblox: the grid that an established alternative makes.

Millane et al. 2024, "nvblox: GPU-accelerated incremental signed distance field mapping". Its
kernels need CUDA, and Open3D's VoxelBlockGrid keeps blocks at surfaces only, so that free space
is not in it: both cannot be compared on a CPU.
"""
import time

import numba
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.data.metrics import FREE, OCCUPIED, UNKNOWN

TRUNCATION = 4.0  # voxels, nvblox's default
MIN_WEIGHT = 0.1  # 1/m^2; a weight is 1 / z^2


def fuse(
    frames: list[Frame], origin: NDArray[np.float64], shape: tuple[int, ...], size: float,
) -> tuple[NDArray[np.int8], float]:  # fmt: skip
    """Return the states of voxels (nx, ny, nz) from frames with depth, and the seconds.

    A voxel is occupied if the surface is less than half a voxel from its center, free if it is in
    front of it by more, and unknown behind it. origin (3,): the corner of voxel [0, 0, 0] [m].
    """
    distance, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    begin = time.monotonic()
    for frame in frames:
        camera, T = frame.camera, np.linalg.inv(frame.T_world_camera)
        _integrate(distance, weight, T[:3, :3], T[:3, 3], origin, size,
                   np.nan_to_num(frame.depth), camera.fx, camera.fy, camera.cx, camera.cy,
                   TRUNCATION * size)
    seconds = time.monotonic() - begin
    states = np.full(shape, UNKNOWN, np.int8)
    known = weight > MIN_WEIGHT
    states[known & (distance >= size / 2)] = FREE
    states[known & (np.abs(distance) < size / 2)] = OCCUPIED
    return states, seconds


@numba.njit(cache=True)
def _integrate(distance, weight, rotation, translation, origin, size, depth, fx, fy, cx, cy,
               truncation):
    """Average the signed distances of an image along the optical axis into the voxels."""
    nx, ny, nz = distance.shape
    height, width = depth.shape
    for i in range(nx):
        for j in range(ny):
            wx, wy = origin[0] + (i + 0.5) * size, origin[1] + (j + 0.5) * size
            for k in range(nz):
                wz = origin[2] + (k + 0.5) * size
                z = rotation[2, 0] * wx + rotation[2, 1] * wy + rotation[2, 2] * wz + (
                    translation[2])
                if z < 0.05:
                    continue
                x = rotation[0, 0] * wx + rotation[0, 1] * wy + rotation[0, 2] * wz + (
                    translation[0])
                y = rotation[1, 0] * wx + rotation[1, 1] * wy + rotation[1, 2] * wz + (
                    translation[1])
                u, v = fx * x / z + cx, fy * y / z + cy
                if u < -0.5 or v < -0.5 or u >= width - 0.5 or v >= height - 0.5:
                    continue
                measured = depth[int(v + 0.5), int(u + 0.5)]
                signed = measured - z
                if measured <= 0 or signed < -truncation:
                    continue
                gain = 1 / measured**2
                total = weight[i, j, k] + gain
                distance[i, j, k] = (weight[i, j, k] * distance[i, j, k]
                                     + gain * min(signed, truncation)) / total
                weight[i, j, k] = total
