"""Ranges: rays that a lidar or another range sensor measured, without colour."""
import numpy as np
import torch

from instant_nerf_ros.nerf.capture import rays

CAPACITY = 2**20  # rays, 28 bytes each
LEAST = 1e-3  # metres from origin to point
MOST_OF_A_SCAN = 4096  # rays that are kept of it, so that a dense one is not all there is


class Ranges:
    """A bounded store of measured rays. When it is full, new ones take the places of any."""

    def __init__(self):
        # Untouched memory costs nothing.
        self.origins, self.directions = np.empty((2, CAPACITY, 3), dtype=np.float32)
        self.distances = np.empty(CAPACITY, dtype=np.float32)
        self.numbers = np.empty(CAPACITY, dtype=np.int64)  # of the scans, or keyframes
        self.count = 0

    def __len__(self):
        """Return the number of rays."""
        return self.count

    def add(self, origins, points, generator, number):
        """Keep rays from origins, (3,) or (N, 3), to points (N, 3) of surfaces, metres, world.

        number: of the scan, or of the keyframe that tells the same.
        Returns the Rays that were kept: what is no measurement is left out, and of too many some
        are taken. Raises ValueError for anything malformed.
        """
        scan = _of_points(origins, points, generator)
        room = min(CAPACITY - self.count, len(scan))
        places = np.concatenate([
            np.arange(self.count, self.count + room),
            generator.integers(0, CAPACITY, len(scan) - room)])
        self.origins[places] = scan.origins
        self.directions[places] = scan.directions
        self.distances[places] = scan.surfaces
        self.numbers[places] = number
        self.count += room
        return scan

    def draw(self, count, generator, of=None):
        """Draw the Rays of count places, all alike; fewer if only some scans `of` (N,) count."""
        chosen = generator.integers(0, self.count, count)
        if of is not None:
            chosen = chosen[np.isin(self.numbers[chosen], of)]
        return self._of(chosen)

    def scans(self):
        """Yield the number and the Rays of each scan, in order, as far as they are kept."""
        for number, places in self._places():
            yield number, self._of(places)

    def correct(self, corrections):
        """Move the rays of scans by {number: T_new_old (4, 4)}."""
        for number, places in self._places():
            if number in corrections:
                moved = self._of(places).moved(corrections[number])
                self.origins[places], self.directions[places] = moved.origins, moved.directions

    def _places(self):
        order = np.argsort(self.numbers[: self.count], kind='stable')
        numbers, begins = np.unique(self.numbers[order], return_index=True)
        return zip(numbers.tolist(), np.split(order, begins[1:]))

    def _of(self, places):
        return _rays(self.origins[places], self.directions[places], self.distances[places])


def _of_points(origins, points, generator):
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f'the points must be (N, 3), are {points.shape}')
    origins = np.broadcast_to(np.asarray(origins, dtype=np.float64), points.shape)
    distances = np.linalg.norm(points - origins, axis=-1)
    chosen = np.flatnonzero(np.isfinite(distances) & (distances > LEAST))
    if len(chosen) > MOST_OF_A_SCAN:
        chosen = generator.choice(chosen, MOST_OF_A_SCAN, replace=False)
    origins, points, distances = origins[chosen], points[chosen], distances[chosen]
    return _rays(*(array.astype(np.float32) for array in (
        origins, (points - origins) / distances[:, None], distances)))


def _rays(origins, directions, distances):
    return rays.Rays(*map(torch.from_numpy, (
        origins, directions, distances,
        np.full((len(origins), 3), rays.NO_COLOR, dtype=np.int16))))
