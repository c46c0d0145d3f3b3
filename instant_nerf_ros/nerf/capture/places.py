"""Places: which keyframe makes room for another one, so that no place is left without images."""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.capture.selection import pose_distances


class Places:
    """The place of each keyframe: the pose of the first image that it stands for.

    The two nearest places become one: the older place, with the newer image. So the images are of
    the present, and the places stay where they are and apart from each other, as the centers of
    the doubling algorithm (Charikar et al. 1997). If the place moved with the image, each image of
    a drive would replace the one before it, and nothing but the last one would be left.
    """

    def __init__(self) -> None:
        self._poses = np.empty((0, 4, 4))
        self._numbers = np.empty(0, dtype=np.int64)  # of the places, in order of their age
        self._next_number = 0
        # Found when a keyframe has to make room, as most robots never fill the budget.
        self._nearest = np.empty(0, dtype=np.int64)  # index of the other place; -1: unknown
        self._distances = np.empty(0)  # to it
        self._moved = np.empty(0, dtype=bool)  # since then

    def add(self, pose: Pose) -> None:
        """Add the place of another keyframe."""
        self._poses = np.concatenate([self._poses, pose[None]])
        self._numbers = np.append(self._numbers, self._next_number)
        self._next_number += 1
        self._nearest = np.append(self._nearest, -1)
        self._distances = np.append(self._distances, np.inf)
        self._moved = np.append(self._moved, True)

    def move(self, k: int, T_new_old: Pose) -> None:
        """Move the place of keyframe k with its image."""
        self._put(k, T_new_old @ self._poses[k])

    def merge_nearest(self) -> int:
        """Merge the two nearest places; return the index of that which is to be removed."""
        one = int(np.argmin(self.distances()))
        older, newer = sorted((one, int(self._nearest[one]))) if len(self._poses) > 1 else (0, 0)
        pose, number = self._poses[older], self._numbers[older]
        if number < self._numbers[newer]:
            self._numbers[newer] = number
            self._put(newer, pose)
        return older

    def remove(self, k: int) -> None:
        """Remove the place of keyframe k."""
        self._nearest[self._nearest == k] = -1
        self._nearest -= self._nearest > k
        for name in '_poses', '_numbers', '_nearest', '_distances', '_moved':
            setattr(self, name, np.delete(getattr(self, name), k, axis=0))

    def distances(self) -> NDArray[np.float64]:
        """Return the distances (K,) of places to the nearest other one, infinite of one alone."""
        moved = np.flatnonzero(self._moved)
        unknown = np.flatnonzero((self._nearest < 0) | np.isin(self._nearest, moved) | self._moved)
        for k in unknown.tolist():
            distances = self._to_others(k)
            if self._moved[k]:
                closer = distances < self._distances
                self._distances[closer], self._nearest[closer] = distances[closer], k
            self._nearest[k] = np.argmin(distances) if len(distances) > 1 else -1
            self._distances[k] = distances.min()
        self._moved[:] = False
        return self._distances

    def _put(self, k: int, pose: Pose) -> None:
        self._poses[k], self._moved[k] = pose, True

    def _to_others(self, k: int) -> NDArray[np.float64]:
        """Return the distances (K,) of place k; one radian weighs as much as one metre."""
        distances = np.add(*pose_distances(self._poses, self._poses[k]))
        distances[k] = np.inf
        return distances
