"""Ranges: rays measured by a lidar or another range sensor, without color."""
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.arrays import Poses
from instant_nerf_ros.nerf.capture.rays import NO_COLOR, Rays

CAPACITY = 2**20  # rays, 28 bytes each
MIN_RANGE = 1e-3  # metres from origin to point
MAX_SCAN_RAYS = 4096  # that are kept of a scan, so that a dense one does not fill the store


class Ranges:
    """A bounded store of measured rays. When it is full, new rays replace random ones."""

    def __init__(self) -> None:
        # Pages that are never written take no memory.
        self.origins, self.directions = np.empty((2, CAPACITY, 3), dtype=np.float32)
        self.distances = np.empty(CAPACITY, dtype=np.float32)
        self.ids = np.empty(CAPACITY, dtype=np.int64)  # of the scans, or keyframes
        self._count = 0

    def __len__(self) -> int:
        """Return the number of rays."""
        return self._count

    def add(self, scan: Rays, scan_id: int, generator: np.random.Generator) -> None:
        """Keep the rays of a scan, or of the pseudo depth of a keyframe, under an id."""
        count = min(CAPACITY - self._count, len(scan))
        places = np.concatenate([
            np.arange(self._count, self._count + count),
            generator.integers(0, CAPACITY, len(scan) - count)])
        self.origins[places] = scan.origins
        self.directions[places] = scan.directions
        self.distances[places] = scan.surfaces
        self.ids[places] = scan_id
        self._count += count

    def clear(self) -> None:
        """Forget all rays."""
        self._count = 0

    def sample(
        self, count: int, generator: np.random.Generator, of: ArrayLike | None = None,
    ) -> Rays:  # fmt: skip
        """Return count random Rays; fewer if only those with an id in `of` (N,) are wanted."""
        chosen = generator.integers(0, self._count, count)
        if of is not None:
            chosen = chosen[np.isin(self.ids[chosen], of)]
        return self._rays(chosen)

    def scans(self) -> Iterator[tuple[int, Rays]]:
        """Yield id and Rays of each scan, in order, of the rays that are still stored."""
        for scan_id, places in self._places():
            yield scan_id, self._rays(places)

    def correct_poses(self, corrections: Poses) -> None:
        """Move the rays of scans by {id: T_new_old (4, 4)}."""
        for scan_id, places in self._places():
            if scan_id in corrections:
                moved = self._rays(places).transformed(corrections[scan_id])
                self.origins[places], self.directions[places] = moved.origins, moved.directions

    def _places(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        order = np.argsort(self.ids[: self._count], kind='stable')
        ids, begins = np.unique(self.ids[order], return_index=True)
        return zip(ids.tolist(), np.split(order, begins[1:]))

    def _rays(self, places: NDArray[np.int64]) -> Rays:
        return _colorless(self.origins[places], self.directions[places], self.distances[places])


def check_points(
    origins: ArrayLike, points: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return origins and points (M, 3) of the measurements among points (N, 3), metres.

    origins: (3,) or (N, 3). Points that are not finite or nearer than MIN_RANGE are left out.
    Raises ValueError for another shape of points.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f'the points must be (N, 3), are {points.shape}')
    origins = np.broadcast_to(np.asarray(origins, dtype=np.float64), points.shape)
    distances = np.linalg.norm(points - origins, axis=-1)
    measured = np.isfinite(distances) & (distances > MIN_RANGE)
    return origins[measured], points[measured]


def point_rays(
    origins: NDArray[np.float64], points: NDArray[np.float64], generator: np.random.Generator,
) -> Rays:  # fmt: skip
    """Return the Rays from origins to points (N, 3), metres; of too many a random choice."""
    if len(points) > MAX_SCAN_RAYS:
        chosen = generator.choice(len(points), MAX_SCAN_RAYS, replace=False)
        origins, points = origins[chosen], points[chosen]
    distances = np.linalg.norm(points - origins, axis=-1)
    return _colorless(*(array.astype(np.float32) for array in (
        origins, (points - origins) / distances[:, None], distances)))


def _colorless(
    origins: NDArray[np.float32], directions: NDArray[np.float32],
    distances: NDArray[np.float32],
) -> Rays:  # fmt: skip
    pixels = np.full((len(origins), 3), NO_COLOR, dtype=np.int16)
    return Rays(*map(torch.from_numpy, (origins, directions, distances, pixels)))
