"""Observations: points of tracks in the images of a window, triangulated and linearized."""
import dataclasses

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.motion import reprojection
from instant_nerf_ros.nerf.motion.reprojection import Array, Indices

MIN_MATCHES = 15  # of two images
# Standard deviation of residuals [pixels]. The noise of single features is far smaller, but the
# residuals of an image are correlated: lenses differ from their models.
NOISE = 1.5
CAUCHY_SCALE = 2.0  # pixels, of the Cauchy loss
MIN_PARALLAX = 2.0  # pixels; with less, the depth of a point is unknown
JUMP_RATIO = 4.0  # of residuals to their standard deviation, beyond which the given poses jumped
MIN_DEPTH = 0.1  # metres; points that are nearer come from wrong matches


@dataclasses.dataclass
class Observations:
    """M observations of points of tracks, in other images than their anchors.

    The derivatives are of the logarithms of keypoints, by 2 L parameters of L lenses: see
    Lens.log_derivatives.
    """

    tracks: Indices  # (M,) sorted
    anchors: Indices  # (M,) index of the first image of the track
    cameras: Indices  # (M,) index of the image
    T_camera_anchor: Array  # (M, 4, 4)
    focal: Array  # (M, 1) pixels
    anchor_keypoints: Array  # (M, 3)
    keypoints: Array  # (M, 3)
    anchor_times: Array  # (M,) when the rows were exposed, see rolling_shutter
    times: Array  # (M,)
    anchor_velocities: Array  # (M, 3, L) angular [rad/s], in the columns of the lenses
    velocities: Array  # (M, 3, L)
    anchor_derivatives: Array  # (M, 2 L)
    derivatives: Array  # (M, 2 L)

    def jumped(self, camera: int, rotation: float, position: float) -> bool:
        """Return whether the pose of an image contradicts the depths from the other images.

        rotation [rad] and position [m] are the standard deviations of poses.
        """
        in_camera = self.cameras == camera
        inverse_depth, known, residuals = self._triangulate(~in_camera)
        sigmas = np.sqrt(CAUCHY_SCALE**2 + self.focal[:, 0] ** 2 * (
            rotation**2 + (position * inverse_depth) ** 2))
        ratios = (np.linalg.norm(residuals, axis=-1) / sigmas)[known & in_camera]
        return len(ratios) >= MIN_MATCHES and bool(np.median(ratios) > JUMP_RATIO)

    def normal_equations(self, poses: int, first_free: int) -> tuple[Array, Array]:
        """Return the matrix (N, N) and gradient (N,) of images from first_free on, and of lenses.

        An image has a motion (6,) of its pose, and a rotation (3,) during its readout, which moves
        a row as a rotation of the pose would. Lenses have their 2 L parameters, then their L
        readouts. See reprojection.schur_complement.
        """
        inverse_depth, known, residuals = self._triangulate(np.ones(len(self.tracks), bool))
        loss = 1 + (residuals**2).sum(-1) / CAUCHY_SCALE**2
        weights = (known / NOISE / np.sqrt(loss))[:, None]
        J_anchor, J_camera, J_depth, J_keypoint = reprojection.jacobians(
            self.T_camera_anchor, self.anchor_keypoints, self.focal, inverse_depth)
        # At the predicted keypoint: at the measured one, noise would look like a longer focal
        # length, which makes all residuals smaller.
        predicted = self.focal * self.keypoints[:, :2] + residuals
        J_scale = (J_keypoint[..., :2] @ self.anchor_keypoints[:, :2, None])[..., 0]
        J_lenses = (J_scale[..., None] * self.anchor_derivatives[:, None]
                    - predicted[..., None] * self.derivatives[:, None])
        J_anchor, J_camera = (
            np.concatenate([J, times[:, None, None] * J[..., :3]], axis=-1)
            for J, times in ((J_anchor, self.anchor_times), (J_camera, self.times)))
        J_readouts = (J_anchor[..., 6:] @ self.anchor_velocities
                      + J_camera[..., 6:] @ self.velocities)
        J_lenses = np.concatenate([J_lenses, J_readouts], axis=-1)
        return reprojection.schur_complement(
            weights[..., None] * J_anchor, weights[..., None] * J_camera,
            weights[..., None] * J_lenses, weights * J_depth, weights * residuals, self.anchors,
            self.cameras, self.tracks, poses, first_free)

    def _triangulate(
        self, used: NDArray[np.bool_],
    ) -> tuple[Array, NDArray[np.bool_], Array]:  # fmt: skip
        """Return inverse depths (M,) [1/m], whether they are known, and residuals (M, 2).

        used (M,): the observations from which the depths are estimated.
        """
        inverse, parallax = reprojection.inverse_depths(
            self.T_camera_anchor, self.anchor_keypoints, self.focal * used[:, None],
            self.keypoints, self.tracks)
        known = (parallax > MIN_PARALLAX) & (inverse > 0) & (inverse * MIN_DEPTH < 1)
        inverse = inverse[self.tracks]
        residuals = reprojection.residuals(
            self.T_camera_anchor, self.anchor_keypoints, self.focal, inverse, self.keypoints)
        return inverse, known[self.tracks], residuals
