"""Watches what Triton's kernels do to memory in its interpreter, where mistakes go unpunished.

The interpreter runs the programs of a launch one after another, and reads any address. A GPU runs
them at the same time, in no order, and a thread does not see what another one of its program has
written to memory. So all accesses of a launch are noted, and what a GPU would not forgive is told.
"""
import contextlib
import random

import numpy as np
from triton.runtime import interpreter

LOAD, STORE, EXCHANGE = range(3)
WORD = 4  # bytes to which memory is rounded up


class Watch:
    """Notes the accesses of kernels, while it is `on`."""

    def __init__(self):
        self.kernels = set()  # names of those that were launched
        self.mistakes = set()  # what is wrong, in words
        self._extra = []  # places of memory that kernels know by address

    def allow(self, tensors):
        """Let kernels access tensors that are no arguments of theirs."""
        self._extra = [_place(tensor) for tensor in tensors]

    @contextlib.contextmanager
    def on(self):
        """Watch, and let the programs of a launch come in a random order."""
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
            interpreter._interpreter, executor.__call__ = _Noted(self, memory), launched
            builder.set_grid_idx = renumbered
            yield self
        finally:
            interpreter._interpreter, executor.__call__ = memory, call
            del builder.set_grid_idx

    def _begin(self, kernel, arguments):
        self._kernel, self._notes = kernel, []
        self.kernels.add(kernel)
        self._places = self._extra + [
            _place(value) for value in arguments if hasattr(value, 'data_ptr')]

    def note(self, kind, places, mask, size, values=None):
        """Take in an access to places of so many bytes, and the values that are stored."""
        places, mask = np.broadcast_arrays(places, mask)
        chosen = places[mask].astype(np.int64)
        inside = np.zeros(len(chosen), dtype=bool)
        for begin, end in self._places:
            inside |= (chosen >= begin) & (chosen + size <= end)
        if not inside.all():
            self._tell('accesses memory that is none of its arguments')
        said = np.zeros(len(chosen), dtype=np.int64)
        if values is not None:
            said = np.broadcast_to(values, places.shape)[mask].view(f'i{size}').astype(np.int64)
        note = np.empty((len(chosen), size, 5), dtype=np.int64)  # of each byte
        note[..., 0] = chosen[:, None] + np.arange(size)
        note[..., 1] = len(self._notes)
        note[..., 2] = said[:, None] >> 8 * np.arange(size) & 255
        note[..., 3] = hash(interpreter.interpreter_builder.grid_idx)
        note[..., 4] = kind
        self._notes.append(note.reshape(-1, 5))

    def _end(self):
        notes = np.concatenate([*self._notes, np.empty((0, 5), dtype=np.int64)])
        stores = notes[notes[:, 4] == STORE]
        if not len(stores):
            return
        # In the order of their addresses, times, and values.
        stores = stores[np.lexsort(stores.T[2::-1])]
        places, first = np.unique(stores[:, 0], return_index=True)
        low, high = (which.reduceat(stores, first) for which in (np.minimum, np.maximum))
        alike, alone = low[:, 2] == high[:, 2], low[:, 3] == high[:, 3]
        if not (alike | alone).all():
            self._tell('stores something else than another program')
        same = (stores[1:, :2] == stores[:-1, :2]).all(1)
        if (same & (stores[1:, 2] != stores[:-1, 2])).any():
            self._tell('stores something else than another lane')
        others = notes[(notes[:, 4] != STORE) & np.isin(notes[:, 0], places)]
        if (others[:, 4] == EXCHANGE).any():
            self._tell('stores where there is an exchange')
        loads = others[others[:, 4] == LOAD]
        mine = np.searchsorted(places, loads[:, 0])
        own = alone[mine] & (loads[:, 3] == low[mine, 3])
        if not own.all():
            self._tell('stores what another program loads')
        if (own & (loads[:, 1] > low[mine, 1])).any():
            self._tell('loads again what it has stored')

    def _tell(self, what):
        self.mistakes.add(f'{self._kernel} {what}')


class _Noted:
    """The memory of the interpreter, watched."""

    def __init__(self, watch, memory):
        self._note, self._memory = watch.note, memory

    def __getattr__(self, name):
        return getattr(self._memory, name)

    def load(self, places, mask, other, kind):
        self._note(LOAD, places, mask, np.dtype(kind).itemsize)
        return self._memory.load(places, mask, other, kind)

    def store(self, places, values, mask):
        self._note(STORE, places, mask, values.dtype.itemsize, values)
        return self._memory.store(places, values, mask)

    def atomic_rmw(self, what, places, values, mask, order):
        self._note(EXCHANGE, places, mask, values.dtype.itemsize)
        return self._memory.atomic_rmw(what, places, values, mask, order)

    def atomic_cas(self, places, expected, values, order):
        self._note(EXCHANGE, places, True, values.dtype.itemsize)
        return self._memory.atomic_cas(places, expected, values, order)


def _place(tensor):
    """Return the addresses of the first byte of a tensor, and of that behind its last one."""
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()))
    count = (last + 1) * tensor.element_size() if tensor.numel() else 0
    return tensor.data_ptr(), tensor.data_ptr() + -(-count // WORD) * WORD
