"""Watches the memory accesses of Triton kernels in the interpreter, which allows all of them.

The interpreter runs the programs of a launch one after another, and reads any address. A GPU runs
them at the same time, in any order, and a thread does not see what another thread of its program
has written to memory. So all accesses of a launch are recorded, and those are reported that are
errors on a GPU.
"""
import contextlib
import random

import numpy as np
from triton.runtime import interpreter

LOAD, STORE, EXCHANGE = range(3)
WORD = 4  # bytes to which memory is rounded up


class Watch:
    """Records the accesses of kernels, while it is `on`."""

    def __init__(self):
        self.kernels = set()  # names of the launched kernels
        self.mistakes = set()  # descriptions of the errors
        self._extra = []  # ranges of memory that kernels know by address

    def allow(self, tensors):
        """Allow kernels to access tensors that are not arguments."""
        self._extra = [_range(tensor) for tensor in tensors]

    @contextlib.contextmanager
    def on(self):
        """Watch, and run the programs of a launch in a random order."""
        memory, builder = interpreter._interpreter, interpreter.interpreter_builder
        executor, number = interpreter.GridExecutor, builder.set_grid_idx
        call = executor.__call__

        def launched(launch, *arguments, **settings):
            self._begin(launch.fn.__name__, arguments)
            call(launch, *arguments, **settings)
            self._end()

        def renumbered(x, y, z):
            if not x:
                self._numbers = random.sample(range(builder.grid_dim[0]), builder.grid_dim[0])
            number(self._numbers[x], y, z)

        try:
            interpreter._interpreter, executor.__call__ = _RecordedMemory(self, memory), launched
            builder.set_grid_idx = renumbered
            yield self
        finally:
            interpreter._interpreter, executor.__call__ = memory, call
            del builder.set_grid_idx

    def _begin(self, kernel, arguments):
        self._kernel, self._records = kernel, []
        self.kernels.add(kernel)
        self._ranges = self._extra + [
            _range(value) for value in arguments if hasattr(value, 'data_ptr')]

    def record(self, kind, addresses, mask, size, values=None):
        """Record an access to addresses of so many bytes, and the values that are stored."""
        addresses, mask = np.broadcast_arrays(addresses, mask)
        chosen = addresses[mask].astype(np.int64)
        inside = np.zeros(len(chosen), dtype=bool)
        for begin, end in self._ranges:
            inside |= (chosen >= begin) & (chosen + size <= end)
        if not inside.all():
            self._report('accesses memory that is none of its arguments')
        stored = np.zeros(len(chosen), dtype=np.int64)
        if values is not None:
            stored = np.broadcast_to(values, addresses.shape)[mask].view(f'i{size}')
            stored = stored.astype(np.int64)
        record = np.empty((len(chosen), size, 5), dtype=np.int64)  # of each byte
        record[..., 0] = chosen[:, None] + np.arange(size)
        record[..., 1] = len(self._records)
        record[..., 2] = stored[:, None] >> 8 * np.arange(size) & 255
        record[..., 3] = hash(interpreter.interpreter_builder.grid_idx)
        record[..., 4] = kind
        self._records.append(record.reshape(-1, 5))

    def _end(self):
        records = np.concatenate([*self._records, np.empty((0, 5), dtype=np.int64)])
        stores = records[records[:, 4] == STORE]
        if not len(stores):
            return
        # Sorted by address, time and value.
        stores = stores[np.lexsort(stores.T[2::-1])]
        addresses, first = np.unique(stores[:, 0], return_index=True)
        low, high = (which.reduceat(stores, first) for which in (np.minimum, np.maximum))
        alike, alone = low[:, 2] == high[:, 2], low[:, 3] == high[:, 3]
        if not (alike | alone).all():
            self._report('stores something else than another program')
        same = (stores[1:, :2] == stores[:-1, :2]).all(1)
        if (same & (stores[1:, 2] != stores[:-1, 2])).any():
            self._report('stores something else than another lane')
        others = records[(records[:, 4] != STORE) & np.isin(records[:, 0], addresses)]
        if (others[:, 4] == EXCHANGE).any():
            self._report('stores where there is an exchange')
        loads = others[others[:, 4] == LOAD]
        index = np.searchsorted(addresses, loads[:, 0])
        own = alone[index] & (loads[:, 3] == low[index, 3])
        if not own.all():
            self._report('stores what another program loads')
        if (own & (loads[:, 1] > low[index, 1])).any():
            self._report('loads again what it has stored')

    def _report(self, what):
        self.mistakes.add(f'{self._kernel} {what}')


class _RecordedMemory:
    """The memory of the interpreter, with records of all accesses."""

    def __init__(self, watch, memory):
        self._record, self._memory = watch.record, memory

    def __getattr__(self, name):
        return getattr(self._memory, name)

    def load(self, addresses, mask, other, kind):
        self._record(LOAD, addresses, mask, np.dtype(kind).itemsize)
        return self._memory.load(addresses, mask, other, kind)

    def store(self, addresses, values, mask):
        self._record(STORE, addresses, mask, values.dtype.itemsize, values)
        return self._memory.store(addresses, values, mask)

    def atomic_rmw(self, what, addresses, values, mask, order):
        self._record(EXCHANGE, addresses, mask, values.dtype.itemsize)
        return self._memory.atomic_rmw(what, addresses, values, mask, order)

    def atomic_cas(self, addresses, expected, values, order):
        self._record(EXCHANGE, addresses, True, values.dtype.itemsize)
        return self._memory.atomic_cas(addresses, expected, values, order)


def _range(tensor):
    """Return the address of the first byte of a tensor, and that behind its last byte."""
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()))
    count = (last + 1) * tensor.element_size() if tensor.numel() else 0
    return tensor.data_ptr(), tensor.data_ptr() + -(-count // WORD) * WORD
