"""One thread per core, each with its own share of a kernel's work.

Not OpenMP's: torch and numba bring one runtime each, whose threads spin while they wait and take
the cores from each other.
"""
import concurrent.futures
import functools

import numba
import torch

torch.set_num_threads(1)  # what torch still does here is too small to share


def on_all_cores(work):
    """Call work(thread) for thread 0, 1, ... at the same time, and return when all are done.

    work is to spend its time in compiled code that lets other threads run.
    """
    threads = numba.get_num_threads()
    others = [_pool(threads).submit(work, thread) for thread in range(1, threads)]
    work(0)
    for other in others:
        other.result()


@functools.lru_cache(maxsize=1)
def _pool(threads):
    return concurrent.futures.ThreadPoolExecutor(threads, 'kernels')
