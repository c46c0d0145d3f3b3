"""Octree: the serialized tree is read back, by a reader that follows OctoMap's own."""
import numpy as np
import pytest
from randomness import generator

from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf.products.grids import VoxelGrid
from instant_nerf_ros.nerf.products.octree import octree

SIZE = 0.05
STATES = {1: FREE, 2: OCCUPIED}  # by the two bits of a child in OctoMap


def leaves(data):
    """Yield (key of the lowest leaf, edge in leaves, state), like octomap::readBinaryNode."""
    stream = iter(data)

    def node(key, edge):
        bits = next(stream) | next(stream) << 8
        half = edge // 2
        children = [(bits >> 2 * i & 3, key + half * np.array([i & 1, i >> 1 & 1, i >> 2]))
                    for i in range(8)]  # fmt: skip
        for code, corner in children:
            if code in STATES:
                yield corner, half, STATES[code]
        for code, corner in children:
            if code == 3:
                yield from node(corner, half)

    yield from node(np.zeros(3, int), 2**16)
    assert not list(stream)


def read_states(data, first, shape):
    """Return the states of a box of half voxels, from the voxel with lattice index `first` on."""
    states = np.full(np.array(shape) * 2, UNKNOWN, np.int8)
    # The lattice of the voxels is half a voxel, which is one leaf, lower in z.
    start = 2 * np.asarray(first) - [0, 0, 1] + 2**15
    for key, edge, state in leaves(data):
        low, high = key - start, key - start + edge
        assert (low >= 0).all() and (high <= states.shape).all()
        box = tuple(map(slice, low, high))
        assert (states[box] == UNKNOWN).all()
        states[box] = state
    return states


@pytest.mark.parametrize(('shape', 'first'), [
    ((2, 1, 1), (0, 0, 0)), ((9, 7, 5), (-4, 3, -2)), ((16, 16, 16), (-8, -8, -8)),
    ((21, 10, 30), (333, -777, 5))])
def test_all_voxels_are_at_their_positions_and_nothing_else_is_known(shape, first):
    states = generator().choice([UNKNOWN, FREE, OCCUPIED], shape, p=[0.3, 0.5, 0.2])
    states[: shape[0] // 2] = FREE
    tree = octree(VoxelGrid(states.astype(np.int8), None, SIZE), first)
    assert tree.resolution == SIZE / 2
    expected = states.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(read_states(tree.data, first, shape), expected)


def test_a_large_free_block_is_one_leaf():
    states = np.full((64, 64, 65), FREE, np.int8)
    states[:, :, 0] = states[:, :, -1] = OCCUPIED  # half of each is outside of the block
    small = octree(VoxelGrid(states, None, SIZE), (0, 0, 0))
    largest = max(edge for _, edge, state in leaves(small.data) if state == FREE)
    assert largest == 32 and len(small.data) < states.size / 4


def test_unknown_space_is_an_empty_tree():
    tree = octree(VoxelGrid(np.full((4, 4, 4), UNKNOWN, np.int8), None, SIZE), (0, 0, 0))
    assert tree.data == b'' and tree.nodes == 0


def test_voxels_for_which_octomap_has_no_keys_are_left_out():
    states = np.full((4, 4, 4), FREE, np.int8)
    tree = octree(VoxelGrid(states, None, SIZE), (2**14 - 2, 0, 0))
    kept = read_states(tree.data, (2**14 - 2, 0, 0), (4, 4, 4))
    assert (kept[:4] == FREE).all() and (kept[4:] == UNKNOWN).all()


def test_octomap_reads_it(tmp_path):
    octomap = pytest.importorskip('pyoctomap')
    shape, first = (12, 9, 7), (-5, -3, -1)
    states = generator().choice([UNKNOWN, FREE, OCCUPIED], shape).astype(np.int8)
    tree = octree(VoxelGrid(states, None, SIZE), first)
    header = (f'# Octomap OcTree binary file\nid OcTree\nsize {tree.nodes}\n'
              f'res {tree.resolution}\ndata\n')  # fmt: skip
    (tmp_path / 'map.bt').write_bytes(header.encode() + tree.data)
    read = octomap.OcTree(1.0)
    assert read.readBinary(str(tmp_path / 'map.bt')) and read.size() == tree.nodes
    for index, state in np.ndenumerate(states):
        node = read.search((np.array(first) + index + [0.5, 0.5, 0.0] - [0.01, 0.01, 0.01]) * SIZE)
        found = UNKNOWN if node is None else OCCUPIED if read.isNodeOccupied(node) else FREE
        assert found == state
