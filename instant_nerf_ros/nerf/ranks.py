"""Ranks: the processes that train one field together, see joining.

Each has the whole field and its own keyframes. After each step they exchange gradients, so that
their fields stay equal bit for bit.
"""
from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

Value = TypeVar('Value')

STEPPED = datetime.timedelta(minutes=5)  # waits for what another rank sends in a step


class Ranks:
    """This process among those that train together. Alone, exchanges change nothing.

    Every rank must call the methods in the same order. They raise ConnectionError if another rank
    has ended. `sent` counts the bytes of gradients and of samples that this rank gave to others.
    """

    def __init__(self, rank: int = 0, size: int = 1, kind: str = 'gloo') -> None:
        """Be one of so many, in torch.distributed's default group; kind: gloo or nccl."""
        self.rank, self.size = rank, size
        self.sent = {'gradients': 0, 'samples': 0}
        self._device = torch.device('cuda' if kind == 'nccl' else 'cpu')  # of what is exchanged
        # Two groups, as two threads exchange gradients and samples.
        self._groups = {} if size == 1 else {
            name: distributed.new_group(backend=kind, timeout=STEPPED) for name in self.sent}

    def leave(self) -> None:
        """End the exchange; the others need not have come so far."""
        if self.size > 1:
            distributed.destroy_process_group()

    def block(self, items: list[Value]) -> list[Value]:
        """Return the part of a list that is this rank's: neighbors stay together."""
        begin, end = (len(items) * rank // self.size for rank in (self.rank, self.rank + 1))
        return items[begin:end]

    def first(self, make: Callable[[], Value]) -> Value:
        """Return to all ranks what make() returns on rank 0.

        An error of rank 0 is raised there, and ConnectionError on the others.
        """
        if self.size == 1:
            return make()
        outcome: list[Any] = [None, 'rank 0 has ended']
        try:
            if self.rank == 0:
                outcome = [make(), '']
        finally:
            with one_sentence():
                distributed.broadcast_object_list(outcome, 0)
        if outcome[1]:
            raise ConnectionError(outcome[1])
        value: Value = outcome[0]
        return value

    def collect(self, value: Value) -> list[Value]:
        """Return the values of all ranks to rank 0, in their order; to the others only theirs."""
        if self.size == 1:
            return [value]
        values: list[Any] | None = [None] * self.size if self.rank == 0 else None
        with one_sentence():
            distributed.gather_object(value, values)
        return [value] if values is None else values

    def mean(self, *values: float) -> list[float]:
        """Return the means of numbers over the ranks."""
        return [value / self.size for value in self._reduced(values, distributed.ReduceOp.SUM)]

    def largest(self, *values: float) -> list[float]:
        """Return the largest of each number over the ranks."""
        return self._reduced(values, distributed.ReduceOp.MAX)

    def total(self, counts: Tensor) -> Tensor:
        """Return the sums of counts, an integer tensor of one shape, over the ranks."""
        if self.size == 1:
            return counts
        sums = counts.to(self._device, torch.int32, copy=True)
        with one_sentence():
            distributed.all_reduce(sums, group=self._groups['gradients'])
        return sums.to(counts.device)

    def of_first(self, tensor: Tensor) -> Tensor:
        """Return the tensor of rank 0."""
        if self.size == 1:
            return tensor
        values = tensor.to('cpu', copy=True).contiguous()
        with one_sentence():
            distributed.broadcast(values, 0)
        return values.to(tensor.device)

    def average(self, gradients: Tensor) -> None:
        """Replace gradients (N,) by their mean over the ranks."""
        if self.size == 1:
            return
        values = gradients.to(self._device)
        self.sent['gradients'] += values.nbytes
        with one_sentence():
            distributed.all_reduce(values, group=self._groups['gradients'])
        gradients.copy_(values / self.size)

    def average_rows(self, gradients: Tensor, rows: Tensor) -> Tensor:
        """Replace gradients (E, F), not zero in rows (N,) only, by their mean over the ranks.

        Only these rows are exchanged. Returns the rows (M,) that are not zero on some rank. All
        ranks add in the same order, so that their sums are equal bit for bit.
        """
        if self.size == 1:
            return rows
        values = gradients[rows].float() / self.size
        gradients[rows] = 0
        found = []
        for row, value in self.gather_rows(rows.int(), values):
            row = row.long()
            found.append(row[(gradients[row] == 0).all(-1)])
            gradients[row] += value.to(gradients.dtype)
        return torch.cat(found)

    def gather_rows(self, rows: Tensor, values: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return rows (N,) int32 and their values (N, F) float32 of each rank, in their order."""
        index = rows.view(torch.float32)  # its bits, so that one exchange is enough
        parts = self._gathered('gradients', torch.cat([index[:, None], values], 1))
        return [(part[:, 0].contiguous().view(torch.int32).to(rows.device),
                 part[:, 1:].contiguous().to(rows.device)) for part in parts]

    def gather(self, positions: Tensor, densities: Tensor) -> tuple[Tensor, Tensor]:
        """Return positions (N, 3) and densities (N,) of all ranks, in their order."""
        if self.size == 1:
            return positions, densities
        samples = torch.cat([positions, densities[:, None]], 1)
        samples = torch.cat(self._gathered('samples', samples)).to(positions.device)
        return samples[:, :3].contiguous(), samples[:, 3].contiguous()

    def _gathered(self, name: str, rows: Tensor) -> list[Tensor]:
        """Return the rows (N, F) float32 of each rank; N differs."""
        group, count = self._groups[name], torch.tensor([len(rows)], device=self._device)
        counts = [torch.empty_like(count) for _ in range(self.size)]
        with one_sentence():
            distributed.all_gather(counts, count, group=group)
            sizes = torch.cat(counts).tolist()
            padded = rows.new_zeros((max(sizes), rows.shape[1]), device=self._device)
            padded[: len(rows)] = rows
            parts = [torch.empty_like(padded) for _ in range(self.size)]
            distributed.all_gather(parts, padded, group=group)
        self.sent[name] += padded.nbytes
        return [part[:size] for part, size in zip(parts, sizes)]

    def _reduced(self, values: tuple[float, ...], operation: Any) -> list[float]:
        if self.size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)
        with one_sentence():
            distributed.all_reduce(numbers, operation)
        return numbers.tolist()


ALONE = Ranks()


@contextlib.contextmanager
def one_sentence(text: str = 'another process of the training has ended') -> Iterator[None]:
    """Turn the errors of torch.distributed into a ConnectionError that begins with a text."""
    try:
        yield
    except RuntimeError as error:  # torch.distributed raises it, and its subclasses
        reason = (str(error).strip() or 'no reason given').splitlines()[0]
        raise ConnectionError(
            f'{text}; its own message, or that of torchrun, says why ({reason})') from error
