"""One thread per core, each with its own share of a kernel's work.

Not OpenMP's: torch and numba bring one runtime each, whose threads spin while they wait and take
the cores from each other.
"""
import concurrent.futures
import functools

import numba
import numpy as np
import torch

torch.set_num_threads(1)  # what torch still does here is too small to share


def on_all_cores(work):
    """Call work(thread, turn) for thread 0, 1, ... at once, and return when all are done.

    work is to spend its time in compiled code that lets other threads run. They share the turn
    (1,), an int64 that begins at zero: see numba_jit.take_number.
    """
    threads, turn = numba.get_num_threads(), np.zeros(1, dtype=np.int64)
    others = [_pool(threads).submit(work, thread, turn) for thread in range(1, threads)]
    work(0, turn)
    for other in others:
        other.result()


def together(first, second):
    """Call two functions, at the same time if there is more than one core: return both results.

    The thread that has called the second one helps with the first one after that: there are never
    more threads than cores.
    """
    threads = numba.get_num_threads()
    if threads == 1:
        return first(), second()
    other = _pool(threads).submit(second)
    return first(), other.result()


@functools.lru_cache(maxsize=1)
def _pool(threads):
    return concurrent.futures.ThreadPoolExecutor(threads - 1, 'kernels')  # and the caller's
