"""The backend for NVIDIA GPUs: see reference.py for what each function does.

A step, or a view, is a row of launches (cuda_lesson.py) of kernels in Triton, which comes with
PyTorch for CUDA. What a step needs stays on the GPU.
"""
import torch
import triton

from instant_nerf_ros.nerf.backends import triton_voxels
from instant_nerf_ros.nerf.backends.cuda_adam import Adam
from instant_nerf_ros.nerf.backends.cuda_device import DEVICE, INTERPRETED
from instant_nerf_ros.nerf.backends.cuda_lesson import learn, look
from instant_nerf_ros.nerf.backends.cuda_networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.backends.reference import states, together

__all__ = [
    'Adam', 'ColorNetwork', 'DEVICE', 'GeometryNetwork', 'NAME', 'WHOLE',
    'carve', 'learn', 'look', 'states', 'together', 'visit',
]  # fmt: skip

NAME = 'cuda'
WHOLE = True
VISITED, CARVED = 128, 64  # positions and rays of a program
_met = {}  # voxel grid's shape -> zeros, that `carve` counts in

if not INTERPRETED and not torch.cuda.is_available():
    raise ImportError('there is no NVIDIA GPU, or this PyTorch was built without CUDA')


def visit(positions, densities, stored, voxels, grid_origin, voxel_size, decay, threshold):
    """See reference.visit; positions that share a voxel come in no particular order."""
    count = len(positions)
    if not count:
        return
    programs = (triton.cdiv(count, VISITED),)
    threshold = torch.as_tensor(threshold, dtype=torch.float32, device=DEVICE)
    place = voxels, grid_origin, *stored.shape, voxel_size
    triton_voxels.visit[programs](
        positions, densities, densities.stride(0), count, stored.view(torch.int32), *place,
        decay, threshold, VISITED)
    triton_voxels.judge[programs](positions, count, stored, *place, threshold, VISITED)


def carve(
    origins, directions, distances, measured, pixels,
    hits, passes, colors, voxels, grid_origin, voxel_size,
):  # fmt: skip
    """See reference.carve; of the rays of a call that end in a voxel, one gives it a colour."""
    met = _zeros(hits.shape)
    most = triton_voxels.MOST.value
    rays = (x.split(most) for x in (origins, directions, distances, measured, pixels))
    for part in zip(*rays):
        count = len(part[0])
        for settle in (False, True):
            triton_voxels.carve[(triton.cdiv(count, CARVED),)](
                *part, count, hits, passes, colors, voxels, met, grid_origin, *hits.shape,
                voxel_size, settle, CARVED)


def _zeros(shape):
    """Return int32 zeros for `carve`, which leaves zeros: they are made once for a grid."""
    if shape not in _met:
        _met.clear()
        _met[shape] = torch.zeros(shape, dtype=torch.int32, device=DEVICE)
    return _met[shape]
