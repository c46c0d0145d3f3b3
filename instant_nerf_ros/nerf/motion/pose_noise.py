"""Pose noise: how noisy given poses are, by how their motions differ from registered ones."""
from __future__ import annotations

import collections

import numpy as np

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.motion import epipolar
from instant_nerf_ros.nerf.motion.depth_estimate import robust_deviation
from instant_nerf_ros.nerf.motion.reprojection import Array

LATEST, LEAST = 60, 5  # motions that are compared: the latest, and before anything is said
# Standard deviations along an axis of registered motions: rad, m. Those of a recorded Kinect
# differ by 0.2 degrees and 6 mm from motions of a fusion of all its depth images.
OF_REGISTRATION = np.radians(0.25), 0.008
# Poses that are better than this are not corrected, and none is trusted more.
NEGLIGIBLE, LEAST_SIGMAS = (np.radians(0.2), 0.006), (np.radians(0.05), 0.002)
# Of the standard deviations: drift from image to image. The least one leaves registrations as they
# are; with the largest one, images are hardly registered with each other.
LEAST_DRIFT, MOST_DRIFT = 0.01, 0.6
DRIFT_RATE = 1.1  # from image to image
# Corrections of independent errors have no correlation, but for chance.
WHITE = 0.03  # correlation of neighboring corrections
LEAST_IMAGES = 12  # of a window, whose corrections are compared


class PoseNoise:
    """The standard deviations of independent errors of poses, and how much the poses drift."""

    def __init__(self) -> None:
        self.drift = LEAST_DRIFT  # from image to image, in standard deviations
        self._differences: collections.deque[Array] = collections.deque(maxlen=LATEST)

    def add(self, T_registered_given: Pose) -> None:
        """Add the difference (4, 4) between a given and a registered motion of the camera."""
        self._differences.append(epipolar.motion_of(T_registered_given))

    def adapt(self, corrections: Array) -> None:
        """Adapt the drift to the corrections (N, 6) of neighboring images.

        Where given poses have independent errors alone, so have the corrections. If neighboring
        ones are alike, the given poses drift, and are trusted too little (Mehra 1970, "On the
        identification of variances and adaptive Kalman filtering").
        """
        if len(corrections) < LEAST_IMAGES:
            return
        scaled = corrections / np.sqrt((corrections**2).mean(0)).clip(min=1e-9)
        alike = (scaled[1:] * scaled[:-1]).mean() > WHITE
        drift = self.drift * DRIFT_RATE if alike else self.drift / DRIFT_RATE
        self.drift = min(max(drift, LEAST_DRIFT), MOST_DRIFT)

    def sigmas(self) -> Array | None:
        """Return the standard deviations (6,) of rotation [rad] and translation [m], per axis.

        None if they are negligible, or unknown yet. A motion has the errors of two poses, and
        that of the registration.
        """
        if len(self._differences) < LEAST:
            return None
        differences = np.array(self._differences)
        measured = np.array([
            robust_deviation(differences[:, :3]), robust_deviation(differences[:, 3:])])
        own = np.sqrt((measured**2 - np.square(OF_REGISTRATION)).clip(min=0) / 2)
        if (own < NEGLIGIBLE).all():
            return None
        return np.repeat(np.maximum(own, LEAST_SIGMAS), 3)
