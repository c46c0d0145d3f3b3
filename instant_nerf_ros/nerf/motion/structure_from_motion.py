"""Structure from motion: poses and distances from the images of a moving camera without depth."""
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Poses
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.ranges import Ranges, point_rays
from instant_nerf_ros.nerf.config import MotionConfig
from instant_nerf_ros.nerf.motion import plane_sweep
from instant_nerf_ros.nerf.motion.alignment import WINDOW, Alignment
from instant_nerf_ros.nerf.motion.plane_sweep import UndistortedImage

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

ALIGNED_WIDTH, STEREO_WIDTH = 320, 160  # pixels of the images that are compared
STEREO_EVERY = 2  # images, of which one gets depth: neighbors show much the same
DELAY = 8  # later images before an image gets depth, so that it has partners on both sides
MAX_POINTS = 3000  # of an image
VALIDATORS = 2  # earlier depth images, one of which must agree: most errors are in one image only


@dataclasses.dataclass(frozen=True)
class StereoImage:
    """An image that is matched with others, and the id of its keyframe."""

    keyframe: int
    image: UndistortedImage


class StructureFromMotion:
    """The latest images, the corrections of their poses, and their pseudo depth."""

    def __init__(self, config: MotionConfig, backend: Backend) -> None:
        self.config, self.backend = config, backend
        self.alignment = Alignment(config)
        self.images: list[StereoImage] = []  # the latest last
        self.depths: list[tuple[StereoImage, NDArray[np.float32]]] = []  # of the latest ones
        self.pseudo_depth = Ranges()  # trains the field, but never votes
        self._count = 0

    def add_keyframe(self, keyframes: Keyframes, generator: np.random.Generator) -> None:
        """Add the latest keyframe if it has no depth: correct poses, compute pseudo depth."""
        if not (self.config.align or self.config.stereo):
            return
        camera, image, depth = keyframes.image(-1)
        if depth.any():
            return
        pose, keyframe = keyframes.T_world_camera[-1], int(keyframes.ids[-1])
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if self.config.align:
            small = _scaled(gray, camera, ALIGNED_WIDTH)
            keyframes.set_poses(self.alignment.add(*small, pose, keyframe))
        if self.config.stereo:
            undistorted = plane_sweep.undistort(*_scaled(gray, camera, STEREO_WIDTH))
            self.images = [*self.images, StereoImage(keyframe, undistorted)][-WINDOW:]
            self._count += 1
            if self._count % STEREO_EVERY == 0 and len(self.images) > DELAY:
                self._add_pseudo_depth(keyframes, self.images[-1 - DELAY], generator)

    def correct_poses(self, corrections: Poses) -> None:
        """Move the pseudo depth of keyframes by {id: T_new_old (4, 4)}."""
        self.pseudo_depth.correct_poses(corrections)
        self.alignment = Alignment(self.config)  # its poses are the old ones

    def _add_pseudo_depth(
        self, keyframes: Keyframes, image: StereoImage, generator: np.random.Generator,
    ) -> None:  # fmt: skip
        """Compute the depth of an image, and keep the points with which an earlier one agrees."""
        poses = dict(zip(keyframes.ids.tolist(), keyframes.T_world_camera))
        if image.keyframe not in poses:
            return
        pose = poses[image.keyframe]
        sides: tuple[list[plane_sweep.PosedView], list[plane_sweep.PosedView]] = [], []
        for other in self.images:
            same_size = other.image.gray.shape == image.image.gray.shape
            if other is not image and same_size and other.keyframe in poses:
                later = other.keyframe > image.keyframe
                sides[later].append((other.image, poses[other.keyframe]))
        earlier, later_views = (plane_sweep.stereo_partners(pose, side) for side in sides)
        depth = plane_sweep.depth(image.image, pose, earlier, later_views, self.backend)
        points = plane_sweep.points(image.image, pose, depth)
        confirmed = np.zeros(len(points), bool)
        for other, its_depth in self.depths:
            if other.keyframe in poses:
                confirmed |= plane_sweep.agrees(
                    other.image, poses[other.keyframe], its_depth, points)
        self.depths = [*self.depths, (image, depth)][-VALIDATORS:]
        points = points[confirmed]
        points = points[:: max(1, -(-len(points) // MAX_POINTS))]
        if len(points):
            origins = np.broadcast_to(pose[:3, 3], points.shape)
            self.pseudo_depth.add(
                point_rays(origins, points, generator), image.keyframe, generator)


def _scaled(
    gray: NDArray[np.uint8], camera: Camera, width: int,
) -> tuple[NDArray[np.uint8], Camera]:  # fmt: skip
    """Return an image of at most this width, and its camera."""
    if camera.width <= width:
        return gray, camera
    camera = camera.scaled(width, max(round(camera.height * width / camera.width), 1))
    return cv2.resize(
        gray, (camera.width, camera.height), interpolation=cv2.INTER_AREA), camera
