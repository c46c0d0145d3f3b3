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
from instant_nerf_ros.nerf.motion.plane_sweep import PosedView, UndistortedImage

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

ALIGNMENT_WIDTH, STEREO_WIDTH = 320, 160  # pixels, to which images are scaled
STEREO_EVERY = 2  # one of so many images gets depth: neighbors show much the same
DELAY = 8  # later images before an image gets depth, so that it has partners on both sides
MAX_POINTS = 3000  # of an image
VALIDATORS = 2  # previous depth images, one of which must agree: most errors are in one image only


@dataclasses.dataclass(frozen=True)
class StereoImage:
    """The image of a keyframe that is matched with others."""

    keyframe: int  # id
    image: UndistortedImage


class StructureFromMotion:
    """Corrects the poses of the latest keyframes without depth, and estimates their depth."""

    def __init__(self, config: MotionConfig, backend: Backend) -> None:
        self.config, self.backend = config, backend
        self.alignment = Alignment(config)
        self.images: list[StereoImage] = []  # the latest last
        self.depths: list[tuple[StereoImage, NDArray[np.float32]]] = []  # of the latest ones
        self.pseudo_depth = Ranges()  # trains the field, but never votes
        self._count = 0  # of all images

    def add_keyframe(self, keyframes: Keyframes, generator: np.random.Generator) -> None:
        """Process the latest keyframe: correct poses and estimate depth; not if it has depth."""
        if not (self.config.align or self.config.stereo):
            return
        camera, image, depth = keyframes.image(-1)
        if depth.any():
            return
        pose, keyframe = keyframes.T_world_camera[-1], int(keyframes.ids[-1])
        gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        if self.config.align:
            keyframes.set_poses(
                self.alignment.add(*_scaled(gray, camera, ALIGNMENT_WIDTH), pose, keyframe))
        if self.config.stereo:
            undistorted = plane_sweep.undistort(*_scaled(gray, camera, STEREO_WIDTH))
            self.images = [*self.images, StereoImage(keyframe, undistorted)][-WINDOW:]
            self._count += 1
            if self._count % STEREO_EVERY == 0 and len(self.images) > DELAY:
                self._add_pseudo_depth(keyframes, self.images[-1 - DELAY], generator)

    def correct_poses(self, corrections: Poses) -> None:
        """Move the pseudo depth of keyframes by {id: T_new_old (4, 4)}."""
        self.pseudo_depth.correct_poses(corrections)
        self.alignment = Alignment(self.config)  # without the poses before the correction

    def _add_pseudo_depth(
        self, keyframes: Keyframes, image: StereoImage, generator: np.random.Generator,
    ) -> None:  # fmt: skip
        """Estimate the depth of an image, and keep the points with which a previous one agrees."""
        poses = dict(zip(keyframes.ids.tolist(), keyframes.T_world_camera))
        if image.keyframe not in poses:
            return
        pose = poses[image.keyframe]
        earlier: list[PosedView] = []
        later: list[PosedView] = []
        for other in self.images:
            same_size = other.image.gray.shape == image.image.gray.shape
            if other is not image and same_size and other.keyframe in poses:
                side = later if other.keyframe > image.keyframe else earlier
                side.append((other.image, poses[other.keyframe]))
        depth = plane_sweep.depth(
            image.image, pose, plane_sweep.stereo_partners(pose, earlier),
            plane_sweep.stereo_partners(pose, later), self.backend)
        points = plane_sweep.points(image.image, pose, depth)
        confirmed = np.zeros(len(points), bool)
        for other, other_depth in self.depths:
            if other.keyframe in poses:
                confirmed |= plane_sweep.agrees(
                    other.image, poses[other.keyframe], other_depth, points)
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
    """Return an image scaled down to at most a width [pixels], and its camera."""
    if camera.width <= width:
        return gray, camera
    camera = camera.scaled(width, max(round(camera.height * width / camera.width), 1))
    scaled = cv2.resize(gray, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, dtype=np.uint8), camera
