"""A person who walks ahead of the robot, now nearer and now farther."""
import dataclasses
import functools
import math

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.simulation.boxes import Box
from instant_nerf_ros.simulation.pieces import CLOTHS, WOODS
from instant_nerf_ros.simulation.route import Route
from instant_nerf_ros.simulation.scene import Scene

LEAD = 2.8, 1.2  # m, of the walker on the way of the robot: mean and amplitude
LEAD_PERIOD = 30.0  # s
STRIDE, STEP_PERIOD = 0.15, 1.0  # m, of a foot forward and back; s
POSTURES = 4  # of the legs


@dataclasses.dataclass(frozen=True)
class Walker:
    """A walker on the route of the robot."""

    route: Route

    def T_world_walker(self, time: float) -> NDArray[np.float64] | None:
        """Return the pose (4, 4) at a time [s], on the floor, x forward; None: it has left."""
        lengths, positions = self._way
        lead = LEAD[0] + LEAD[1] * math.sin(2 * math.pi * time / LEAD_PERIOD)
        ahead = lead + np.interp(time, self.route.times, lengths)
        if ahead > lengths[-1]:
            return None
        here, next_ = (np.array([np.interp(at, lengths, axis) for axis in positions.T])
                       for at in (ahead, ahead + 0.05))
        x, y = next_ - here
        pose = np.eye(4)
        pose[:2, :2] = np.array([[x, -y], [y, x]]) / max(math.hypot(x, y), 1e-9)
        pose[:2, 3] = here
        return pose

    @functools.cached_property
    def _way(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the length of the way (N,) up to each position of the route, and these (N, 2)."""
        positions = self.route.positions
        steps = np.hypot(*np.diff(positions, axis=0).T)
        return np.append(0.0, np.cumsum(steps)), positions

    def scene(self, time: float) -> Scene:
        """Return the walker's Scene at a time [s], in the walker's frame."""
        return _posture(int(time / STEP_PERIOD * POSTURES) % POSTURES)


@functools.lru_cache(maxsize=POSTURES)
def _posture(number: int) -> Scene:
    stride = STRIDE * math.sin(2 * math.pi * (number + 0.5) / POSTURES)
    boxes = [
        Box((stride - 0.08, 0.03, 0.0), (stride + 0.08, 0.15, 0.85), CLOTHS[4]),
        Box((-stride - 0.08, -0.15, 0.0), (-stride + 0.08, -0.03, 0.85), CLOTHS[4]),
        Box((-0.12, -0.2, 0.85), (0.12, 0.2, 1.45), CLOTHS[3]),
        Box((-0.09, -0.08, 1.47), (0.11, 0.08, 1.75), WOODS[2])]
    everywhere = np.full(3, np.inf)
    return Scene(boxes, (-everywhere, everywhere), [(1.0, 1.0, 2.3), (-1.0, -1.0, 2.3)])
