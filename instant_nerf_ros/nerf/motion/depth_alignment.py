"""Depth alignment: corrections of noisy poses of images with depth, before these vote."""
from __future__ import annotations

import dataclasses

import numpy as np

from instant_nerf_ros.nerf.arrays import Pose, Poses
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.constants import MILLIMETRE
from instant_nerf_ros.nerf.motion import epipolar
from instant_nerf_ros.nerf.motion.depth_registration import Registration, register
from instant_nerf_ros.nerf.motion.depth_surface import Array, DepthSurface
from instant_nerf_ros.nerf.motion.pose_graph import optimized
from instant_nerf_ros.nerf.motion.pose_noise import PoseNoise

# An image is registered with the images that much earlier. Registrations with images further back
# would outvote the given poses where these drift.
OFFSETS = 1, 2, 4
WINDOW = 31  # images
FREE_POSES = 24  # the latest ones, which are corrected
GATES = 0.3, 0.1, 0.05, 0.05  # m, of the iterations of a registration
SEARCH = np.repeat([np.radians(1.5), 0.03], 3)  # rad, m: what a registration may find
SMALL = np.repeat([1e-4, 3e-4], 3)  # rad, m: a step after which no other one is needed
MAX_CORRECTION = 4.0  # standard deviations along an axis; beyond, the given poses have jumped


@dataclasses.dataclass
class AlignedSurface:
    """The surface of an image, and its pose."""

    keyframe: int  # id
    surface: DepthSurface
    given_pose: Pose  # T_world_camera, as it was added
    pose: Pose  # T_world_camera, corrected

    def place(self, pose: Pose) -> None:
        """Replace the pose."""
        self.pose = pose

    def correction(self) -> Array:
        """Return the motion (6,) from the given pose."""
        return epipolar.motion_of(np.linalg.inv(self.given_pose) @ self.pose)


class DepthAlignment:
    """Registers each image with earlier ones, with a prior at the given pose (sliding window).

    The given poses alone define the world frame. How far they are trusted follows from how well
    they agree with the registrations: poses that are as good as these stay as they are. Where they
    jump, the window starts again.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.noise = PoseNoise()
        self.restart()

    def restart(self) -> None:
        """Forget all images, but not how noisy the poses are."""
        self.images: list[AlignedSurface] = []  # the latest last
        self.edges: list[tuple[int, int, Registration]] = []  # ids of target and source
        self.correction = 0.0, 0.0  # m, degrees: medians of the corrections of the latest images

    def add_keyframe(self, keyframes: Keyframes) -> None:
        """Correct the poses of the latest keyframes, if the last one has depth."""
        if not self.enabled:
            return
        camera, image, depth = keyframes.image(-1)
        if not depth.any():
            return
        surface = DepthSurface.of(image, depth * np.float32(MILLIMETRE), camera)
        if poses := self.add(surface, keyframes.T_world_camera[-1], int(keyframes.ids[-1])):
            keyframes.set_poses(poses)

    def add(self, surface: DepthSurface, T_world_camera: Pose, keyframe: int) -> Poses:
        """Add the surface of a keyframe, by id; return T_world_camera, by id, of those to move."""
        image = AlignedSurface(keyframe, surface, T_world_camera.copy(), T_world_camera.copy())
        found = self._register(image)
        if found and found[0][0] == self.images[-1].keyframe:
            given = np.linalg.inv(self.images[-1].given_pose) @ image.given_pose
            self.noise.add(np.linalg.inv(found[0][2].best(SEARCH)) @ given)
        self.images = [*self.images, image][-WINDOW:]
        known = {each.keyframe for each in self.images}
        self.edges = [edge for edge in [*self.edges, *found] if edge[0] in known]
        sigmas = self.noise.sigmas()
        if sigmas is None:
            self.correction = 0.0, 0.0
            return {}
        self._optimize(sigmas)
        if (abs(image.correction()) > MAX_CORRECTION * sigmas).any():
            self.restart()
            self.images = [image]
            image.place(image.given_pose)
        self.correction = self._correction()
        return {each.keyframe: each.pose for each in self.images[-FREE_POSES:]}

    def _register(self, image: AlignedSurface) -> list[tuple[int, int, Registration]]:
        """Return how well an image fits to earlier ones, at the pose where it fits best."""
        targets = [self.images[-offset] for offset in OFFSETS if offset <= len(self.images)]
        found: list[tuple[int, int, Registration]] = []
        pose = image.given_pose
        for gate in GATES:
            H = np.diag(SEARCH**-2)
            g = epipolar.motion_of(np.linalg.inv(image.given_pose) @ pose) / SEARCH**2
            found, near = [], []
            for target in targets:
                registration = register(
                    image.surface, target.surface, np.linalg.inv(target.pose) @ pose, gate)
                if registration is not None:
                    H, g = H + registration.hessian, g + registration.gradient
                    found.append((target.keyframe, image.keyframe, registration))
                    near.append(target)
            targets, step = near, -np.linalg.solve(H, g)
            if not targets or (gate < GATES[0] and (abs(step) < SMALL).all()):
                break
            pose = epipolar.apply_motion(pose, step)
        return found

    def _optimize(self, sigmas: Array) -> None:
        """Take two Gauss-Newton steps of all latest poses; the next image brings other ones."""
        index = {image.keyframe: k for k, image in enumerate(self.images)}
        given = np.stack([image.given_pose for image in self.images])
        poses = np.stack([image.pose for image in self.images])
        edges = [(index[target], index[source], registration)
                 for target, source, registration in self.edges]
        for _ in range(2):  # the last image is still where it was given
            poses = optimized(
                poses, given, sigmas, self.noise.drift * sigmas, edges,
                max(len(self.images) - FREE_POSES, 0))
        for image, pose in zip(self.images, poses):
            image.place(pose)
        self.noise.adapt(np.array([image.correction() for image in self.images]))

    def _correction(self) -> tuple[float, float]:
        motions = np.array([image.correction() for image in self.images]).reshape(-1, 2, 3)
        rotation, position = np.median(np.linalg.norm(motions, axis=-1), axis=0).tolist()
        return position, float(np.degrees(rotation))
