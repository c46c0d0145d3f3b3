"""Images of depth that a network has estimated: how to recognise them, and their size."""
import numpy as np
from numpy.typing import NDArray

NORMALIZED = 1e-4  # around the limits of normalized depth


def is_normalized(values: NDArray[np.float32]) -> bool:
    """Return whether an image goes from 0 to 1 without a gap: no sensor measures such depths."""
    low, high = float(values.min()), float(values.max())  # NaN if one of them is
    return -NORMALIZED < low < NORMALIZED and abs(high - 1) < NORMALIZED


def stretched(
    values: NDArray[np.float32], height: int, width: int,
) -> NDArray[np.float32]:  # fmt: skip
    """Return the nearest of the values for each pixel of an image of another size."""
    if values.shape == (height, width):
        return values
    rows, columns = ((np.arange(size) + 0.5) * old / size for size, old in zip(
        (height, width), values.shape))
    return values[rows.astype(int)[:, None], columns.astype(int)]
