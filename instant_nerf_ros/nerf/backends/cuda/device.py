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
# Fused multiply-add, which Triton 3.10 does not use by default.
os.environ.setdefault('TRITON_DEFAULT_FP_FUSION', '1')
MIN_CAPABILITY = 8, 0  # compute capability: Triton does not use older matrix units


def check() -> None:
    """Raise ImportError, with instructions, if there is no GPU that the kernels support."""
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
    """Return the number of programs to launch, for so many on each multiprocessor."""
    if DEVICE == 'cpu':
        return 2
    return programs * torch.cuda.get_device_properties(DEVICE).multi_processor_count


def upload(array: NDArray[Any]) -> Tensor:
    """Return a NumPy array on the device; the host does not wait for the copy."""
    values = torch.from_numpy(array)
    if DEVICE == 'cpu':
        return values
    # To copy from pageable memory, PyTorch would wait for all earlier work of the GPU.
    return values.pin_memory().to(DEVICE, non_blocking=True)


class Report:
    """A transfer of a few numbers to the host, which waits only for the work up to them."""

    def __init__(self, numbers: Tensor) -> None:
        pinned = DEVICE == 'cuda'
        self._host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=pinned)
        self._done = torch.cuda.Event() if pinned else None

    def send(self, numbers: Tensor) -> None:
        """Queue the copy of numbers; returns at once."""
        self._host.copy_(numbers, non_blocking=True)
        if self._done:
            self._done.record()

    def read(self) -> Tensor:
        """Return the numbers on the host, after the copy is done."""
        if self._done:
            self._done.synchronize()
        return self._host
