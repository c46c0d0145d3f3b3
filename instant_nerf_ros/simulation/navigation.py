"""Navigation: where a robot fits in a building, and a path that leads to every place."""
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from instant_nerf_ros.simulation.boxes import Box

CELL = 0.05  # m
BAND = 0.015, 1.6  # m, heights in which nothing may be where the robot passes
STEP = 0.02  # m, between the points of a path
SMOOTHINGS = 0.15, 0.10, 0.06, 0.0  # m along the path, standard deviations of the Gaussian
TIGHT = 0.35  # m, a clearance below which a way costs more
STEPS = np.array([(1, 0), (0, 1), (1, 1), (1, -1)])  # to half of the neighbors of a cell

Path = NDArray[np.float64]  # (N, 2) metres


def navigable(
    low: ArrayLike, high: ArrayLike, boxes: Sequence[Box], clearance: int,
) -> NDArray[np.bool_]:  # fmt: skip
    """Return the cells (nx, ny) from low to high (x, y) [m] where the center of a robot may be.

    clearance: the number of cells around the center that no box reaches into.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    blocked = np.zeros(((high - low) / CELL + 1e-6).astype(int), np.uint8)
    for box in boxes:
        if box.low[2] < BAND[1] and box.high[2] > BAND[0]:
            start = np.floor((np.array(box.low[:2]) - low) / CELL + 1e-6).astype(int).clip(0)
            stop = np.ceil((np.array(box.high[:2]) - low) / CELL - 1e-6).astype(int).clip(0)
            blocked[start[0]:stop[0], start[1]:stop[1]] = 1
    offsets = np.arange(2 * clearance + 1) - clearance
    disc = (np.hypot(offsets[:, None], offsets) <= clearance).astype(np.uint8)
    padded = np.pad(blocked, clearance, constant_values=1)
    dilated = cv2.dilate(padded, disc)[clearance:-clearance, clearance:-clearance]
    return np.asarray(dilated == 0)


def coverage_path(free: NDArray[np.bool_], spacing: float) -> tuple[Path, NDArray[np.int64]]:
    """Return a path (N, 2) [m] past places all over the largest part of the free cells (nx, ny).

    Each free cell of that part is at most `spacing` [m] of way from a place. The second result
    has the index of each place on the path, in the order in which they are passed: always the
    nearest one that is left. Cell [0, 0] has its corner at the origin.
    """
    labels, _ = ndimage.label(free, np.ones((3, 3)))
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    number = np.full(free.shape, -1)
    number[largest] = np.arange(largest.sum())
    cells = np.argwhere(largest)
    clearance = ndimage.distance_transform_edt(np.pad(free, 1))[1:-1, 1:-1][largest] * CELL
    graph = _graph(number, cells, 1.0 + 3.0 * np.clip(1.0 - clearance / TIGHT, 0.0, 1.0))
    places = [int(np.argmax(clearance))]
    lengths, before = csgraph.dijkstra(graph, indices=places, return_predecessors=True)
    while lengths.min(axis=0).max() > spacing:
        # Of the cells that are too far from all places, one with much room around it.
        far = np.flatnonzero(lengths.min(axis=0) > spacing)
        places.append(int(far[np.argmax(clearance[far])]))
        more = csgraph.dijkstra(graph, indices=places[-1:], return_predecessors=True)
        lengths, before = (np.concatenate(pair) for pair in zip((lengths, before), more))
    left, order = set(range(1, len(places))), [0]
    while left:
        order.append(min(left, key=lambda place: (lengths[order[-1], places[place]], place)))
        left.remove(order[-1])
    way, stops = [places[0]], [0]
    for start, goal in zip(order[:-1], order[1:]):
        leg = [places[goal]]
        while leg[-1] != places[start]:
            leg.append(before[start, leg[-1]])
        way += leg[-2::-1]
        stops.append(len(way) - 1)
    corners = (cells[way].astype(np.float64) + 0.5) * CELL
    return _smoothed(corners, np.array(stops), free)


def _graph(
    number: NDArray[np.int64], cells: NDArray[np.int64], cost: NDArray[np.float64],
) -> sparse.csr_matrix:  # fmt: skip
    """Return the graph of neighboring cells, with the costs of the ways between them."""
    starts, ends, weights = [], [], []
    padded = np.pad(number, 1, constant_values=-1)
    for step in STEPS:
        neighbor = padded[tuple((cells + 1 + step).T)]
        start = np.flatnonzero(neighbor >= 0)
        starts.append(start)
        ends.append(neighbor[start])
        weights.append(CELL * np.hypot(*step) * (cost[start] + cost[neighbor[start]]) / 2)
    return sparse.csr_matrix(
        (np.concatenate([*weights, *weights]),
         (np.concatenate([*starts, *ends]), np.concatenate([*ends, *starts]))),
        shape=(len(cells), len(cells)))


def _smoothed(
    corners: Path, stops: NDArray[np.int64], free: NDArray[np.bool_],
) -> tuple[Path, NDArray[np.int64]]:  # fmt: skip
    """Return a polyline (M, 2) as smooth as the free cells allow, and the new indices of stops."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    at = np.linspace(0.0, length[-1], max(int(length[-1] / STEP), 2))
    path = np.stack([np.interp(at, length, corners[:, axis]) for axis in (0, 1)], axis=1)
    smooth = path.copy()
    left = np.ones(len(path), bool)
    # Where the smoothest curve would leave the free cells, a rougher one is blended in.
    for deviation in SMOOTHINGS:
        curve = path if not deviation else ndimage.gaussian_filter1d(
            path, deviation / STEP, axis=0, mode='nearest')
        smooth[left] = curve[left]
        blocked = ~free[tuple(np.floor(smooth / CELL).astype(int).T)]
        left = ndimage.binary_dilation(blocked, iterations=round(0.3 / STEP))
        if not blocked.any():
            break
    return smooth, np.searchsorted(at, length[stops]).clip(max=len(at) - 1)
