"""Motion: what images without depth tell when the camera has moved: poses, and distances."""
import dataclasses

import cv2
import numpy as np

from instant_nerf_ros.nerf.motion import plane_sweep
from instant_nerf_ros.nerf.motion.alignment import KEPT, Alignment
from instant_nerf_ros.nerf.capture.ranges import Ranges

ALIGNED_WIDTH, STEREO_WIDTH = 320, 160  # pixels of the images that are compared
EVERY = 2  # images of which one is asked for distances: they show much the same
LATER = 8  # images that come before distances are told: those then see it from both sides
MOST_POINTS = 3000  # of an image
WITNESSES = 2  # images asked before, one of which must say the same: most errors are of one alone


@dataclasses.dataclass(frozen=True)
class Small:
    """An image as it is compared with others."""

    number: int
    plain: plane_sweep.Plain


class Motion:
    """The images of late, and what follows from how what they show has moved."""

    def __init__(self, config):
        self.config = config
        self.alignment = Alignment(config)
        self.images = []  # Small, the latest last
        self.depths = []  # (Small, depth) of the images last asked
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
            small = plane_sweep.plain(*_small(gray, camera, STEREO_WIDTH))
            self.images = [*self.images, Small(number, small)]
            self.images = self.images[-KEPT:]
            self.seen += 1
            if self.seen % EVERY == 0 and len(self.images) > LATER:
                image = self.images[-1 - LATER]
                self.ranges.add(*self._distances(keyframes, image), generator, image.number)

    def correct(self, corrections):
        """Move what was learnt by {number of a keyframe: T_new_old (4, 4)}."""
        self.ranges.correct(corrections)
        self.alignment = Alignment(self.config)  # its poses are those of before

    def _distances(self, keyframes, image):
        """Return where an image was taken, (3,), and points (N, 3) on what it shows."""
        poses = dict(zip(keyframes.numbers, keyframes.T_world_camera))
        if image.number not in poses:
            return np.zeros(3), np.empty((0, 3))
        pose = poses[image.number]
        sides = [], []
        for other in self.images:
            alike = other.plain.gray.shape == image.plain.gray.shape
            if other is not image and alike and other.number in poses:
                sides[int(other.number > image.number)].append((other.plain, poses[other.number]))
        earlier, later = (_partners(pose, side) for side in sides)
        depth = plane_sweep.depth(image.plain, pose, earlier, later)
        seen = plane_sweep.points(image.plain, pose, depth)
        agreed = np.zeros(len(seen), bool)
        for other, its_depth in self.depths:
            if other.number in poses:
                agreed |= plane_sweep.agreed(
                    other.plain, poses[other.number], its_depth, seen)
        self.depths = [*self.depths, (image, depth)][-WITNESSES:]
        seen = seen[agreed]
        return pose[:3, 3], seen[:: max(1, -(-len(seen) // MOST_POINTS))]


def _partners(pose, others):
    """Return those of others, pairs with a pose (4, 4) second, that stereo can be made with."""
    poses = np.array([T_world_camera for _, T_world_camera in others]).reshape(-1, 4, 4)
    return [others[k] for k in plane_sweep.partners(pose, poses)]


def _small(gray, camera, width):
    """Return an image, no wider than that, and its camera."""
    if camera.width <= width:
        return gray, camera
    camera = camera.scaled(width, max(round(camera.height * width / camera.width), 1))
    return cv2.resize(
        gray, (camera.width, camera.height), interpolation=cv2.INTER_AREA), camera
