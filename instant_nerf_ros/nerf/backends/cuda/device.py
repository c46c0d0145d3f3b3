"""The device of the GPU backend, and transfers between it and the host."""
import functools
import os
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

# Triton's own switch: the kernels run in its interpreter, on the processor. For tests.
INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = 'cpu' if INTERPRETED else 'cuda'
# a * b + c in one instruction, also in a Triton that does so only where it is asked (3.10).
os.environ.setdefault('TRITON_DEFAULT_FP_FUSION', '1')
MIN_CAPABILITY = 8, 0  # compute capability: Triton does not use older matrix units


def check() -> None:
    """Raise ImportError, with what to do, if there is no GPU that the kernels are for."""
    if not torch.cuda.is_available():
        raise ImportError(
            f'there is no NVIDIA GPU that torch {torch.__version__} can use: install its driver '
            "and a PyTorch for CUDA (https://pytorch.org/get-started), or set 'device' to auto "
            'or cpu')
    if torch.cuda.get_device_capability() < MIN_CAPABILITY:
        raise ImportError(
            f'the {torch.cuda.get_device_name()} is too old for the GPU backend: it needs compute '
            "capability 8.0 (Ampere) or newer; set 'device' to auto or cpu")


if not INTERPRETED:
    check()


@functools.cache
def resident(programs: int) -> int:
    """Return how many programs to start for so many on each multiprocessor."""
    if DEVICE == 'cpu':
        return 2
    return programs * torch.cuda.get_device_properties(DEVICE).multi_processor_count


def upload(array: NDArray[Any]) -> Tensor:
    """Return a numpy array on the device; the host goes on before it is there."""
    values = torch.from_numpy(array)
    if DEVICE == 'cpu':
        return values
    # From other memory than pinned, PyTorch would wait until the GPU has done all before it.
    return values.pin_memory().to(DEVICE, non_blocking=True)


class Report:
    """A few numbers on their way to the host, which waits for no other work than theirs."""

    def __init__(self, numbers: Tensor) -> None:
        pinned = DEVICE == 'cuda'
        self._host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=pinned)
        self._done = torch.cuda.Event() if pinned else None

    def send(self, numbers: Tensor) -> None:
        """Copy numbers once they are there; returns at once."""
        self._host.copy_(numbers, non_blocking=True)
        if self._done:
            self._done.record()

    def read(self) -> Tensor:
        """Return the tensor that was sent."""
        if self._done:
            self._done.synchronize()
        return self._host
