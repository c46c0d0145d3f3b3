"""The backend for NVIDIA GPUs, in Triton kernels; see protocol.Backend and reference.

A step, or a view, is a sequence of kernel launches (train_step.py). What a step needs stays on the
GPU.
"""
import torch

from instant_nerf_ros.nerf.backends.cuda.device import DEVICE
from instant_nerf_ros.nerf.backends.cuda.device_keyframes import sample_rays, update_error_map
from instant_nerf_ros.nerf.backends.cuda.networks import ColorNetwork, GeometryNetwork
from instant_nerf_ros.nerf.backends.cuda.occupancy import integrate_rays, update_density
from instant_nerf_ros.nerf.backends.cuda.optimizer import Adam
from instant_nerf_ros.nerf.backends.cuda.train_step import render_rays, train_step
from instant_nerf_ros.nerf.backends.host import (
    agreement,
    best_planes,
    classify_columns,
    epipolar_gradients,
    find_surfaces,
    plane_costs,
    smooth_costs,
    survey_columns,
)
from instant_nerf_ros.nerf.backends.reference import run_concurrently, states

__all__ = [
    'Adam', 'ColorNetwork', 'DEVICE', 'GeometryNetwork', 'NAME', 'SAMPLES', 'agreement',
    'best_planes', 'classify_columns', 'description', 'epipolar_gradients', 'find_surfaces',
    'integrate_rays',
    'plane_costs', 'render_rays', 'run_concurrently', 'sample_rays', 'smooth_costs', 'states',
    'survey_columns', 'synchronize', 'train_step', 'update_density', 'update_error_map',
]  # fmt: skip

NAME = 'cuda'
SAMPLES = 2**18  # of a training step, as in instant-ngp


def description() -> str:
    """Return the GPU in use."""
    name: str = torch.cuda.get_device_name() if DEVICE == 'cuda' else 'the interpreter of Triton'
    return name


def synchronize() -> None:
    """Wait until the GPU has done all work of this thread."""
    if DEVICE == 'cuda':
        event = torch.cuda.Event()
        event.record()
        event.synchronize()
