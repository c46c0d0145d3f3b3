"""One thread per core, each with its own share of a kernel's work.

Not OpenMP's: torch and Numba bring one runtime each, whose threads spin while they wait and take
the cores from each other.
"""
import concurrent.futures
import functools
from collections.abc import Callable
from typing import TypeVar

import numba
import numpy as np
import torch
from numpy.typing import NDArray

torch.set_num_threads(1)  # what torch still computes here is too small to share

First = TypeVar('First')
Second = TypeVar('Second')


def thread_count() -> int:
    """Return the number of threads."""
    return int(numba.get_num_threads())


def on_all_cores(work: Callable[[int, NDArray[np.int64]], None]) -> None:
    """Call work(thread, counter) for thread 0, 1, ... at once, and return when all are done.

    work should spend its time in compiled code that releases the GIL. The threads share the
    counter (1,), which begins at zero: see jit.fetch_add.
    """
    threads, counter = thread_count(), np.zeros(1, dtype=np.int64)
    others = [_pool(threads).submit(work, thread, counter) for thread in range(1, threads)]
    work(0, counter)
    for other in others:
        other.result()


def run_concurrently(
    first: Callable[[], First], second: Callable[[], Second],
) -> tuple[First, Second]:  # fmt: skip
    """Call two functions, in parallel if there is more than one core: return both results.

    The thread that has called the second one helps with the first one after that: there are never
    more threads than cores.
    """
    threads = thread_count()
    if threads == 1:
        return first(), second()
    other = _pool(threads).submit(second)
    return first(), other.result()


@functools.lru_cache(maxsize=1)
def _pool(threads: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(threads - 1, 'kernels')  # and the caller's
