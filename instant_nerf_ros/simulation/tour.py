"""The tour: the trajectory of a differential-drive robot through the simulated flat.

The path is a closed polygon through both rooms, smoothed by a Gaussian, so that position, heading
and curvature are smooth, also from one lap to the next. The robot faces its direction of motion.
Speed, turn rate and acceleration along the path are bounded: it brakes before curves.
"""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL
from instant_nerf_ros.simulation.flat import PLAN_ORIGIN

WAYPOINTS = (  # plan coordinates of the flat [m], see furniture
    (3.95, 2.45), (3.20, 2.50), (2.90, 3.30), (2.50, 3.95), (1.50, 4.30), (0.75, 4.25),
    (0.80, 3.75), (1.45, 3.55), (2.40, 3.20), (2.65, 2.40), (2.45, 1.20), (1.80, 0.55),
    (1.10, 0.55), (1.25, 1.15), (1.80, 1.30), (2.70, 1.00), (3.10, 1.50), (3.20, 2.30),
    (3.95, 2.45), (4.50, 2.50), (4.95, 3.30), (6.10, 3.70), (6.60, 3.20), (6.60, 1.20),
    (6.50, 0.40), (5.20, 0.40), (4.55, 0.55), (4.60, 1.60), (4.75, 2.60), (4.90, 3.50),
    (4.70, 3.95), (4.40, 3.90), (4.30, 3.40), (4.40, 2.80), (4.30, 2.45))
SMOOTHING = 0.16  # m along the path, standard deviation of the Gaussian
MAX_SPEED = 0.5  # m/s
MAX_TURN_RATE = 0.8  # rad/s
MAX_ACCELERATION = 0.3  # m/s^2, also of braking
STEP = 0.002  # m between the samples of the path

# The camera is on a mast at a height of 0.8 m, pitched down by 8 degrees:
# T_BASE_LINK is the pose of camera_link, T_BASE_CAMERA that of the optical frame, in base_link.
CAMERA_POSITION, CAMERA_PITCH = (0.10, 0.0, 0.80), np.radians(8.0)
T_BASE_LINK = np.array(
    [[np.cos(CAMERA_PITCH), 0.0, np.sin(CAMERA_PITCH), CAMERA_POSITION[0]],
     [0.0, 1.0, 0.0, CAMERA_POSITION[1]],
     [-np.sin(CAMERA_PITCH), 0.0, np.cos(CAMERA_PITCH), CAMERA_POSITION[2]],
     [0.0, 0.0, 0.0, 1.0]])
T_BASE_CAMERA = T_BASE_LINK @ T_BODY_OPTICAL


class Tour:
    """The pose of the robot and of its camera as a function of time; laps repeat."""

    def __init__(self) -> None:
        corners = np.array(WAYPOINTS) + PLAN_ORIGIN[:2]
        path = _smooth(_resample(np.concatenate([corners, corners[:1]])), SMOOTHING)
        forward = np.roll(path, -1, axis=0) - path
        length = np.linalg.norm(forward, axis=1)
        heading = np.arctan2(forward[:, 1], forward[:, 0])
        turn = (np.diff(heading, append=heading[0]) + np.pi) % (2 * np.pi) - np.pi
        limit = np.minimum(MAX_SPEED, MAX_TURN_RATE * length / np.abs(turn).clip(1e-12))
        speed = _limit_acceleration(limit, length)
        self._time = np.concatenate([[0.0], np.cumsum(length / speed)])
        self._path = np.concatenate([path, path[:1]])
        self._heading = heading[0] + np.concatenate([[0.0], np.cumsum(turn)])
        self.duration = float(self._time[-1])  # seconds of a lap

    def T_world_base(self, time: float) -> NDArray[np.float64]:
        """Return the pose (4, 4) of base_link (on the floor, x forward) at a time [s]."""
        time %= self.duration
        x, y, heading = (
            np.interp(time, self._time, values)
            for values in (self._path[:, 0], self._path[:, 1], self._heading))
        cosine, sine = np.cos(heading), np.sin(heading)
        return np.array([[cosine, -sine, 0.0, x], [sine, cosine, 0.0, y],
                         [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])

    def T_world_camera(self, time: float) -> NDArray[np.float64]:
        """Return the pose (4, 4) of the camera (optical frame) at a time [s]."""
        return self.T_world_base(time) @ T_BASE_CAMERA


def _resample(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (N, 2) along a polyline at equal steps, without the last one."""
    length = np.concatenate(
        [[0.0], np.cumsum(np.linalg.norm(np.diff(polygon, axis=0), axis=1))])
    at = np.linspace(0.0, length[-1], round(length[-1] / STEP), endpoint=False)
    return np.stack([np.interp(at, length, polygon[:, axis]) for axis in (0, 1)], axis=1)


def _smooth(path: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    """Return a closed path (N, 2) convolved with a Gaussian; deviation in metres of path."""
    frequency = np.fft.rfftfreq(len(path), STEP)[:, None]
    damping = np.exp(-2 * (np.pi * deviation * frequency)**2)
    return np.fft.irfft(damping * np.fft.rfft(path, axis=0), len(path), axis=0)


def _limit_acceleration(
    limit: NDArray[np.float64], length: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the highest speeds (N,) along a closed path under a speed limit (N,).

    Between two points s metres apart, v^2 differs by at most 2 a s: each point limits those
    before it (braking) and those after it (accelerating). length (N,): metres to the next point.
    """
    squared = np.tile(limit**2, 3)  # the lap, and one before and after it
    gain = 2 * MAX_ACCELERATION * np.cumsum(np.tile(length, 3))
    after = np.minimum.accumulate(squared - gain) + gain
    before = np.minimum.accumulate((squared + gain)[::-1])[::-1] - gain
    return np.sqrt(np.minimum(after, before)[len(limit):2 * len(limit)])
