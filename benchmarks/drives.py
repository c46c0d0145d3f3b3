"""Drives of a robot: paths planned on a map, and followed among the true obstacles."""
import copy
import math
from pathlib import Path

import numpy as np
from agreement import percentage
from environments import run_script
from ground_truth import GroundTruth
from numpy.typing import NDArray
from scipy import ndimage

from instant_nerf_ros.data.metrics import FREE

RADIUS = 0.18  # m, of the robot
PAIRS = 200
SHORTEN = 0.2  # s, to shorten a path
SUBCELLS = 20  # along the edge of a cell, for the positions of the robot
STEP = 0.005  # m, between the positions of a path that are tested for collisions
TOLERANCE = 1e-3  # m: how much nearer it may come between two positions that the planner checked

PlannedPath = NDArray[np.float64] | None  # (N, 2) m, None: the planner found none


class ConfigurationSpace:
    """The positions where the center of the robot may be on a map: where all around is free."""

    def __init__(self, cells: NDArray[np.int8], truth: GroundTruth, margin: float) -> None:
        """Cells (nx, ny): a map on the cells of the ground truth; margin beyond RADIUS [m]."""
        fine = np.pad(cells == FREE, 1).repeat(SUBCELLS, axis=0).repeat(SUBCELLS, axis=1)
        self.size = truth.voxel_size / SUBCELLS
        self.origin = truth.origin[:2] - truth.voxel_size
        # From anywhere in a subcell to anywhere in another, the distance may be a diagonal less
        # than between their centers.
        self._clearance = ndimage.distance_transform_edt(fine).astype(np.float32)
        self._set_margin(margin)

    def with_margin(self, margin: float) -> 'ConfigurationSpace':
        """Return the positions with another margin beyond RADIUS [m], which takes less time."""
        other = copy.copy(self)
        other._set_margin(margin)
        return other

    def _set_margin(self, margin: float) -> None:
        self.fits = (self._clearance - math.sqrt(2)) * self.size >= RADIUS + margin
        self._component, _ = ndimage.label(self.fits, np.ones((3, 3)))

    def random_positions(self, count: int) -> NDArray[np.float64]:
        """Return random positions (count, 2) [m] where the robot fits."""
        cells, random = np.argwhere(self.fits), np.random.default_rng(0)
        return self.origin + self.size * (cells[random.integers(len(cells), size=count)] + 0.5)

    def connected(self, pairs: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return for which pairs of start and goal (P, 2, 2) [m] there is a way, (P,)."""
        index = np.floor((pairs - self.origin) / self.size).astype(int)
        start, goal = self._component[tuple(np.moveaxis(index, -1, 0))].T
        return np.asarray((start == goal) & (start > 0))

    def parts(self) -> NDArray[np.float64]:
        """Return the areas of the parts between which there is no way, the largest first [m^2]."""
        return np.sort(np.bincount(self._component.ravel())[1:])[::-1] * self.size**2

    def plan(
        self, pairs: NDArray[np.float64], python: Path, shorten: float = SHORTEN,
    ) -> list[PlannedPath]:  # fmt: skip
        """Return a path for each pair of start and goal (P, 2, 2) [m].

        shorten: the time to shorten each path [s]. The planner is only called if start and goal
        are connected: its search would not end.
        """
        connected = np.flatnonzero(self.connected(pairs))
        paths: list[PlannedPath] = [None] * len(pairs)
        for number, path in zip(connected, run_script(python, 'planner.py', {
                'fits': self.fits, 'origin': self.origin, 'size': self.size,
                'pairs': pairs[connected], 'shorten': shorten})):
            paths[number] = path
        return paths


def evaluate(
    paths: list[PlannedPath], possible: list[PlannedPath], truth: GroundTruth,
) -> dict[str, float | None]:  # fmt: skip
    """Return the figures of paths on a map, where `possible` are those on the ground truth.

    They are how many the ground truth allows, how many of these are planned on the map, how many
    of those collide with an obstacle, and how deep at most; and the successes as a percentage
    of what the ground truth allows.
    """
    planned = [truth.among_boxes(path) for path, true in zip(paths, possible)
               if path is not None and true is not None]
    clearances = np.array([clearance(path, truth.boxes) for path in planned])
    collisions = int((clearances < RADIUS - TOLERANCE).sum())
    allowed = sum(path is not None for path in possible)
    return {
        'possible on the truth': allowed, 'planned on the map': len(planned),
        'collisions': collisions,
        'deepest [cm]': 100 * (RADIUS - clearances.min()) if collisions else None,
        'success [%]': percentage(len(planned) - collisions, allowed)}


def collides(path: NDArray[np.float64], boxes: NDArray[np.float64]) -> bool:
    """Return whether the robot touches a box (B, 2, 2) along a path (N, 2) [m]."""
    return bool(clearance(path, boxes) < RADIUS - TOLERANCE)


def clearance(path: NDArray[np.float64], boxes: NDArray[np.float64]) -> float:
    """Return the distance [m] from a path (N, 2) to the nearest box (B, 2, 2)."""
    nearest = math.inf
    for begin, end in zip(path[:-1], path[1:]):
        count = max(2, math.ceil(np.linalg.norm(end - begin) / STEP) + 1)
        positions = np.linspace(begin, end, count)[:, None]
        gaps = np.maximum(np.maximum(boxes[:, 0] - positions, positions - boxes[:, 1]), 0)
        nearest = min(nearest, np.sqrt(np.square(gaps).sum(-1).min()))
    return nearest
