"""Paths of a robot, planned on a map and followed in the truth."""
import math

import numpy as np
from agreement import share
from environments import ask
from scipy import ndimage

from instant_nerf_ros.data.metrics import FREE

RADIUS = 0.18  # m, of the robot
PAIRS = 200
FINE = 20  # parts of the edge of a cell, to tell where the middle of the robot may be
STEP = 0.005  # m, between the places of a path at which the robot may touch something
TOLERANCE = 1e-3  # m: how much nearer it may come between two places that the planner checked


class Room:
    """Where the middle of the robot may be on a map: what is not free, and beyond, is no way."""

    def __init__(self, plan, truth, margin):
        """Take a map (nx, ny) where the truth is, and what the planner keeps beside RADIUS [m]."""
        fine = np.pad(plan == FREE, 1).repeat(FINE, axis=0).repeat(FINE, axis=1)
        self.size = truth.size / FINE
        self.origin = truth.origin[:2] - truth.size
        # From anywhere in a fine cell to anywhere in another is a diagonal less than from
        # middle to middle.
        distance = ndimage.distance_transform_edt(fine) * self.size - math.sqrt(2) * self.size
        self.fits = distance >= RADIUS + margin
        self._part, _ = ndimage.label(self.fits, np.ones((3, 3)))

    def places(self, count):
        """Return random places (count, 2) [m] where the robot fits."""
        cells, random = np.argwhere(self.fits), np.random.default_rng(0)
        return self.origin + self.size * (cells[random.integers(len(cells), size=count)] + 0.5)

    def paths(self, ends, python):
        """Return a path (N, 2) [m] for each pair of ends (P, 2, 2) [m], None where there is none.

        The planner is not asked about places that nothing connects: it would search to no end.
        """
        index = np.floor((ends - self.origin) / self.size).astype(int)
        start, goal = self._part[tuple(np.moveaxis(index, -1, 0))].T
        joined = np.flatnonzero((start == goal) & (start > 0))
        paths = [None] * len(ends)
        for number, path in zip(joined, ask(python, 'planner.py', {
                'fits': self.fits, 'origin': self.origin, 'size': self.size,
                'pairs': ends[joined]})):
            paths[number] = path
        return paths


def judge(paths, possible, boxes):
    """Return the figures of paths on a map, where `possible` are those on the truth.

    They are how many the truth allows, how many of these are planned on the map, how many of
    those touch a box (B, 2, 2), and how deep at most; and the successes as a share of what the
    truth allows.
    """
    planned = [path for path, true in zip(paths, possible)
               if path is not None and true is not None]
    collisions = sum(collides(path, boxes) for path in planned)
    allowed = sum(path is not None for path in possible)
    return {
        'possible on the truth': allowed, 'planned on the map': len(planned),
        'collisions': collisions,
        'deepest [cm]': 100 * (RADIUS - min(clearance(path, boxes) for path in planned))
        if collisions else None,
        'success [%]': share(len(planned) - collisions, allowed)}


def collides(path, boxes):
    """Return whether the robot touches a box (B, 2, 2) on the way along a path (N, 2) [m]."""
    return bool(clearance(path, boxes) < RADIUS - TOLERANCE)


def clearance(path, boxes):
    """Return the distance [m] from the way along a path (N, 2) to the nearest box (B, 2, 2)."""
    nearest = math.inf
    for begin, end in zip(path[:-1], path[1:]):
        count = max(2, math.ceil(np.linalg.norm(end - begin) / STEP) + 1)
        places = np.linspace(begin, end, count)[:, None]
        gaps = np.maximum(np.maximum(boxes[:, 0] - places, places - boxes[:, 1]), 0)
        nearest = min(nearest, np.sqrt(np.square(gaps).sum(-1).min()))
    return nearest
