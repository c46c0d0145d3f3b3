"""The backends: code that computes what the library needs, chosen once by `select`.

reference is plain PyTorch, cpu Numba, cuda Triton, tinycudann NVIDIA's library on the same GPU.
Their common interface is protocol.Backend.
"""
from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, cast

import torch

from instant_nerf_ros.nerf.config import FieldConfig

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

logger = logging.getLogger('instant_nerf_ros')


def select(device: str, field: FieldConfig | None = None) -> Backend:
    """Return the backend for a device: 'cuda', 'triton', 'cpu', 'reference', or 'auto'.

    field: the networks that it is for, by default those of Config. 'cuda' is tinycudann, or
    Triton where that does not work; 'triton' is Triton. 'auto' is 'cuda' where there is an NVIDIA
    GPU, else 'cpu', or 'reference' without Numba. A GPU backend is tested on this very GPU before
    'auto' or 'cuda' use it, see self_check. One line of the log says which backend it is and why.
    Raises ImportError, with what is missing, if a named backend cannot run here.
    """
    field = field or FieldConfig()
    if device == 'cuda':
        return _cuda(field)
    if device != 'auto':
        return _load(device)
    try:
        if not torch.cuda.is_available():
            raise ImportError('there is no NVIDIA GPU that this PyTorch can use')
        return _cuda(field)
    except ImportError as error:
        no_gpu = error
    try:
        backend = _load('cpu')
        logger.info('the cpu backend is in use; a GPU would be faster (%s)', no_gpu)
        return backend
    except ImportError as error:
        logger.warning(
            'the reference backend is in use (%s); numba would make it many times faster', error)
        return _load('reference')


def _cuda(field: FieldConfig) -> Backend:
    """Return tinycudann, or Triton; ImportError if neither passes its check on this GPU."""
    from instant_nerf_ros.nerf.backends import self_check

    triton = _load('triton')  # ImportError if there is no GPU for it
    try:
        backend = _load('tinycudann')
        self_check.check(backend, field)
        logger.info(
            "the cuda backend is in use: %s; 'device: triton' works without tinycudann, and may "
            'be faster', backend.description())
        return backend
    except Exception as error:  # its compiler, its GPU, memory: anything
        no_tinycudann = error
    try:
        self_check.check(triton, field)
    except Exception as error:
        raise ImportError(f'its kernels fail on {triton.description()}: {error}') from error
    logger.info(
        'the cuda backend is in use: %s, with Triton alone; tinycudann may be faster, but is '
        'not in use: %s', triton.description(), no_tinycudann)
    return triton


def _load(name: str) -> Backend:
    if name == 'triton':
        name = 'cuda'
        # Without a GPU, this says so first, before anything else that is missing.
        importlib.import_module('instant_nerf_ros.nerf.backends.cuda.device')
    module = importlib.import_module(f'instant_nerf_ros.nerf.backends.{name}')
    return cast('Backend', module)
