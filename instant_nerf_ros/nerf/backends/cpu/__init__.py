"""The backend for processors: see reference.py for what each function does.

A step, or a view, is taken in one go (cpu_lesson.py) by kernels that follow a few rays at a time
from their pixels to their gradients, one such chunk on each core.
"""
import numpy as np
import torch

from instant_nerf_ros.nerf.backends.cpu.kernels import voxels
from instant_nerf_ros.nerf.backends.cpu.ray_sampling import draw, take_in
from instant_nerf_ros.nerf.backends.cpu.train_step import Adam, learn, look
from instant_nerf_ros.nerf.backends.cpu.networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.backends.cpu.threads import together
from instant_nerf_ros.nerf.backends.reference import finish

__all__ = [
    'Adam', 'ColorNetwork', 'DEVICE', 'DRAWS', 'GeometryNetwork', 'NAME', 'SAMPLES', 'WHOLE',
    'carve', 'draw', 'finish', 'learn', 'look', 'states', 'take_in', 'together', 'visit',
]  # fmt: skip

NAME = 'cpu'
DEVICE = 'cpu'
SAMPLES = 2**13  # of a step, if the settings leave that to the backend: more steps teach more
WHOLE, DRAWS = True, True


def visit(positions, densities, stored, voxels, grid_origin, voxel_size, decay, threshold):
    """See reference.visit."""
    arrays = [x.numpy() for x in (positions, densities, stored, voxels, grid_origin)]
    voxels.visit(*arrays, *map(np.float32, (voxel_size, decay, threshold)))


def carve(
    origins, directions, distances, reaches, measured, pixels, stamp,
    hits, passes, stamps, colors, voxels, grid_origin, voxel_size,
):  # fmt: skip
    """See reference.carve."""
    voxels.carve(
        origins.numpy(), directions.numpy(), distances.numpy(), reaches.numpy(), bool(measured),
        pixels.numpy(), np.uint8(stamp), hits.numpy(), passes.numpy(), stamps.numpy(),
        colors.numpy(), voxels.numpy(), grid_origin.numpy(), float(voxel_size))


def states(hits, passes):
    """See reference.states."""
    result = torch.empty(hits.shape, dtype=torch.int8)
    voxels.states(*(x.numpy() for x in (hits, passes, result)))
    return result
