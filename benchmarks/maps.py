"""How far a planner can trust the maps: agreement with the truth, and paths driven through it."""
import math
import sys
import time
from pathlib import Path

import numpy as np
from datasets import DATA, load
from report import Table
from scipy import ndimage, sparse, spatial
from scipy.sparse import csgraph

from instant_nerf_ros.data.frames import load_reference
from instant_nerf_ros.data.metrics import FREE, OCCUPIED, UNKNOWN, grown, project
from instant_nerf_ros.nerf.config import MapConfig

sys.path.append(str(Path(__file__).resolve().parents[1] / 'examples'))
from scenes import SimulatedFlat  # noqa: E402

SCENES = ('kitchen', True), ('kitchen', False), ('flat', True), ('flat', False)
RADIUS = 0.18  # m, of the robot
PAIRS = 200
STATES = {'occupied': OCCUPIED, 'free': FREE, 'unknown': UNKNOWN}


def measure(options):
    """Return the tables of all scenes after the last of the times of training."""
    space, band, drives = [], [], []
    for scene in filter(None, (load(*arguments) for arguments in SCENES)):
        mapper, begin = scene.trained(), time.monotonic()
        while time.monotonic() - begin < options.marks[-1]:
            mapper.step()
        truth, origin, size = (
            SimulatedFlat(True, 1.0, 320).reference() if scene.name == 'flat'
            else load_reference(DATA / scene.name))
        voxels, grid, settings = mapper.voxels(), mapper.map(), MapConfig()
        ours = aligned(voxels.states, voxels.origin, truth.shape, origin, size)
        space.append([scene.title, *agreement(ours, truth), *distances(ours, truth, size)])
        plan = project(truth, origin, size, settings.min_height, settings.max_height).T
        cells = aligned(grid.cells.T, grid.origin, plan.shape, origin[:2], size)
        band.append([scene.title, *agreement(cells, plan)])
        drives.append([scene.title, *drive(cells, plan, size)])
    shares = [f'{name} {what} [%]' for name in STATES for what in ('precision', 'recall', 'IoU')]
    near = ['occupied found, 1 voxel [%]', 'correct, 1 voxel [%]', 'free that is occupied [%]',
            'occupied called free [%]']
    return [
        Table(['3D, 5 cm', *shares, *near, 'to truth [cm]', 'to map [cm]', 'within 10 cm [%]',
               'truth within 10 cm [%]'], space),
        Table(['2D, in the band', *shares, *near], band),
        Table(['200 drives', 'possible on the truth', 'planned on the map', 'collisions',
               'success [%]'], drives)]


def aligned(states, origin, shape, truth_origin, size):
    """Return the part of a grid that a truth covers, unknown where it does not reach."""
    offset = np.round(np.subtract(truth_origin, origin) / size).astype(int)
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
    figures = []
    for state in STATES.values():
        judged = np.full(truth.shape, True) if state == UNKNOWN else truth != UNKNOWN
        mine, true = (ours == state) & judged, truth == state
        both = (mine & true).sum()
        figures += [share(both, mine.sum()), share(both, true.sum()),
                    share(both, (mine | true).sum())]
    mine, true, free = ours == OCCUPIED, truth == OCCUPIED, ours == FREE
    judged = mine & grown(truth != UNKNOWN)
    return [*figures, share((true & grown(mine)).sum(), true.sum()),
            share((judged & grown(true)).sum(), judged.sum()),
            share((free & true).sum(), (free & (truth != UNKNOWN)).sum()),
            share((free & true).sum(), true.sum())]


def share(part, whole):
    """Return a share in percent."""
    return 100 * part / whole if whole else math.nan


def distances(ours, truth, size):
    """Return the mean distances [cm] between occupied voxels both ways, and shares [%]."""
    points = [np.argwhere(states == OCCUPIED) * size for states in (ours, truth)]
    there, back = (
        spatial.cKDTree(to).query(of)[0] for of, to in (points, points[::-1]))
    return [100 * there.mean(), 100 * back.mean(),
            100 * (there <= 0.10 + 1e-6).mean(), 100 * (back <= 0.10 + 1e-6).mean()]


def drive(cells, truth, size):
    """Plan PAIRS paths on a map and follow them in the truth.

    Starts and goals are drawn where a robot fits in the truth; unknown is no way. Return the pairs
    that the truth connects, those planned on the map, the paths that touch something, and the
    successes as a share of what is possible [%].
    """
    solid = ndimage.distance_transform_edt(truth != OCCUPIED) * size
    graphs = [Roadmap(states, size) for states in (truth, cells)]
    places = np.argwhere(graphs[0].fits)
    if not len(places):
        return [0, 0, 0, math.nan]
    random = np.random.default_rng(0)
    possible = planned = collisions = successes = 0
    for start, goal in places[random.integers(len(places), size=(PAIRS, 2))]:
        if graphs[0].path(start, goal) is None:
            continue
        possible += 1
        path = graphs[1].path(start, goal)
        if path is not None:
            planned += 1
            # The border of a cell is half an edge nearer than its middle.
            hit = (solid[tuple(path.T)] - size / 2 < RADIUS).any()
            collisions += int(hit)
            successes += int(not hit)
    return [possible, planned, collisions, share(successes, possible)]


class Roadmap:
    """The free cells of a map in which a robot fits, joined with their eight neighbours."""

    def __init__(self, states, size):
        """Find where it fits: further than its radius from all that is not free."""
        self.fits = ndimage.distance_transform_edt(np.pad(states == FREE, 1))[
            1:-1, 1:-1] * size - size / 2 >= RADIUS
        number = np.arange(self.fits.size).reshape(self.fits.shape)
        edges = []
        for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1)):
            here = np.s_[max(0, -dx):self.fits.shape[0] - max(0, dx),
                         max(0, -dy):self.fits.shape[1] - max(0, dy)]
            there = np.s_[max(0, dx):, max(0, dy):self.fits.shape[1] + min(0, dy)]
            both = self.fits[here] & self.fits[there]
            edges.append(np.stack([number[here][both], number[there][both],
                                   np.full(both.sum(), math.hypot(dx, dy))]))
        first, second, length = np.concatenate(edges, axis=1)
        self.graph = sparse.csr_matrix(
            (length, (first.astype(int), second.astype(int))), shape=(number.size,) * 2)

    def path(self, start, goal):
        """Return the cells (N, 2) of the shortest path, None where there is none."""
        if not (self.fits[tuple(start)] and self.fits[tuple(goal)]):
            return None
        ends = [np.ravel_multi_index(tuple(end), self.fits.shape) for end in (start, goal)]
        _, before = csgraph.dijkstra(
            self.graph, directed=False, indices=ends[0], return_predecessors=True)
        cells = [ends[1]]
        while cells[-1] != ends[0]:
            if before[cells[-1]] < 0:
                return None
            cells.append(before[cells[-1]])
        return np.stack(np.unravel_index(cells[::-1], self.fits.shape), axis=-1)
