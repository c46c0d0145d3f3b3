"""The content of an occupancy grid as arrays, of the voxels with any content only."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from instant_nerf_ros.nerf.config import OccupancyConfig
from instant_nerf_ros.nerf.constants import MISS_WEIGHT
from instant_nerf_ros.nerf.local_frame import LocalFrame
from instant_nerf_ros.nerf.occupancy.blocks import ALL, Piece, block_type, pieces_of, to_blocks
from instant_nerf_ros.nerf.occupancy.content import Content
from instant_nerf_ros.nerf.occupancy.lattice import corners, slices
from instant_nerf_ros.nerf.occupancy.occupancy_grid import OccupancyGrid
from instant_nerf_ros.nerf.occupancy.sparse_memory import most_voxels, zeros

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend


def to_arrays(occupancy: OccupancyGrid) -> dict[str, NDArray[Any]]:
    """Return the content by name, in blocks.

    first, shape, low and high are lattice indices and sizes (3,), places (B, 3) those of `blocks`.
    """
    places, blocks = to_blocks(occupancy, ALL)
    return {
        'first': occupancy.first, 'shape': np.array(occupancy.shape),
        'low': occupancy.content.low.cpu().numpy().astype(int),
        'high': occupancy.content.high.cpu().numpy().astype(int),
        'places': places, **{name: blocks[name] for name in ALL}}


def weighted(hits: NDArray[np.uint8], misses: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Return weighted votes, by name, for the votes of files in which all weighed the same.

    The states stay what they were: occupied with at least 2 hits and at most 3 misses a hit, free
    with at least 2 misses and more than 8 a hit, else unknown.
    """
    h, m = hits.astype(int), misses.astype(int)
    known = ((h >= 2) & (3 * h >= m)) | ((m >= 2) & (8 * h < m))
    return {'hits': np.where(known, 3 * MISS_WEIGHT * h, 0).clip(max=255).astype(np.uint8),
            'misses': np.where(known, MISS_WEIGHT * m, 0).clip(max=255).astype(np.uint8)}


def from_arrays(
    config: OccupancyConfig, arrays: Mapping[str, NDArray[Any]], backend: Backend,
    frame: LocalFrame,
) -> OccupancyGrid:  # fmt: skip
    """Return a grid with the content of `to_arrays`, or with one box of it that begins at start.

    start (3,): the index in the grid, as in older files. Raises ValueError if it is invalid.
    """
    first, shape = (arrays[name].astype(np.int64) for name in ('first', 'shape'))
    if {first.shape, shape.shape} != {(3,)} or (shape < 0).any() or (
            np.prod(shape.astype(float)) > most_voxels(backend.DEVICE)):
        raise ValueError(f'there is no grid of {shape} voxels from {first} on')
    contents = {name: arrays[name] for name in ALL}
    pieces: list[Piece]
    if 'start' in arrays:
        start = arrays['start'].astype(np.int64)
        stop = start + contents['density_state'].shape
        if start.shape != (3,) or (start < 0).any() or (stop > shape).any():
            raise ValueError(f'there is nothing from {start} to {stop} in {shape} voxels')
        pieces = [(slices(start, stop), contents)]
    else:
        places = arrays['places'].astype(np.int64)
        _check_blocks(places, contents)
        pieces = list(pieces_of(places, contents, first, shape))
    occupancy = OccupancyGrid(config, np.zeros(3), backend, frame)
    restore(occupancy, first, shape, (arrays['low'], arrays['high']), pieces)
    return occupancy


def restore(
    occupancy: OccupancyGrid, first: NDArray[np.int64], shape: NDArray[np.int64],
    votes: tuple[NDArray[np.float64], NDArray[np.float64]], pieces: Sequence[Piece],
) -> None:  # fmt: skip
    """Replace the content of a grid, and its first voxel (3,) and shape.

    votes: the corners (3,) of the box of all votes on the lattice; pieces: the content.
    Raises ValueError if an array has another shape or type than the grid of its name, or if there
    is no memory; nothing has changed then.
    """
    try:
        grids = {name: zeros((*shape, *grid.shape[3:]), grid.dtype, grid.device)
                 for name, grid in ((name, getattr(occupancy, name)) for name in ALL)}
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        raise ValueError(f'there is no memory for {shape} voxels') from error
    content = Content(first, shape, occupancy.backend.DEVICE, votes)
    for window, contents in pieces:
        content.touch(*(first + corner for corner in corners(window)))
        for name, values in contents.items():
            part, saved = grids[name][window], torch.from_numpy(np.ascontiguousarray(values))
            if part.shape != saved.shape or part.dtype != saved.dtype:
                raise ValueError(f'{name} is {tuple(saved.shape)} {saved.dtype}, unlike others')
            part.copy_(saved)
    occupancy.restore(first, content, grids)


def _check_blocks(places: NDArray[np.int64], blocks: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError unless blocks have the shapes and types of their names."""
    none = np.empty(0, block_type(ALL))
    for name, values in blocks.items():
        if places.shape[1:] != (3,) or values.shape != (len(places), *none[name].shape[1:]) or (
                values.dtype != none[name].dtype):
            raise ValueError(f'{name} is {values.shape} {values.dtype}, unlike others')
