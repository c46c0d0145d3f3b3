"""Floor: how high the ground is, where a robot can drive on it."""
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

OCCUPIED, FREE = 100, 0
LEAST_AREA = 0.5  # m^2 of a level that may be the floor
LEAST_SHARE = 0.2  # of the area of the largest level
LARGEST_SLOPE = 0.3  # of what may still be floor
SLOPE_REACH = 0.5  # m, over which it is measured


def lowest_level(states, voxel_size):
    """Return the layer of the floor in states (nx, ny, nz), None where none can be found.

    It is the lowest layer with much occupied under free space: tables are higher, ceilings have
    their free space below.
    """
    ground = (states[:, :, :-1] == OCCUPIED) & (states[:, :, 1:] == FREE)
    areas = np.count_nonzero(ground, axis=(0, 1)) * voxel_size**2
    levels = np.flatnonzero(areas >= max(LEAST_AREA, LEAST_SHARE * areas.max(initial=0)))
    return int(levels[0]) if len(levels) else None


def heights(states, level, max_step, voxel_size):
    """Return the layer of the floor around each column, (nx, ny) int, from one level of it.

    The floor goes on where the next column ends at most max_step [m] higher or lower, under free
    space, and not steeper than LARGEST_SLOPE; elsewhere the nearest floor counts. So a ramp and a
    threshold are floor, a wall stands on it, and a table top is not reached.
    """
    step = int(np.floor(max_step / voxel_size + 1e-6))
    occupied = states == OCCUPIED
    lowest = occupied.argmax(axis=2)
    solid = np.take_along_axis(occupied, lowest[:, :, None], axis=2)[:, :, 0]
    top = lowest
    for _ in range(step + 1):  # what is higher makes a step anyway
        above = np.minimum(top + 1, states.shape[2] - 1)[:, :, None]
        top = top + np.take_along_axis(occupied, above, axis=2)[:, :, 0]
    above = np.minimum(top + 1, states.shape[2] - 1)[:, :, None]
    free = np.take_along_axis(states, above, axis=2)[:, :, 0] == FREE
    ground = _reached(solid & free, top, level, step)
    if not ground.any():
        return np.full(top.shape, level)
    reach = 2 * int(SLOPE_REACH / voxel_size) + 1
    around = ndimage.minimum_filter(np.where(ground, top, states.shape[2]), reach)
    ground &= (top - around) * voxel_size <= max_step + LARGEST_SLOPE * SLOPE_REACH
    nearest = ndimage.distance_transform_edt(
        ~ground, return_distances=False, return_indices=True)
    return top[tuple(nearest)]


def _reached(ground, top, level, step):
    """Return the ground that small steps connect with ground at the level."""
    number = np.arange(ground.size).reshape(ground.shape)
    pairs = []
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        joined = ground[here] & ground[there] & (np.abs(top[here] - top[there]) <= step)
        pairs.append(np.stack([number[here][joined], number[there][joined]]))
    first, second = np.concatenate(pairs, axis=1)
    graph = sparse.coo_matrix(
        (np.ones(len(first), np.int8), (first, second)), shape=(ground.size,) * 2)
    _, part = csgraph.connected_components(graph, directed=False)
    part = part.reshape(ground.shape)
    start = ground & (np.abs(top - level) <= 1)
    wanted = np.zeros(part.max() + 1, bool)
    wanted[part[start]] = True
    return ground & wanted[part]
