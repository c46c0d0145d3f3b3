"""Growth of the hash table with the surface that is seen.

On a long drive, ever more places share an entry if the table has a fixed size, and the views of
all of them get worse. A hash is reduced modulo the number of entries, so a table that holds its
entries twice, one copy after the other, is the same function. From then on, the copies are trained
apart.
"""
import math
from collections.abc import Mapping

from torch import Tensor

TABLE = 'geometry.table'  # its name in RadianceField.state, (levels, entries, FEATURES)
MAX_LOAD = 24.0  # surface per entry of a level, in squares of the finest cell


def needed_log2_table(surface: float, finest_cell: float) -> int:
    """Return the base-2 logarithm of the entries per level for a surface [m^2] and cells [m]."""
    return math.ceil(math.log2(max(surface / finest_cell**2 / MAX_LOAD, 1.0)))


def log2_table(state: Mapping[str, Tensor]) -> int:
    """Return the base-2 logarithm of the entries per level in the state of a field, else 0."""
    shape = state[TABLE].shape if TABLE in state else ()
    return int(shape[1]).bit_length() - 1 if len(shape) == 3 else 0


def with_larger_table(state: Mapping[str, Tensor], log2_entries: int) -> dict[str, Tensor]:
    """Return the state of the same field with 2**log2_entries per level, not fewer than now."""
    copies = 2 ** (log2_entries - log2_table(state))
    return {**state, TABLE: state[TABLE].repeat(1, copies, 1)}
