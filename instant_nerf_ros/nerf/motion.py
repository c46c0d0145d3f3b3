"""Motion: what images without depth tell when the camera has moved: poses, and distances."""
import dataclasses

import cv2
import numpy as np

from instant_nerf_ros.nerf import motion_stereo
from instant_nerf_ros.nerf.alignment import KEPT, Alignment
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.ranges import Ranges

ALIGNED_WIDTH, STEREO_WIDTH = 320, 160  # pixels of the images that are compared
EVERY = 2  # images of which one is asked for distances: they show much the same
LATER = 8  # images that come before distances are told: those then see it from both sides
FARTHEST = 5.0  # metres: what is further has hardly moved between two images
MOST_POINTS = 3000  # of an image


@dataclasses.dataclass(frozen=True)
class Small:
    """An image as it is compared with others."""

    number: int
    gray: np.ndarray  # (H, W) uint8
    camera: Camera


class Motion:
    """The images of late, and what follows from how what they show has moved."""

    def __init__(self, config):
        self.config = config
        self.alignment = Alignment(config)
        self.images = []  # Small, the latest last
        self.ranges = Ranges()  # what stereo tells: learnt, but nothing that a map is made of
        self.seen = 0

    def see(self, keyframes, generator):
        """Take in the latest keyframe, if it has no depth: correct poses, learn distances."""
        if not (self.config.align or self.config.stereo):
            return
        camera, image, depth = keyframes.image(-1)
        if depth.any():
            return
        pose, number = keyframes.T_world_camera[-1], keyframes.numbers[-1]
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if self.config.align:
            small = _small(gray, camera, ALIGNED_WIDTH)
            keyframes.correct(self.alignment.add(*small, pose, number))
        if self.config.stereo:
            self.images = [*self.images, Small(number, *_small(gray, camera, STEREO_WIDTH))]
            self.images = self.images[-KEPT:]
            self.seen += 1
            if self.seen % EVERY == 0 and len(self.images) > LATER:
                self.ranges.add(*self._distances(keyframes, self.images[-1 - LATER]), generator)

    def _distances(self, keyframes, image):
        """Return where an image was taken, (3,), and points (N, 3) on what it shows."""
        rows = {number: k for k, number in enumerate(keyframes.numbers)}
        others = [other for other in self.images if other is not image
                  and other.camera == image.camera and other.number in rows]
        if image.number not in rows or not others:
            return np.zeros(3), np.empty((0, 3))
        pose = keyframes.T_world_camera[rows[image.number]]
        poses = keyframes.T_world_camera[[rows[other.number] for other in others]]
        partners = motion_stereo.partners(pose, poses)
        depth = motion_stereo.depth(image.gray, image.camera, pose, [
            (others[k].gray, poses[k]) for k in partners])
        rays = image.camera.directions()
        seen = np.flatnonzero(depth.ravel() < FARTHEST)  # NaN is not
        seen = seen[:: max(1, -(-len(seen) // MOST_POINTS))]
        points = rays[seen] / rays[seen, 2:] * depth.ravel()[seen, None]
        return pose[:3, 3], points @ pose[:3, :3].T + pose[:3, 3]


def _small(gray, camera, width):
    """Return an image, no wider than that, and its camera."""
    if camera.width <= width:
        return gray, camera
    camera = camera.scaled(width, max(round(camera.height * width / camera.width), 1))
    return cv2.resize(
        gray, (camera.width, camera.height), interpolation=cv2.INTER_AREA), camera
