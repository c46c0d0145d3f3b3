"""Alignment: poses of late, corrected by what their images have in common."""
import dataclasses

import numpy as np

from instant_nerf_ros.nerf import epipolar

BACK = 1, 2, 4, 8, 15, 30  # how many images before an image it is compared with
KEPT = BACK[-1] + 1
FREE = 12  # of the latest poses are corrected
LEAST_MOTION = 0.02  # metres; less, and nothing follows from epipolar lines
FEWEST, MOST = 15, 60  # matches of two images
GATE = 6.0  # pixels from the epipolar line of the given poses, beyond which a match is wrong
NOISE = 4.0  # pixels: that of a match is far less, but many are wrong in the same way
OUTLIER = 2.0  # of the Cauchy loss, in units of the noise


@dataclasses.dataclass
class Aligned:
    """An image that others are compared with."""

    number: int
    given: np.ndarray  # T_world_camera (4, 4), as it came
    pose: np.ndarray  # the same, corrected
    places: np.ndarray  # (N, 3) features, on the plane z = 1
    descriptors: np.ndarray  # (N, 128)
    matches: list  # of number, places (M, 3) here and there


class Alignment:
    """Bundle adjustment without points: the latest poses, such that epipolar lines meet.

    A pose stays near where it was given, as that is all that tells where the world is.
    """

    def __init__(self, config):
        self.sigmas = np.repeat([np.radians(config.rotation_error), config.position_error], 3)
        self.images = []  # Aligned, the latest last

    def add(self, gray, camera, T_world_camera, number):
        """Take an image (H, W) uint8, and correct poses; returns {number: T_world_camera}."""
        new = Aligned(number, T_world_camera, T_world_camera,
                      *epipolar.features(gray, camera), [])
        for back in BACK:
            if back <= len(self.images):
                self._match(new, self.images[-back], camera.fx)
        self.images = [*self.images, new][-KEPT:]
        self._solve(camera.fx)
        return {image.number: image.pose for image in self.images[-FREE:]}

    def _match(self, new, other, focal):
        T_other_camera = np.linalg.inv(other.given) @ new.given
        if np.linalg.norm(T_other_camera[:3, 3]) < LEAST_MOTION:
            return
        own, its = epipolar.matches(new.descriptors, other.descriptors).T
        places, others = new.places[own], other.places[its]
        off = epipolar.off_lines(T_other_camera[None], np.zeros(len(own), int), places, others)
        good = np.flatnonzero(abs(off) * focal < GATE)
        if len(good) >= FEWEST:
            good = good[:: -(-len(good) // MOST)]
            new.matches.append((other.number, places[good], others[good]))

    def _solve(self, focal):
        """Take a step of Gauss-Newton; the next image brings the next."""
        places_of = {image.number: k for k, image in enumerate(self.images)}
        pairs = [(k, places_of[number], *both) for k, image in enumerate(self.images)
                 for number, *both in image.matches if number in places_of]
        first = max(len(self.images) - FREE, 0)
        pairs = [pair for pair in pairs if max(pair[:2]) >= first]
        if not pairs:
            return
        cameras, others = np.array([pair[:2] for pair in pairs]).T
        poses = np.stack([image.pose for image in self.images])
        of_pair = np.repeat(np.arange(len(pairs)), [len(pair[2]) for pair in pairs])
        seen = (np.linalg.inv(poses[others]) @ poses[cameras], of_pair,
                *(np.concatenate(parts) for parts in list(zip(*pairs))[2:]))
        errors = epipolar.off_lines(*seen) * focal / NOISE
        slopes = epipolar.slopes(*seen) * focal / NOISE
        weighted = slopes / (1 + (errors / OUTLIER) ** 2)[:, None]
        size = len(self.images)
        normal, gradient = np.zeros((size, 6, size, 6)), np.zeros((size, 6))
        ends = np.searchsorted(of_pair, np.arange(len(pairs) + 1))
        for pair, (begin, end) in enumerate(zip(ends, ends[1:])):
            rows = weighted[begin:end].T
            square = (rows @ slopes[begin:end]).reshape(2, 6, 2, 6)
            down = (rows @ errors[begin:end]).reshape(2, 6)
            both = cameras[pair], others[pair]
            for a, k in enumerate(both):
                gradient[k] += down[a]
                for b, m in enumerate(both):
                    normal[k, :, m] += square[a, :, b]
        for k, image in enumerate(self.images):
            away = epipolar.motion_of(np.linalg.inv(image.given) @ image.pose)
            normal[k, :, k] += np.diag(self.sigmas**-2)
            gradient[k] += away / self.sigmas**2
        free = slice(first, None)
        count = 6 * (size - first)
        motions = -np.linalg.solve(
            normal[free, :, free].reshape(count, count), gradient[free].ravel())
        for image, motion in zip(self.images[free], motions.reshape(-1, 6)):
            image.pose = epipolar.moved(image.pose, motion)
