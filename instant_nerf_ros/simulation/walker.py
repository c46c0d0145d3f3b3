"""People: one who walks ahead of the robot, now nearer and now farther, and one who passes by."""
import dataclasses
import functools
import math

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.simulation.boxes import Box
from instant_nerf_ros.simulation.pieces import CLOTHS, WOODS
from instant_nerf_ros.simulation.route import Route
from instant_nerf_ros.simulation.scene import Pose, Rendering, Scene

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
        return _facing(here, next_ - here)

    @functools.cached_property
    def _way(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the length of the way (N,) up to each position of the route, and these (N, 2)."""
        positions = self.route.positions
        steps = np.hypot(*np.diff(positions, axis=0).T)
        return np.append(0.0, np.cumsum(steps)), positions


@dataclasses.dataclass(frozen=True)
class Passerby:
    """A person who comes, stands for a while in the middle of the way, and goes."""

    start: tuple[float, float]  # m, in the world
    end: tuple[float, float]
    begin: float = 0.0  # s, at the start; before, nobody is there
    speed: float = 0.8  # m/s
    pause: float = 0.0  # s

    def T_world_walker(self, time: float) -> NDArray[np.float64] | None:
        """Return the pose (4, 4) at a time [s], on the floor, x forward; None: not there."""
        way = np.subtract(self.end, self.start)
        half = math.hypot(*way) / self.speed / 2
        times = self.begin + np.cumsum([0.0, half, self.pause, half])
        if not times[0] <= time <= times[-1]:
            return None
        share = float(np.interp(time, times, [0.0, 0.5, 0.5, 1.0]))
        return _facing(self.start + share * way, way)


def with_walker(
    view: Rendering, walker: Walker | Passerby, camera: Camera, T_world_camera: Pose, time: float,
) -> tuple[Rendering, NDArray[np.bool_]]:  # fmt: skip
    """Return a view of a camera at a pose and a time [s] with a walker in it.

    Also return which pixels (H, W) show the building.
    """
    T_world_walker = walker.T_world_walker(time)
    if T_world_walker is None:
        return view, np.ones(view.depth.shape, bool)
    posture = _posture(int(time / STEP_PERIOD * POSTURES) % POSTURES)
    person = posture.view(camera, np.linalg.inv(T_world_walker) @ T_world_camera)
    front = person.depth < np.where(np.isfinite(view.depth), view.depth, np.inf)
    return Rendering(
        np.where(front[..., None], person.image, view.image),
        np.where(front, person.depth, view.depth),
        np.where(front, np.int32(-1), view.boxes)), ~front


def _facing(position: NDArray[np.float64], direction: NDArray[np.float64]) -> Pose:
    """Return the pose (4, 4) at a position (2,) with x along a direction (2,)."""
    x, y = direction
    pose = np.eye(4)
    pose[:2, :2] = np.array([[x, -y], [y, x]]) / max(math.hypot(x, y), 1e-9)
    pose[:2, 3] = position
    return pose


@functools.lru_cache(maxsize=POSTURES)
def _posture(number: int) -> Scene:
    """Return the scene of a person in one of the POSTURES, in the person's frame."""
    stride = STRIDE * math.sin(2 * math.pi * (number + 0.5) / POSTURES)
    boxes = [
        Box((stride - 0.08, 0.03, 0.0), (stride + 0.08, 0.15, 0.85), CLOTHS[4]),
        Box((-stride - 0.08, -0.15, 0.0), (-stride + 0.08, -0.03, 0.85), CLOTHS[4]),
        Box((-0.12, -0.2, 0.85), (0.12, 0.2, 1.45), CLOTHS[3]),
        Box((-0.09, -0.08, 1.47), (0.11, 0.08, 1.75), WOODS[2])]
    everywhere = np.full(3, np.inf)
    return Scene(boxes, (-everywhere, everywhere), [(1.0, 1.0, 2.3), (-1.0, -1.0, 2.3)])
