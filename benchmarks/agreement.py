"""Agreement of a grid of occupied, free and unknown cells with the ground truth."""
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import spatial

from instant_nerf_ros.data.metrics import FREE, OCCUPIED, UNKNOWN, dilate

STATES = {'occupied': OCCUPIED, 'free': FREE, 'unknown': UNKNOWN}
NEAR = 0.10  # m


def aligned(
    states: NDArray[np.int8], origin: ArrayLike,
    truth: tuple[NDArray[np.int8], ArrayLike, float],
) -> NDArray[np.int8]:  # fmt: skip
    """Return a grid (2D or 3D) on the cells of the ground truth, unknown outside the grid.

    truth: states, origin [m] and voxel size [m]; both grids are on one lattice.
    """
    true_states, true_origin, size = truth
    shape = np.array(true_states.shape)
    offset = np.round(np.subtract(true_origin, origin) / size).astype(int)
    first, last = np.maximum(offset, 0), np.minimum(offset + shape, states.shape)
    part = np.full(shape, UNKNOWN, np.int8)
    if (last > first).all():
        part[tuple(map(slice, first - offset, last - offset))] = states[
            tuple(map(slice, first, last))]
    return part


def agreement(states: NDArray[np.int8], truth: NDArray[np.int8]) -> dict[str, float | None]:
    """Return precision, recall and IoU of each state, and fractions within one voxel [%].

    A ground truth from other images has unknown cells itself: occupied and free are evaluated
    where it is known, unknown everywhere.
    """
    figures = {}
    for name, state in STATES.items():
        evaluated = np.full(truth.shape, True) if state == UNKNOWN else truth != UNKNOWN
        ours, true = (states == state) & evaluated, truth == state
        both = (ours & true).sum()
        figures[f'{name}: precision [%]'] = percentage(both, ours.sum())
        figures[f'{name}: recall [%]'] = percentage(both, true.sum())
        figures[f'{name}: IoU [%]'] = percentage(both, (ours | true).sum())
    ours, true, free = states == OCCUPIED, truth == OCCUPIED, states == FREE
    evaluated = ours & dilate(truth != UNKNOWN)
    return figures | {
        'occupied found, within a voxel [%]': percentage((true & dilate(ours)).sum(), true.sum()),
        'occupied correct, within a voxel [%]': percentage(
            (evaluated & dilate(true)).sum(), evaluated.sum()),
        'free that is occupied [%]': percentage(
            (free & true).sum(), (free & (truth != UNKNOWN)).sum()),
        'occupied called free [%]': percentage((free & true).sum(), true.sum()),
    }


def distances(
    states: NDArray[np.int8], truth: NDArray[np.int8], size: float,
) -> dict[str, float | None]:  # fmt: skip
    """Return mean distances between occupied voxels in both directions [cm], and fractions [%].

    All are None if a grid has no occupied voxel. size: of a voxel [m].
    """
    names = ('from the map to the truth [cm]', 'from the truth to the map [cm]',
             'of the map within 10 cm [%]', 'of the truth within 10 cm [%]')
    points = [np.argwhere(grid == OCCUPIED) * size for grid in (states, truth)]
    if not all(map(len, points)):
        return dict.fromkeys(names)
    nearest = [spatial.cKDTree(to).query(of)[0] for of, to in (points, points[::-1])]
    return dict(zip(names, [100 * lengths.mean() for lengths in nearest]
                    + [100 * (lengths <= NEAR + 1e-6).mean() for lengths in nearest]))


def percentage(part: float, whole: float) -> float | None:
    """Return part / whole [%], None if whole is zero."""
    return 100 * part / whole if whole else None
