"""A recording in a building: what the sensors of a robot deliver on its route, and the truth."""
import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.data.frames import Frame
from instant_nerf_ros.nerf.angular_velocity import angular_velocity
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.simulation.building import Building
from instant_nerf_ros.simulation.imperfections import (
    EXACT,
    Drift,
    Imperfections,
    lens,
    recorded,
    with_pose_noise,
)
from instant_nerf_ros.simulation.route import Route, T_base_camera
from instant_nerf_ros.simulation.shutter import exposed, pixel_velocity, twist
from instant_nerf_ros.simulation.walker import Passerby, Walker, with_walker

MOMENT = 0.01  # s, in which the velocity of the camera is measured


@dataclasses.dataclass(frozen=True)
class Capture:
    """A frame as a robot delivers it, and what is true."""

    frame: Frame
    lens: Camera  # with which the image was taken
    T_world_camera: NDArray[np.float64]  # (4, 4) where the camera was
    depth: NDArray[np.float32]  # (H, W) m along the optical axis, of all that was in view
    still: NDArray[np.bool_]  # (H, W) whether a pixel shows the building, not a walker


@dataclasses.dataclass(frozen=True)
class Recording:
    """The drive of a robot with a camera through a building."""

    building: Building
    route: Route
    camera: Camera  # by its CameraInfo
    height: float = 0.8  # m, of the camera
    pitch: float = 0.14  # rad, downward
    rate: float = 15.0  # Hz, of the images
    imperfections: Imperfections = EXACT
    walker: Walker | Passerby | None = None
    seed: int = 0  # of the errors

    def captures(self, translation: float = 0.0, rotation: float = 0.0) -> Iterator[Capture]:
        """Yield the images along the route.

        Of these, only those are rendered whose camera has moved by a translation [m] or turned by
        a rotation [rad] since the one before, which saves time; 0: all.
        """
        random = np.random.default_rng(self.seed)
        drift = Drift(self.imperfections, random)
        last = None
        for number in range(int(self.route.duration * self.rate) + 1):
            time = number / self.rate
            pose = self.T_world_camera(time)
            if last is not None and not _moved(last, pose, translation, rotation):
                continue
            last = pose
            yield self._capture(time, drift, random)

    def T_world_camera(self, time: float) -> NDArray[np.float64]:
        """Return the true pose (4, 4) of the optical frame at a time [s]."""
        return self.route.T_world_base(time) @ T_base_camera(self.height, self.pitch)

    def _angular_velocity(self, time: float) -> NDArray[np.float64]:
        """Return what the poses of the images before and after say, which have noise as well."""
        random = np.random.default_rng((self.seed, round(time * 1e9)))
        times = np.clip([time - 1 / self.rate, time + 1 / self.rate], 0, self.route.duration)
        before, after = (with_pose_noise(self.T_world_camera(each), self.imperfections, random)
                         for each in times)
        return angular_velocity(before, after, float(np.diff(times)[0]))

    def _capture(self, time: float, drift: Drift, random: np.random.Generator) -> Capture:
        errors, camera = self.imperfections, lens(self.camera, self.imperfections)
        pose = self.T_world_camera(time)
        rendering = self.building.view(camera, pose)
        still = np.ones(rendering.depth.shape, bool)
        if self.walker is not None:
            rendering, still = with_walker(rendering, self.walker, camera, pose, time)
        reflects = np.array([*(box.reflects for box in self.building.boxes), True])
        velocity = twist(pose, self.T_world_camera(time + MOMENT), MOMENT)
        image = exposed(rendering.image, pixel_velocity(camera, rendering.depth, velocity),
                        errors.exposure, errors.readout)
        depth = errors.depth.measure(rendering.depth, reflects[rendering.boxes], random)
        frame = Frame(
            round(time * 1e9), recorded(image, errors, random), self.camera,
            with_pose_noise(drift.displaced(pose, time), errors, random), depth,
            angular_velocity=self._angular_velocity(time))
        return Capture(frame, camera, pose, rendering.depth, still)


def _moved(
    before: NDArray[np.float64], after: NDArray[np.float64], translation: float, rotation: float,
) -> bool:  # fmt: skip
    """Return whether a pose is at least so far from another one [m, rad]."""
    change = np.linalg.inv(before) @ after
    angle = math.acos(min(max((np.trace(change[:3, :3]) - 1) / 2, -1.0), 1.0))
    return bool(np.linalg.norm(change[:3, 3]) >= translation or angle >= rotation)
