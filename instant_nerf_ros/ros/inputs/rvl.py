"""RVL, the lossless codec of depth images (Wilson 2017, Fast Lossless Depth Image Compression).

A row-major image is a sequence of runs: the number of zero pixels, the number of non-zero pixels,
and for each of these its difference to the one before, zigzag-encoded. Numbers are written in
groups of three bits, the lowest first. A fourth bit of each group is set if another group follows.
Eight groups fill a 32-bit word.
"""
import numpy as np
from numpy.typing import NDArray


def decode_rvl(data: bytes | NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint16]:
    """Return the (height, width) image of an RVL stream; raises ValueError if it is malformed."""
    words = np.frombuffer(data, '<u4', count=len(data) // 4)
    shifts = np.arange(28, -4, -4, dtype=np.uint32)
    groups = (words[:, None] >> shifts & 15).astype(np.int64).ravel()
    last = np.flatnonzero(groups < 8)  # groups that end a number
    groups = groups[: last[-1] + 1] if len(last) else groups[:0]
    starts = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    places = np.arange(len(groups)) - np.repeat(starts, last + 1 - starts)
    if len(places) and places.max() > 10:  # 32 bits
        raise ValueError('not an RVL stream: a number of more than 32 bits; check the driver')
    numbers = np.add.reduceat((groups & 7) << 3 * places, starts) if len(last) else groups
    pixels, indices = _runs(numbers, width * height)
    differences = numbers[indices] >> 1 ^ -(numbers[indices] & 1)
    image = np.zeros(width * height, np.int64)
    image[pixels] = np.cumsum(differences)
    return (image & 0xFFFF).astype(np.uint16).reshape(height, width)


def _runs(
    numbers: NDArray[np.int64], size: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Return the non-zero pixels, and for each the index of its difference in numbers."""
    pixels, indices = [], []
    pixel = index = 0
    while pixel < size:
        if index + 2 > len(numbers):
            raise ValueError(f'the RVL stream ends at pixel {pixel} of {size}; check the driver')
        zeros, others = int(numbers[index]), int(numbers[index + 1])
        pixel, index = pixel + zeros, index + 2
        if pixel + others > size or index + others > len(numbers) or not zeros + others:
            raise ValueError(f'not an RVL stream of {size} pixels; check the driver')
        pixels.append(np.arange(pixel, pixel + others))
        indices.append(np.arange(index, index + others))
        pixel, index = pixel + others, index + others
    return np.concatenate(pixels), np.concatenate(indices)
