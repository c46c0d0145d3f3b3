"""The route of a robot that surveys a building: past all places, with looks around."""
import dataclasses

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL
from instant_nerf_ros.simulation.building import Building
from instant_nerf_ros.simulation.navigation import coverage_path, navigable

SPEED, TURN_RATE = 0.5, 0.8  # m/s, rad/s
SPACING = 2.2  # m, of way from any place to one that the robot visits
LOOK_SPACING = 3.0  # m, between the places where it looks around
TURN_STEPS = 120  # of a turn on the spot
CLEARANCE = 5  # cells around the center of the robot: more than its radius


@dataclasses.dataclass(frozen=True)
class Route:
    """Poses of the robot over time; x is forward, and it turns on the spot or drives forward."""

    times: NDArray[np.float64]  # (N,) s, increasing from 0
    positions: NDArray[np.float64]  # (N, 2) m, in the world
    headings: NDArray[np.float64]  # (N,) rad, continuous

    @property
    def duration(self) -> float:
        """Return the time at its end [s]."""
        return float(self.times[-1])

    def T_world_base(self, time: float) -> NDArray[np.float64]:
        """Return the pose (4, 4) on the floor at a time [s]; it rests before and after."""
        x, y, heading = (np.interp(time, self.times, values)
                         for values in (*self.positions.T, self.headings))
        cosine, sine = np.cos(heading), np.sin(heading)
        return np.array([[cosine, -sine, 0.0, x], [sine, cosine, 0.0, y],
                         [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


def T_base_camera(height: float, pitch: float) -> NDArray[np.float64]:
    """Return the pose (4, 4) of a camera (optical frame) on a robot.

    height [m] above the floor; pitch [rad], downward.
    """
    cosine, sine = np.cos(pitch), np.sin(pitch)
    T_base_link = np.array([[cosine, 0.0, sine, 0.0], [0.0, 1.0, 0.0, 0.0],
                            [-sine, 0.0, cosine, height], [0.0, 0.0, 0.0, 1.0]])
    return T_base_link @ T_BODY_OPTICAL


def survey(building: Building) -> Route:
    """Return a Route past all places of a building that a robot of 0.18 m radius reaches."""
    low = building.low[:2]
    free = navigable(low, building.high[:2], building.boxes, CLEARANCE)
    path, stops = coverage_path(free, SPACING)
    looks = _spread(path[stops], stops)
    step = np.diff(path, axis=0)
    heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    heading = np.append(heading, heading[-1])
    positions, headings, turned = [], [], 0.0
    for index, (position, angle) in enumerate(zip(path, heading)):
        positions.append(position)
        headings.append(angle + turned)
        if index in looks:
            turns = np.linspace(0, 2 * np.pi, TURN_STEPS + 1)[1:]
            positions += [position] * len(turns)
            headings += list(angle + turned + turns)
            turned += 2 * np.pi
    places, angles = np.array(positions), np.array(headings)
    duration = np.maximum(np.hypot(*np.diff(places, axis=0).T) / SPEED,
                          np.abs(np.diff(angles)) / TURN_RATE)
    moving = np.append(True, duration > 1e-9)
    times = np.append(0.0, np.cumsum(duration))[moving]
    rotation = building.T_world_building[:2, :2]
    return Route(times, (places[moving] + low) @ rotation.T, angles[moving] + building.yaw)


def _spread(places: NDArray[np.float64], stops: NDArray[np.int64]) -> set[int]:
    """Return those stops whose places (N, 2) are LOOK_SPACING from each other."""
    chosen: list[int] = []
    for number, place in enumerate(places):
        if all(np.hypot(*(place - places[other])) > LOOK_SPACING for other in chosen):
            chosen.append(number)
    return {int(stops[number]) for number in chosen}
