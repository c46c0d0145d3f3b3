"""The backend for NVIDIA GPUs: see reference.py for what each function does.

A step, or a view, is a row of launches (cuda_lesson.py) of kernels in Triton, which comes with
PyTorch for CUDA. What a step needs stays on the GPU.
"""
import torch
import triton

from instant_nerf_ros.nerf.backends.cuda.kernels import voxels
from instant_nerf_ros.nerf.backends.cuda.optimizer import Adam
from instant_nerf_ros.nerf.backends.cuda.device import DEVICE
from instant_nerf_ros.nerf.backends.cuda.device_keyframes import draw, take_in
from instant_nerf_ros.nerf.backends.cuda.train_step import learn, look
from instant_nerf_ros.nerf.backends.cuda.networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.backends.reference import states, together

__all__ = [
    'Adam', 'ColorNetwork', 'DEVICE', 'DRAWS', 'GeometryNetwork', 'NAME', 'SAMPLES', 'WHOLE',
    'about', 'carve', 'draw', 'finish', 'learn', 'look', 'states', 'take_in', 'together', 'visit',
]  # fmt: skip

NAME = 'cuda'
SAMPLES = 2**18  # of a step, if the settings leave that to the backend: as instant-ngp has it
WHOLE, DRAWS = True, True
# Positions and rays of a program. Each has a thread of its own: that alone hears, up to
# Triton 3.3, what an atomic exchange has found.
VISITED, CARVED = 128, 64
WARP = 32  # threads


def about():
    """Return the GPU in use, for the log."""
    return torch.cuda.get_device_name() if DEVICE == 'cuda' else 'the interpreter of Triton'


def finish():
    """Wait until the GPU has done all that it was asked for, by this thread."""
    if DEVICE == 'cuda':
        event = torch.cuda.Event()
        event.record()
        event.synchronize()


def visit(positions, densities, stored, voxels, grid_origin, voxel_size, decay, threshold):
    """See reference.visit; positions that share a voxel come in no particular order."""
    count = len(positions)
    if not count:
        return
    programs = (triton.cdiv(count, VISITED),)
    threshold = torch.as_tensor(threshold, dtype=torch.float32, device=DEVICE)
    place = voxels, grid_origin, *stored.shape, voxel_size
    voxels.visit[programs](
        positions, densities, densities.stride(0), count, stored.view(torch.int32), *place,
        decay, threshold, VISITED, num_warps=VISITED // WARP)
    voxels.judge[programs](positions, count, stored, *place, threshold, VISITED)


def carve(
    origins, directions, distances, reaches, measured, pixels, stamp,
    hits, passes, stamps, colors, voxels, grid_origin, voxel_size,
):  # fmt: skip
    """See reference.carve; of the rays that end in a voxel, any one may be that which votes."""
    count = len(origins)
    programs = (triton.cdiv(count, CARVED),)
    if not count:
        return
    aside = torch.zeros(CARVED, dtype=torch.int32, device=DEVICE)
    # Directions begin nowhere: after the corner follow three zeros.
    corner = torch.cat([grid_origin, torch.zeros_like(grid_origin)])
    place = hits, passes, stamps
    space = aside, corner, *hits.shape, voxel_size
    voxels.end[programs](
        origins, directions, distances, pixels, count, int(stamp), *place, colors, *space,
        bool(measured), CARVED, num_warps=CARVED // WARP)
    voxels.cross[programs](
        origins, directions, reaches, count, int(stamp), *place, voxels, *space, bool(measured),
        CARVED, num_warps=CARVED // WARP)
