"""Floor: how high the ground is, where a robot can drive on it."""
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

LEAST_AREA = 0.5  # m^2 of a level that may be the floor
LEAST_SHARE = 0.2  # of the area of the largest level
SLACK = 3  # layers below a floor in which noise may lie
LARGEST_SLOPE = 0.3  # of what may still be floor
SLOPE_REACH = 0.5  # m, over which it is measured


def lowest_level(areas, occupied, voxel_size):
    """Return the layer of the floor, None where none can be found.

    areas (nz,) are the columns in which a layer is occupied under free space; occupied
    (nx, ny, nz) bool. The floor is the lowest layer with much of that area: tables are higher,
    ceilings have their free space below. If much lies below that layer it is a table, and the
    floor was not seen: a map on a table top would call the table free.
    """
    areas = areas * voxel_size**2
    levels = np.flatnonzero(areas >= max(LEAST_AREA, LEAST_SHARE * areas.max(initial=0)))
    if not len(levels):
        return None
    below = occupied[:, :, : max(levels[0] - SLACK + 1, 0)].any(-1)
    return None if np.count_nonzero(below) * voxel_size**2 > LEAST_AREA else int(levels[0])


def climb(max_step, voxel_size):
    """Return how many layers a step of max_step [m] is."""
    return int(np.floor(max_step / voxel_size + 1e-6))


def heights(tops, ground, level, max_step, voxel_size):
    """Return the layer of the floor around each column, (nx, ny) int, from one level of it.

    tops (nx, ny) are the layers where it may be, if there is ground (nx, ny). The floor goes on
    where the next column ends at most max_step [m] higher or lower, and not steeper than
    LARGEST_SLOPE; elsewhere the nearest floor counts. So a ramp and a threshold are floor, a wall
    stands on it, and a table top is not reached.
    """
    ground = _reached(ground, tops, level, climb(max_step, voxel_size))
    if not ground.any():
        return np.full(tops.shape, level)
    reach = 2 * int(SLOPE_REACH / voxel_size) + 1
    around = ndimage.minimum_filter(np.where(ground, tops, tops.max() + 1), reach)
    ground &= (tops - around) * voxel_size <= max_step + LARGEST_SLOPE * SLOPE_REACH
    nearest = ndimage.distance_transform_edt(
        ~ground, return_distances=False, return_indices=True)
    return tops[tuple(nearest)]


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
