"""RVL, the lossless codec of depth images (Wilson 2017, Fast Lossless Depth Image Compression).

A row-major image is a sequence of runs: how many zeros, how many others, and of each of those the
difference to the one before. Numbers are written in groups of three bits, the lowest first, each
with a fourth bit that tells whether another follows; eight such groups fill a 32-bit word.
"""
import numpy as np


def decode_rvl(octets, width, height):
    """Return the (height, width) uint16 image of an RVL stream; ValueError if it is none."""
    words = np.frombuffer(octets, '<u4', count=len(octets) // 4)
    shifts = np.arange(28, -4, -4, dtype=np.uint32)
    groups = (words[:, None] >> shifts & 15).astype(np.int64).ravel()
    last = np.flatnonzero(groups < 8)  # groups that end a number
    groups = groups[: last[-1] + 1] if len(last) else groups[:0]
    starts = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    places = np.arange(len(groups)) - np.repeat(starts, last + 1 - starts)
    if len(places) and places.max() > 10:  # 32 bits
        raise ValueError('not an RVL stream: a number of more than 32 bits')
    numbers = np.add.reduceat((groups & 7) << 3 * places, starts) if len(last) else groups
    where, which = _runs(numbers, width * height)
    differences = numbers[which] >> 1 ^ -(numbers[which] & 1)
    image = np.zeros(width * height, np.int64)
    image[where] = np.cumsum(differences)
    return (image & 0xFFFF).astype(np.uint16).reshape(height, width)


def _runs(numbers, size):
    """Return the pixels that are not zero, and which number is the difference of each."""
    where, which = [], []
    pixel = place = 0
    while pixel < size:
        if place + 2 > len(numbers):
            raise ValueError(f'the RVL stream ends at pixel {pixel} of {size}')
        zeros, others = int(numbers[place]), int(numbers[place + 1])
        pixel, place = pixel + zeros, place + 2
        if pixel + others > size or place + others > len(numbers) or not zeros + others:
            raise ValueError(f'not an RVL stream of {size} pixels')
        where.append(np.arange(pixel, pixel + others))
        which.append(np.arange(place, place + others))
        pixel, place = pixel + others, place + others
    return np.concatenate(where), np.concatenate(which)
