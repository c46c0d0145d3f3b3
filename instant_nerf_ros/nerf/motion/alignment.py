"""Alignment: bundle adjustment of the poses of the latest images."""
import dataclasses

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose, Poses
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.config import MotionConfig
from instant_nerf_ros.nerf.motion import epipolar, reprojection
from instant_nerf_ros.nerf.motion.reprojection import Array, Indices
from instant_nerf_ros.nerf.motion.tracks import Tracks

MATCH_OFFSETS = 1, 2, 4, 8, 15, 30  # an image is matched with the images that much earlier
WINDOW = MATCH_OFFSETS[-1] + 1  # images
FREE_POSES = 24  # the latest ones, which are corrected
MIN_BASELINE = 0.02  # metres; with less, the epipolar constraint rejects no wrong match
MIN_MATCHES = 15  # of two images
MAX_EPIPOLAR_DISTANCE = 4.0  # pixels, of a correct match, by the given poses
MAX_TRACKS = 150  # of an image
# Standard deviation of residuals [pixels]. The noise of single features is far smaller, but the
# residuals of an image are correlated: lenses differ from their models, and most cameras have a
# rolling shutter.
NOISE = 5.0
CAUCHY_SCALE = 2.0  # pixels, of the Cauchy loss
MIN_PARALLAX = 2.0  # pixels; with less, the depth of a point is unknown
JUMP_RATIO = 4.0  # of residuals to their standard deviation, beyond which the given poses jumped
MIN_DEPTH = 0.1  # metres; points that are nearer come from wrong matches


@dataclasses.dataclass
class AlignedImage:
    """The features of an image, and its pose."""

    keyframe: int  # id
    given_pose: Pose  # T_world_camera, as it was added
    pose: Pose  # T_world_camera, corrected
    focal: float  # pixels
    keypoints: Array  # (N, 3) homogeneous normalized image coordinates
    descriptors: NDArray[np.float32]  # (N, 128)

    def move(self, motion: Array) -> None:
        """Apply a motion (6,) in the frame of the camera to the pose."""
        self.pose = epipolar.apply_motion(self.pose, motion)


@dataclasses.dataclass
class Observations:
    """M observations of points of tracks, in other images than their anchors."""

    tracks: Indices  # (M,) sorted
    anchors: Indices  # (M,) index of the first image of the track
    cameras: Indices  # (M,) index of the image
    T_camera_anchor: Array  # (M, 4, 4)
    anchor_keypoints: Array  # (M, 3)
    focal: Array  # (M, 1) pixels
    keypoints: Array  # (M, 3)

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
        """Return the matrix (P, 6, P, 6) and gradient (P, 6) of the poses from first_free on."""
        inverse_depth, known, residuals = self._triangulate(np.ones(len(self.tracks), bool))
        loss = 1 + (residuals**2).sum(-1) / CAUCHY_SCALE**2
        weights = (known / NOISE / np.sqrt(loss))[:, None]
        J_anchor, J_camera, J_depth = reprojection.jacobians(
            self.T_camera_anchor, self.anchor_keypoints, self.focal, inverse_depth)
        return reprojection.schur_complement(
            weights[..., None] * J_anchor, weights[..., None] * J_camera, weights * J_depth,
            weights * residuals, self.anchors, self.cameras, self.tracks, poses, first_free)

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


class Alignment:
    """Sliding-window bundle adjustment (Triggs et al. 2000) with priors at the given poses.

    The priors alone define the world frame. Where the given poses jump, as after a loop closure of
    SLAM, the window starts again: points of earlier images have other positions now.
    """

    def __init__(self, config: MotionConfig) -> None:
        self.sigmas = np.repeat([np.radians(config.rotation_error), config.position_error], 3)
        self.images: list[AlignedImage] = []  # the latest last
        self.tracks = Tracks()  # of their features

    def add(
        self, gray: NDArray[np.uint8], camera: Camera, T_world_camera: Pose, keyframe: int,
    ) -> Poses:  # fmt: skip
        """Add an image (H, W) of a keyframe, by id, and return corrected T_world_camera by id."""
        image = AlignedImage(keyframe, T_world_camera, T_world_camera, camera.fx,
                             *epipolar.features(gray, camera))
        self._append(image)
        observations = self._observations()
        if observations.jumped(len(self.images) - 1, *self.sigmas[[0, 3]]):
            self.images, self.tracks = [], Tracks()
            self._append(image)
        else:
            self._optimize(observations)
        return {image.keyframe: image.pose for image in self.images[-FREE_POSES:]}

    def _append(self, image: AlignedImage) -> None:
        self.images = [*self.images, image][-WINDOW:]
        self.tracks.add_image(len(image.keypoints), WINDOW)
        for offset in MATCH_OFFSETS:
            if offset < len(self.images):
                self._match(image, offset)

    def _match(self, image: AlignedImage, offset: int) -> None:
        other = self.images[-1 - offset]
        T_other_camera = np.linalg.inv(other.given_pose) @ image.given_pose
        if np.linalg.norm(T_other_camera[:3, 3]) < MIN_BASELINE:
            return
        own, matched = epipolar.match(image.descriptors, other.descriptors).T
        distances = epipolar.sampson_distance(
            T_other_camera, image.keypoints[own], other.keypoints[matched])
        correct = abs(distances) * image.focal < MAX_EPIPOLAR_DISTANCE
        if correct.sum() >= MIN_MATCHES:
            self.tracks.merge(own[correct], offset, matched[correct])

    def _observations(self) -> Observations:
        """Return the observations of the longest tracks."""
        table = self.tracks.longest(MAX_TRACKS, FREE_POSES)
        tracks, images = np.nonzero(table >= 0)
        first = np.cumsum([0, *(len(image.keypoints) for image in self.images)])
        keypoints = np.concatenate([image.keypoints for image in self.images])[
            first[images] + table[tracks, images]]
        anchors = np.searchsorted(tracks, tracks)
        others = anchors < np.arange(len(tracks))
        anchors, cameras = anchors[others], images[others]

        poses = np.stack([image.pose for image in self.images])
        focal = np.array([image.focal for image in self.images])
        return Observations(
            tracks[others], images[anchors], cameras,
            np.linalg.inv(poses)[cameras] @ poses[images[anchors]], keypoints[anchors],
            focal[cameras, None], keypoints[others])

    def _optimize(self, observations: Observations) -> None:
        """Take one Gauss-Newton step; the next image brings the next step."""
        free = self.images[-FREE_POSES:]
        hessian, gradient = observations.normal_equations(
            len(self.images), len(self.images) - len(free))
        precision = np.tile(self.sigmas**-2, len(free))
        deviations = np.concatenate([
            epipolar.motion_of(np.linalg.inv(image.given_pose) @ image.pose) for image in free])
        motions = -np.linalg.solve(
            hessian.reshape(len(precision), -1) + np.diag(precision),
            gradient.ravel() + precision * deviations)
        for image, motion in zip(free, motions.reshape(-1, 6)):
            image.move(motion)
