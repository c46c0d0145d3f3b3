"""Blocks: the voxels of a grid with any content, in cubes, so that only changes are written.

A block is at a multiple of its size on the lattice of the local frame, wherever the grid begins.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.occupancy.lattice import Window, corners, slices

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid

SIZE = 16  # voxels along an edge
GRID_TYPES = {'hits': 'u1', 'misses': 'u1', 'last_keyframe': 'u1', 'colors': '3u1',
              'density': '<f4', 'density_state': 'u1'}  # fmt: skip
ALL = tuple(GRID_TYPES)
VOTES = 'hits', 'misses', 'last_keyframe', 'colors'
DENSITY = 'density', 'density_state'

Piece = tuple[Window, Mapping[str, NDArray[Any]]]  # where in a grid, and what is there by name


def block_type(names: Sequence[str]) -> np.dtype[Any]:
    """Return the type of a block of the grids with these names: one array for each."""
    return np.dtype([(name, GRID_TYPES[name], (SIZE, SIZE, SIZE)) for name in names])


def to_blocks(
    occupancy: OccupancyGrid, names: Sequence[str],
) -> tuple[NDArray[np.int64], NDArray[Any]]:  # fmt: skip
    """Return copies of all blocks that are not zero in the grids with these names.

    Returns their places (B, 3) on the lattice, in blocks, and the blocks (B,) of `block_type`.
    """
    kind = block_type(names)
    window = occupancy.window() if names == VOTES else None  # no votes lie outside
    found = [block for piece in occupancy.content.pieces(window)
             for block in _blocks_of(occupancy, names, piece)]
    return (np.array([place for place, _ in found], np.int64).reshape(-1, 3),
            np.array([block for _, block in found], kind))


def _blocks_of(
    occupancy: OccupancyGrid, names: Sequence[str], piece: Window,
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:  # fmt: skip
    """Yield place and content of the blocks in a piece of a grid that are not zero."""
    kind, first, shape = block_type(names), occupancy.first, np.array(occupancy.shape)
    start, stop = corners(piece)
    low, high = (first + start) // SIZE, -(-(first + stop) // SIZE)  # in blocks
    for x in range(low[0], high[0]):  # a slab at a time: no copy of the whole grid
        begin = np.array([x, low[1], low[2]]) * SIZE - first
        end = np.array([x + 1, high[1], high[2]]) * SIZE - first
        inside = tuple(map(slice, begin.clip(min=0), np.minimum(end, shape)))
        slab = {name: getattr(occupancy, name)[inside].cpu().numpy() for name in names}
        offset = np.maximum(-begin, 0)  # of the slab in its blocks
        for y, z in _used(slab, offset, high - low):
            block = np.zeros((), kind)
            begin = np.array([0, y, z]) * SIZE - offset
            part = tuple(map(slice, begin.clip(min=0), begin + SIZE))
            for name, values in slab.items():
                cut = values[part]
                at = (-begin).clip(min=0)
                block[name][tuple(map(slice, at, at + cut.shape[:3]))] = cut
            yield np.array([x, low[1] + y, low[2] + z]), block


def _used(
    slab: Mapping[str, NDArray[Any]], offset: NDArray[np.int64], count: NDArray[np.int64],
) -> NDArray[np.int64]:  # fmt: skip
    """Return which blocks (y, z), (B, 2), of a slab have content; it begins at an offset."""
    flags = [values for name, values in slab.items() if GRID_TYPES[name] == 'u1']
    used = np.bitwise_or.reduce([np.bitwise_or.reduce(values, axis=0) for values in flags])
    plane = np.zeros(count[1:] * SIZE, np.uint8)
    (y, z), (height, width) = offset[1:], used.shape
    plane[y : y + height, z : z + width] = used
    rows = np.bitwise_or.reduce(plane.reshape(count[1], SIZE, -1), axis=1)
    return np.argwhere(rows.reshape(count[1], count[2], SIZE).any(-1))


def pieces_of(
    places: NDArray[np.int64], blocks: Mapping[str, NDArray[Any]], first: NDArray[np.int64],
    shape: NDArray[np.int64],
) -> Iterator[Piece]:  # fmt: skip
    """Yield the parts of blocks (B, ...), by name, in a grid: their windows and their content."""
    for number, place in enumerate(places * SIZE - first):
        low, high = place.clip(min=0), np.minimum(place + SIZE, shape)
        if (low < high).all():
            inner = slices(low - place, high - place)
            yield slices(low, high), {
                name: values[number][inner] for name, values in blocks.items()}
