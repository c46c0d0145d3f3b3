"""How well a grid of three states agrees with another, as named figures."""
import numpy as np
from scipy import spatial

from instant_nerf_ros.data.metrics import FREE, OCCUPIED, UNKNOWN, grown

STATES = {'occupied': OCCUPIED, 'free': FREE, 'unknown': UNKNOWN}


def aligned(states, origin, truth):
    """Return the part of a grid (2D or 3D) that a truth covers, unknown where it does not reach.

    truth: its states, origin [m] and voxel size [m]; both are on one lattice.
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


def agreement(ours, truth):
    """Return precision, recall and IoU of each state, and shares within one voxel [%].

    A truth from other images cannot judge what it does not know: occupied and free are judged
    where it does, unknown everywhere.
    """
    figures = {}
    for name, state in STATES.items():
        judged = np.full(truth.shape, True) if state == UNKNOWN else truth != UNKNOWN
        mine, true = (ours == state) & judged, truth == state
        both = (mine & true).sum()
        figures[f'{name}: precision [%]'] = share(both, mine.sum())
        figures[f'{name}: recall [%]'] = share(both, true.sum())
        figures[f'{name}: IoU [%]'] = share(both, (mine | true).sum())
    mine, true, free = ours == OCCUPIED, truth == OCCUPIED, ours == FREE
    judged = mine & grown(truth != UNKNOWN)
    return figures | {
        'occupied found, within a voxel [%]': share((true & grown(mine)).sum(), true.sum()),
        'occupied correct, within a voxel [%]': share(
            (judged & grown(true)).sum(), judged.sum()),
        'free that is occupied [%]': share(
            (free & true).sum(), (free & (truth != UNKNOWN)).sum()),
        'occupied called free [%]': share((free & true).sum(), true.sum()),
    }


def distances(ours, truth, size):
    """Return the mean distances [cm] between occupied voxels both ways, and shares [%].

    All are None where there are none.
    """
    names = ('from the map to the truth [cm]', 'from the truth to the map [cm]',
             'of the map within 10 cm [%]', 'of the truth within 10 cm [%]')
    points = [np.argwhere(states == OCCUPIED) * size for states in (ours, truth)]
    if not all(map(len, points)):
        return dict.fromkeys(names)
    ways = [spatial.cKDTree(to).query(of)[0] for of, to in (points, points[::-1])]
    return dict(zip(names, [100 * way.mean() for way in ways]
                    + [100 * (way <= 0.10 + 1e-6).mean() for way in ways]))


def share(part, whole):
    """Return a share in percent, None of nothing."""
    return 100 * part / whole if whole else None
