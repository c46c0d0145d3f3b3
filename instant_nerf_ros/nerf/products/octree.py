"""Octree: the voxels as OctoMap serialises them (Hornung et al. 2013)."""
import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from instant_nerf_ros.nerf.constants import FREE, OCCUPIED
from instant_nerf_ros.nerf.products.grids import VoxelGrid

DEPTH = 16  # levels of an OctoMap: a root of 2^16 leaves along each axis
MIDDLE = 2 ** (DEPTH - 1)  # key of the leaf whose lower corner is the world's origin
UNKNOWN_NODE, FREE_NODE, OCCUPIED_NODE, INNER_NODE = range(4)  # the two bits of a child


@dataclasses.dataclass(frozen=True)
class Octree:
    """An OctoMap, binary: nodes are free, occupied or unknown."""

    data: bytes  # as octomap::OcTree::writeBinaryData has it
    resolution: float  # metres, edge of the leaves: half a voxel
    nodes: int  # that exist, the root among them


def octree(voxels: VoxelGrid, first: ArrayLike) -> Octree:
    """Return the Octree of a VoxelGrid whose first voxel has a lattice index (3,) in the world.

    The borders of OctoMap's leaves lie on multiples of their edge, those of the voxels only in x
    and y; leaves of half a voxel fit in z, too. Voxels more than 2^15 leaves from the origin are
    left out, as OctoMap has no keys for them.
    """
    codes = np.zeros(voxels.states.shape, np.uint8)
    codes[voxels.states == FREE] = FREE_NODE
    codes[voxels.states == OCCUPIED] = OCCUPIED_NODE
    # Node m of the first level has the upper half of voxel m below, the lower one of m + 1 above.
    halves = [np.pad(codes, ((0, 0), (0, 0), padding)) for padding in ((1, 0), (0, 1))]
    lower, upper, start = _inside(*halves, np.asarray(first) + [0, 0, -1] + MIDDLE // 2)
    levels = [(np.where(lower == upper, lower, np.uint8(INNER_NODE)), start)]
    for _ in range(DEPTH - 1):
        levels.append(_parents(*levels[-1]))
    return _serialised(levels, lower, upper, voxels.voxel_size / 2)


def _inside(lower, upper, start):
    """Cut what an OctoMap has no keys for, in nodes of the first level."""
    low = np.clip(-start, 0, lower.shape)
    high = np.clip(MIDDLE - start, low, lower.shape)
    inside = tuple(map(slice, low, high))
    return lower[inside], upper[inside], start + low


def _parents(codes, start):
    """Return the codes of the nodes one level up, and the key of the first."""
    return _joined(
        codes, start, lambda one, other: np.where(one == other, one, np.uint8(INNER_NODE))
    ), start // 2


def _joined(values, start, join):
    """Join the values of the eight children of each node, those of two at a time."""
    before = start % 2
    after = (before + values.shape) % 2
    if before.any() or after.any():
        values = np.pad(values, list(zip(before, after)))
    values = join(values[::2], values[1::2])
    values = join(values[:, ::2], values[:, 1::2])
    return join(values[:, :, ::2], values[:, :, 1::2])


def _serialised(levels, lower, upper, resolution):
    """Write the inner nodes, each before its children and these before its next sibling."""
    if not (levels[-1][0] == INNER_NODE).any():
        return Octree(b'', resolution, 0)  # nothing is known
    sizes = _sizes(levels)
    written = np.zeros((int(sizes[-1].sum()), 2), np.uint8)  # by the inner nodes
    index, position, nodes = np.zeros((1, 3), int), np.zeros(1, int), 1
    corners = np.array([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)])
    for level in range(len(levels) - 1, -1, -1):
        if level:
            codes, shift = levels[level - 1][0], levels[level][1] * 2 - levels[level - 1][1]
            places = index[:, None] * 2 + corners + shift
            known = ((places >= 0) & (places < codes.shape)).all(axis=-1)
            places = places.clip(0, np.array(codes.shape) - 1)
            flat = np.ravel_multi_index(tuple(np.moveaxis(places, -1, 0)), codes.shape)
            children = np.where(known, codes.reshape(-1)[flat], UNKNOWN_NODE)
            within = sizes[level - 1].reshape(-1)[flat].astype(np.int64)
            lengths = np.where(children == INNER_NODE, within, 0)
        else:
            flat = np.ravel_multi_index(tuple(index.T), lower.shape)
            halves = lower.reshape(-1)[flat], upper.reshape(-1)[flat]
            children = np.stack(halves, axis=-1).repeat(4, axis=-1)
            lengths = np.zeros(children.shape, int)
        bits = children.astype(np.uint8).reshape(-1, 2, 4) << np.array([0, 2, 4, 6], np.uint8)
        written[position] = bits.sum(axis=-1)
        nodes += np.count_nonzero(children)
        if level:
            inner = children == INNER_NODE
            position = (position[:, None] + 1 + np.cumsum(lengths, axis=1) - lengths)[inner]
            index = places[inner]
    return Octree(written.tobytes(), resolution, int(nodes))


def _sizes(levels):
    """Return how many inner nodes the tree of each node has, itself among them, by level."""
    sizes = [(levels[0][0] == INNER_NODE).view(np.uint8)]  # eight of them fit
    for (_, start), (codes, _) in zip(levels, levels[1:]):
        below = _joined(sizes[-1], start, np.add)
        sizes.append(np.where(codes == INNER_NODE, below.astype(np.int32) + 1, 0))
    return sizes
