"""Joining: this process becomes one of those that torchrun has started."""
import datetime
import importlib.metadata
import os
import platform
from typing import Any

import torch
from torch import distributed

from instant_nerf_ros.nerf.ranks import Ranks, one_sentence

PREPARED = datetime.timedelta(days=1)  # waits for rank 0, which may search poses
VARIABLES = 'RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'  # of the environment


def join() -> Ranks:
    """Return the Ranks that torchrun, or the same variables, describe; else this process alone.

    Gradients go through NCCL where each rank has a GPU of its own, otherwise through gloo. Raises
    ConnectionError if a rank does not come, ImportError without gloo, and ValueError if the ranks
    have different versions.
    """
    if not all(name in os.environ for name in VARIABLES):
        return Ranks()
    if not (distributed.is_available() and distributed.is_gloo_available()):
        raise ImportError(
            'this PyTorch has no gloo, through which processes talk: install a build of '
            'https://pytorch.org, or start one process without torchrun')
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count())
    with one_sentence(f"not all of {os.environ['WORLD_SIZE']} processes came"):
        distributed.init_process_group('gloo', timeout=PREPARED)
        size = distributed.get_world_size()
        versions: list[Any] = [None] * size
        gpus: list[Any] = [None] * size
        distributed.all_gather_object(versions, _versions())
        distributed.all_gather_object(gpus, _gpu())
    check_equal(versions)
    own_gpus = None not in gpus and len(set(gpus)) == size
    return Ranks(
        distributed.get_rank(), size,
        'nccl' if own_gpus and distributed.is_nccl_available() else 'gloo')


def check_equal(versions: list[dict[str, str]]) -> None:
    """Raise ValueError unless the versions of all ranks are those of rank 0."""
    for rank, each in enumerate(versions):
        for name, version in each.items():
            if version != versions[0][name]:
                raise ValueError(
                    f'rank 0 has {name} {versions[0][name]}, rank {rank} has {version}: install '
                    'the same version on all machines')


def _versions() -> dict[str, str]:
    return {'instant_nerf_ros': importlib.metadata.version('instant_nerf_ros'),
            'torch': torch.__version__}


def _gpu() -> str | None:
    if not torch.cuda.is_available():
        return None
    return f'{platform.node()} {torch.cuda.current_device()}'
