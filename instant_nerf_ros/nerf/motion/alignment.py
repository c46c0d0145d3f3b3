"""Alignment: poses of late, corrected by what their images have in common."""
import dataclasses

import numpy as np

from instant_nerf_ros.nerf.motion import epipolar, reprojection
from instant_nerf_ros.nerf.motion.tracks import Tracks

BACK = 1, 2, 4, 8, 15, 30  # how many images before an image it is compared with
WINDOW = BACK[-1] + 1
FREE = 24  # of the latest poses are corrected
LEAST_MOTION = 0.02  # metres; less, and an epipolar line says nothing of a match
FEWEST = 15  # matches of two images
GATE = 4.0  # pixels from the epipolar line of the given poses, beyond which a match is wrong
TRACKS = 150  # of an image, at most
# Pixels. That of a feature is far less, but those of an image are wrong together: lenses differ
# from their models, and most cameras expose a row after the other.
NOISE = 5.0
OUTLIER = 2.0  # pixels, of the Cauchy loss
PARALLAX = 2.0  # pixels; less, and nothing is known of how far a point is
JUMP = 4.0  # times the error that is expected; then the given poses have jumped
NEAR = 0.1  # metres; what seems nearer is a wrong match


@dataclasses.dataclass
class Aligned:
    """An image that others are compared with."""

    number: int
    given: np.ndarray  # T_world_camera (4, 4), as it came
    pose: np.ndarray  # the same, corrected
    focal: float  # pixels
    places: np.ndarray  # (N, 3) features, on the plane z = 1
    descriptors: np.ndarray  # (N, 128)


@dataclasses.dataclass
class Observations:
    """M observations of points, each in an image that is not the first of its track."""

    tracks: np.ndarray  # (M,), in order
    anchors: np.ndarray  # (M,) the first image of the track
    cameras: np.ndarray  # (M,) the image
    geometry: tuple  # T_camera_anchor (M, 4, 4), starts (M, 3) in the anchor, focal (M, 1)
    places: np.ndarray  # (M, 3) in the image, on the plane z = 1, as starts

    def jumped(self, camera, rotation, position):
        """Say whether an image shows what others do elsewhere than they let expect.

        rotation [rad] and position [m]: standard deviations of poses.
        """
        of_it = self.cameras == camera
        inverse, known, errors = self._located(~of_it)
        focal = self.geometry[2][:, 0]
        expected = np.sqrt(
            OUTLIER**2 + focal**2 * (rotation**2 + (position * inverse) ** 2))
        errors = (np.linalg.norm(errors, axis=-1) / expected)[known & of_it]
        return len(errors) >= FEWEST and np.median(errors) > JUMP

    def normal_equations(self, poses, first):
        """Return the normal matrix (P, 6, P, 6) and the gradient (P, 6) of so many poses."""
        inverse, known, errors = self._located(np.ones(len(self.tracks), bool))
        loss = 1 + (errors**2).sum(-1) / OUTLIER**2
        roots = (known / NOISE / np.sqrt(loss))[:, None]
        by_anchor, by_camera, by_depth = reprojection.jacobians(*self.geometry, inverse)
        return reprojection.schur_complement(
            roots[..., None] * by_anchor, roots[..., None] * by_camera, roots * by_depth,
            roots * errors, self.anchors, self.cameras, self.tracks, poses, first)

    def _located(self, by):
        """Return inverse depths [1/m], whether they are known, and errors (M, 2) [pixels].

        by (M,): whether an observation helps to find them.
        """
        T_camera_anchor, starts, focal = self.geometry
        inverse, parallax = reprojection.inverse_depths(
            T_camera_anchor, starts, focal * by[:, None], self.places, self.tracks)
        known = (parallax > PARALLAX) & (inverse > 0) & (inverse * NEAR < 1)
        inverse = inverse[self.tracks]
        errors = reprojection.errors(*self.geometry, inverse, self.places)
        return inverse, known[self.tracks], errors


class Alignment:
    """Bundle adjustment (Triggs et al. 2000) of the latest poses and the points seen from them.

    A pose stays near where it was given, as that is all that tells where the world is. Where the
    given poses jump, as when SLAM closes a loop, all begins anew: what was seen is elsewhere now.
    """

    def __init__(self, config):
        self.sigmas = np.repeat([np.radians(config.rotation_error), config.position_error], 3)
        self.images = []  # Aligned, the latest last
        self.tracks = Tracks()  # of their features

    def add(self, gray, camera, T_world_camera, number):
        """Take an image (H, W) uint8, and correct poses; returns {number: T_world_camera}."""
        new = Aligned(number, T_world_camera, T_world_camera, camera.fx,
                      *epipolar.features(gray, camera))
        self._take(new)
        seen = self._see()
        if seen.jumped(len(self.images) - 1, *self.sigmas[[0, 3]]):
            self.images, self.tracks = [], Tracks()
            self._take(new)
        else:
            self._step(seen)
        return {image.number: image.pose for image in self.images[-FREE:]}

    def _take(self, new):
        self.images = [*self.images, new][-WINDOW:]
        self.tracks.add(len(new.places), WINDOW)
        for back in BACK:
            if back < len(self.images):
                self._match(new, back)

    def _match(self, new, back):
        other = self.images[-1 - back]
        T_other_camera = np.linalg.inv(other.given) @ new.given
        if np.linalg.norm(T_other_camera[:3, 3]) < LEAST_MOTION:
            return
        own, its = epipolar.matches(new.descriptors, other.descriptors).T
        off = epipolar.sampson_distance(T_other_camera, new.places[own], other.places[its])
        good = abs(off) * new.focal < GATE
        if good.sum() >= FEWEST:
            self.tracks.join(own[good], back, its[good])

    def _see(self):
        """Return Seen: what the images but the first of each track show."""
        table = self.tracks.best(TRACKS, FREE)
        tracks, images = np.nonzero(table >= 0)
        firsts = np.cumsum([0, *(len(image.places) for image in self.images)])
        places = np.concatenate([image.places for image in self.images])[
            firsts[images] + table[tracks, images]]
        begins = np.searchsorted(tracks, tracks)
        others = begins < np.arange(len(tracks))
        tracks, anchors, cameras = tracks[others], images[begins][others], images[others]
        starts, places = places[begins][others], places[others]

        poses = np.stack([image.pose for image in self.images])
        T_camera_anchor = np.linalg.inv(poses)[cameras] @ poses[anchors]
        focal = np.array([image.focal for image in self.images])[cameras, None]
        return Observations(tracks, anchors, cameras, (T_camera_anchor, starts, focal), places)

    def _step(self, seen):
        """Take a step of Gauss-Newton; the next image brings the next."""
        free = self.images[-FREE:]
        normal, gradient = seen.normal_equations(len(self.images), len(self.images) - len(free))
        precision = np.tile(self.sigmas**-2, len(free))
        away = [epipolar.motion_of(np.linalg.inv(image.given) @ image.pose) for image in free]
        motions = -np.linalg.solve(
            normal.reshape(len(precision), -1) + np.diag(precision),
            gradient.ravel() + precision * np.concatenate(away))
        for image, motion in zip(free, motions.reshape(-1, 6)):
            image.pose = epipolar.apply_motion(image.pose, motion)
