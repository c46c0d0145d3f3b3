"""Octree: the voxels in the binary format of OctoMap (Hornung et al. 2013)."""
import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.constants import FREE, OCCUPIED
from instant_nerf_ros.nerf.products.grids import VoxelGrid

DEPTH = 16  # levels of an OctoMap: the root has 2^16 leaves along each axis
CENTER_KEY = 2 ** (DEPTH - 1)  # key of the leaf whose lower corner is the origin of the world
UNKNOWN_NODE, FREE_NODE, OCCUPIED_NODE, INNER_NODE = range(4)  # the two bits of a child
CHILDREN = np.array([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)])  # x, y, z of child i

Codes = NDArray[np.uint8]  # (nx, ny, nz) of *_NODE
Key = NDArray[np.int64]  # (3,)
Level = tuple[Codes, Key]  # the nodes of a level in a box, and the key of the first, in nodes


@dataclasses.dataclass(frozen=True)
class Octree:
    """A binary OctoMap: its leaves are free, occupied or unknown."""

    data: bytes  # as written by octomap::OcTree::writeBinaryData
    resolution: float  # metres, edge of a leaf: half a voxel
    nodes: int  # number of nodes, including the root


def octree(voxels: VoxelGrid, first: ArrayLike) -> Octree:
    """Return the Octree of a VoxelGrid whose first voxel has a lattice index (3,) in the world.

    The borders of OctoMap's leaves are multiples of the edge of a leaf. Those of the voxels are
    multiples of the edge of a voxel in x and y only: in z they are shifted by half a voxel. So a
    leaf is half a voxel. Voxels that are more than 2^15 leaves from the origin are left out, as
    OctoMap has no keys for them.
    """
    codes = np.zeros(voxels.states.shape, np.uint8)
    codes[voxels.states == FREE] = FREE_NODE
    codes[voxels.states == OCCUPIED] = OCCUPIED_NODE
    # Node k of the first level covers the upper half of voxel k - 1 and the lower half of voxel k.
    lower, upper = (np.pad(codes, ((0, 0), (0, 0), padding)) for padding in ((1, 0), (0, 1)))
    start = np.asarray(first, dtype=np.int64) + [0, 0, -1] + CENTER_KEY // 2
    lower, upper, start = _crop(lower, upper, start)
    levels = [(_merge(lower, upper), start)]
    for _ in range(DEPTH - 1):
        levels.append(_parents(*levels[-1]))
    return _serialize(levels, lower, upper, voxels.voxel_size / 2)


def _crop(lower: Codes, upper: Codes, start: Key) -> tuple[Codes, Codes, Key]:
    """Remove the nodes of the first level for which an OctoMap has no keys."""
    low = np.clip(-start, 0, lower.shape)
    high = np.clip(CENTER_KEY - start, low, lower.shape)
    inside = tuple(map(slice, low, high))
    return lower[inside], upper[inside], start + low


def _merge(one: Codes, other: Codes) -> Codes:
    """Return the code of nodes with two kinds of children."""
    return np.where(one == other, one, np.uint8(INNER_NODE))


def _parents(codes: Codes, start: Key) -> Level:
    """Return the nodes one level up."""
    return _reduce_children(codes, start, _merge), start // 2


def _reduce_children(
    values: Codes, start: Key, reduce: Callable[[Codes, Codes], Codes],
) -> Codes:  # fmt: skip
    """Reduce the values of the eight children of each node, in pairs, to one."""
    before = start % 2
    after = (before + values.shape) % 2
    if before.any() or after.any():
        values = np.pad(values, list(zip(before, after)))
    values = reduce(values[::2], values[1::2])
    values = reduce(values[:, ::2], values[:, 1::2])
    return reduce(values[:, :, ::2], values[:, :, 1::2])


def _serialize(levels: list[Level], lower: Codes, upper: Codes, resolution: float) -> Octree:
    """Write the inner nodes depth first: each before its children, these before its sibling."""
    if not (levels[-1][0] == INNER_NODE).any():
        return Octree(b'', resolution, 0)  # all is unknown
    sizes = _sizes(levels)
    data = np.zeros((int(sizes[-1].sum()), 2), np.uint8)  # two bytes of an inner node
    index, position, nodes = np.zeros((1, 3), int), np.zeros(1, int), 1
    for level in range(len(levels) - 1, 0, -1):
        codes, shift = levels[level - 1][0], levels[level][1] * 2 - levels[level - 1][1]
        child_index = index[:, None] * 2 + CHILDREN + shift
        inside = ((child_index >= 0) & (child_index < codes.shape)).all(axis=-1)
        child_index = child_index.clip(0, np.array(codes.shape) - 1)
        flat = np.ravel_multi_index(tuple(np.moveaxis(child_index, -1, 0)), codes.shape)
        children = np.where(inside, codes.reshape(-1)[flat], np.uint8(UNKNOWN_NODE))
        data[position] = _bytes(children)
        nodes += int(np.count_nonzero(children))
        inner = children == INNER_NODE
        lengths = np.where(inner, sizes[level - 1].reshape(-1)[flat].astype(np.int64), 0)
        position = (position[:, None] + 1 + np.cumsum(lengths, axis=1) - lengths)[inner]
        index = child_index[inner]
    flat = np.ravel_multi_index(tuple(index.T), lower.shape)
    halves = lower.reshape(-1)[flat], upper.reshape(-1)[flat]
    leaves = np.stack(halves, axis=-1).repeat(4, axis=-1)
    data[position] = _bytes(leaves)
    return Octree(data.tobytes(), resolution, nodes + int(np.count_nonzero(leaves)))


def _bytes(children: Codes) -> NDArray[np.uint8]:
    """Return the two bytes (N, 2) of nodes with the codes of their children (N, 8)."""
    bits = children.reshape(-1, 2, 4) << np.array([0, 2, 4, 6], np.uint8)
    return np.asarray(bits.sum(axis=-1), dtype=np.uint8)


def _sizes(levels: list[Level]) -> list[NDArray[np.integer]]:
    """Return the number of inner nodes in the subtree of each node, by level."""
    sizes = [(levels[0][0] == INNER_NODE).view(np.uint8)]  # eight of them fit
    for (_, start), (codes, _) in zip(levels, levels[1:]):
        below = _reduce_children(sizes[-1], start, np.add)
        sizes.append(np.where(codes == INNER_NODE, below.astype(np.int32) + 1, 0))
    return sizes
