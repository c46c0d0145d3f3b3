"""Random choices that are the same on every platform.

Of Python's generator only `random()` is used, whose values never change from version to version
(https://docs.python.org/3/library/random.html#notes-on-reproducibility).
"""
from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar('T')


def length(random: Random, low: float, high: float) -> float:
    """Return a length between two [m], in full centimetres."""
    return round(low + (high - low) * random.random(), 2)


def pick(random: Random, items: Sequence[T]) -> T:
    """Return one of the items."""
    return items[int(len(items) * random.random())]


def shuffled(random: Random, items: Sequence[T]) -> list[T]:
    """Return the items in random order."""
    keys = [random.random() for _ in items]
    return [items[index] for index in sorted(range(len(items)), key=keys.__getitem__)]
