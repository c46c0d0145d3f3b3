"""BLAS, which NumPy and OpenCV call, on one thread.

The matrices of an image are small. BLAS shares even these between threads that spin while they
wait: beside a busy process, that takes many times as long as the work itself.
"""
import functools
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """Return a context in which BLAS computes on the thread that calls it."""
    context: AbstractContextManager[object] = _controller().limit(limits=1, user_api='blas')
    return context


@functools.lru_cache(maxsize=1)  # at the first call, all libraries have been loaded
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
