"""Floor: the height of the ground on which a robot drives, around each column of voxels."""
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph

MIN_AREA = 0.5  # m^2 of a layer that may be the floor
MIN_SHARE = 0.2  # of the area of the largest layer
NOISE_LAYERS = 3  # layers below the floor in which occupied voxels are noise
MAX_SLOPE = 0.3  # of the floor
SLOPE_DISTANCE = 0.5  # metres, over which the slope is measured


def lowest_layer(
    areas: NDArray[np.int64], lowest: NDArray[np.int64], voxel_size: float,
) -> int | None:  # fmt: skip
    """Return the layer of the floor, None if there is none.

    areas (nz,): numbers of columns in which a layer is occupied under free space; lowest (nx, ny):
    the lowest occupied layer of each column, nz without any; voxel_size [m]. The floor is the
    lowest layer with a large area: tables are higher, and ceilings have their free space below
    them. If there is much below that layer, it is a table and the floor is not visible: a map on
    the table top would mark the table as free.
    """
    areas_m2 = areas * voxel_size**2
    layers = np.flatnonzero(areas_m2 >= max(MIN_AREA, MIN_SHARE * areas_m2.max(initial=0)))
    if not len(layers):
        return None
    below = lowest < layers[0] - NOISE_LAYERS + 1
    return None if np.count_nonzero(below) * voxel_size**2 > MIN_AREA else int(layers[0])


def step_layers(max_step: float, voxel_size: float) -> int:
    """Return the number of layers in a step of max_step [m]."""
    return int(np.floor(max_step / voxel_size + 1e-6))


def floor_layers(
    tops: NDArray[np.int64], ground: NDArray[np.bool_], layer: int, max_step: float,
    voxel_size: float,
) -> NDArray[np.int64]:  # fmt: skip
    """Return the layer of the floor in each column, (nx, ny), from its layer at the robot.

    tops (nx, ny) are the layers that may be floor, in the columns with ground (nx, ny). The floor
    continues to a neighbor column whose top is at most max_step [m] higher or lower, and where it
    is not steeper than MAX_SLOPE. Elsewhere it is as high as the nearest floor. So ramps and
    thresholds are floor, a wall stands on it, and a table top is not connected.
    """
    ground = _connected(ground, tops, layer, step_layers(max_step, voxel_size))
    if not ground.any():
        return np.full(tops.shape, layer)
    steepest = max_step + MAX_SLOPE * SLOPE_DISTANCE
    if np.ptp(tops[ground]) * voxel_size > steepest:
        window = 2 * int(SLOPE_DISTANCE / voxel_size) + 1
        lowest = ndimage.minimum_filter(np.where(ground, tops, tops.max() + 1), window)
        ground &= (tops - lowest) * voxel_size <= steepest
    nearest = ndimage.distance_transform_edt(
        ~ground, return_distances=False, return_indices=True)
    return tops[tuple(nearest)]


def _connected(
    ground: NDArray[np.bool_], tops: NDArray[np.int64], layer: int, max_step: int,
) -> NDArray[np.bool_]:  # fmt: skip
    """Return the ground (nx, ny) that steps of max_step layers connect with ground in a layer."""
    start = ground & (np.abs(tops - layer) <= 1)
    others = np.flatnonzero(ground & ~start)  # few, if the ground is flat
    numbers = np.zeros(ground.shape, np.int64)  # of columns; all that start have 0
    numbers.flat[others] = np.arange(1, len(others) + 1)
    pairs = []
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        joined = ground[one] & ground[other] & ((numbers[one] > 0) | (numbers[other] > 0))
        joined[joined] = np.abs(tops[one][joined] - tops[other][joined]) <= max_step
        pairs.append(np.stack([numbers[one][joined], numbers[other][joined]]))
    rows, neighbors = np.concatenate(pairs, axis=1)
    graph = sparse.coo_matrix(
        (np.ones(len(rows), np.int8), (rows, neighbors)), shape=(len(others) + 1,) * 2)
    _, labels = csgraph.connected_components(graph, directed=False)
    start.flat[others] = labels[1:] == labels[0]
    return start
