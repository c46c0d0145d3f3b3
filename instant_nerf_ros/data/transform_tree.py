"""TransformTree: the poses of frames over time, as TF has them, without ROS."""
import bisect

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

MAX_DEPTH = 100  # frames between a frame and its root; more is a circle


class _Edge:
    """The pose of a frame in its parent over time."""

    def __init__(self, parent: str, static: bool) -> None:
        self.parent, self.static = parent, static
        self._poses: dict[int, NDArray[np.float64]] = {}  # by stamp [ns]
        self._stamps: list[int] = []  # sorted, once they are needed

    def add(self, stamp: int, T_parent_child: NDArray[np.float64]) -> None:
        self._poses[stamp] = T_parent_child

    def at(self, stamp: int) -> NDArray[np.float64] | None:
        """Return the pose at a time [ns], interpolated; None outside of the recorded times."""
        if len(self._stamps) != len(self._poses):
            self._stamps = sorted(self._poses)
        if self.static:
            return self._poses[self._stamps[-1]]
        after = bisect.bisect_left(self._stamps, stamp)
        if after == len(self._stamps):
            return None
        later = self._poses[self._stamps[after]]
        if self._stamps[after] == stamp:
            return later
        if not after:
            return None
        begin = self._stamps[after - 1]
        earlier, share = self._poses[begin], (stamp - begin) / (self._stamps[after] - begin)
        T = np.eye(4)
        rotations = Rotation.from_matrix([earlier[:3, :3], later[:3, :3]])
        T[:3, :3] = Slerp([0.0, 1.0], rotations)(share).as_matrix()
        T[:3, 3] = (1 - share) * earlier[:3, 3] + share * later[:3, 3]
        return T


class TransformTree:
    """Frames, each with a pose in its parent that may change."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}

    def __contains__(self, child: str) -> bool:
        """Return whether a frame has a parent."""
        return child in self._edges

    def add(
        self, parent: str, child: str, stamp: int, translation: ArrayLike, quaternion: ArrayLike,
        static: bool,
    ) -> None:  # fmt: skip
        """Add the pose of a frame in its parent: translation (3,) [m], quaternion x, y, z, w.

        What is no pose is left out.
        """
        numbers = np.concatenate([np.asarray(translation), np.asarray(quaternion)])
        if not np.isfinite(numbers).all() or not np.any(numbers[3:]):
            return
        T = np.eye(4)
        T[:3, :3] = Rotation.from_quat(numbers[3:]).as_matrix()
        T[:3, 3] = numbers[:3]
        edge = self._edges.get(child)
        if edge is None or edge.parent != parent:
            edge = self._edges[child] = _Edge(parent, static)
        edge.add(stamp, T)

    def add_missing(self, other: 'TransformTree') -> None:
        """Add the frames of another tree that have no parent in this one."""
        for child, edge in other._edges.items():
            self._edges.setdefault(child, edge)

    def chain(self, frame: str) -> list[str]:
        """Return a frame, its parent, and so on up to the root. Raises ValueError for a circle."""
        frames = [frame]
        while frames[-1] in self._edges:
            frames.append(self._edges[frames[-1]].parent)
            if len(frames) > MAX_DEPTH:
                raise ValueError(f'the transforms of {frame} form a circle: {frames[:5]} ...')
        return frames

    def pose(self, root: str, frame: str, stamp: int) -> NDArray[np.float64] | None:
        """Return T_root_frame (4, 4) at a time [ns]; None if it is not known then.

        root is one of the frames of `chain`.
        """
        T = np.eye(4)
        for child in self.chain(frame):
            if child == root:
                return T
            edge = self._edges.get(child)
            step = edge.at(stamp) if edge else None
            if step is None:
                return None
            T = step @ T
        return None
