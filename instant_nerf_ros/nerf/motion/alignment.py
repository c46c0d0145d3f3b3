"""Alignment: bundle adjustment of the latest images: poses, rolling shutters and lenses."""
import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.arrays import Pose, Poses
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.config import MotionConfig
from instant_nerf_ros.nerf.motion import epipolar, rolling_shutter
from instant_nerf_ros.nerf.motion.lens import Lens, LensEstimate
from instant_nerf_ros.nerf.motion.observations import MIN_MATCHES, Observations
from instant_nerf_ros.nerf.motion.reprojection import Array
from instant_nerf_ros.nerf.motion.tracks import Tracks

MATCH_OFFSETS = 1, 2, 4, 8, 15, 30  # an image is matched with the images that much earlier
WINDOW = MATCH_OFFSETS[-1] + 1  # images
FREE_POSES = 24  # the latest ones, which are corrected
MIN_BASELINE = 0.02  # metres; with less, the epipolar constraint rejects no wrong match
MAX_EPIPOLAR_DISTANCE = 4.0  # pixels, of a correct match, by the given poses
MAX_RIGID_DISTANCE = 1.0  # pixels, of a correct match, by the motion that fits most matches
MAX_TRACKS = 300  # of an image


@dataclasses.dataclass
class AlignedImage:
    """The features of an image, and its pose."""

    keyframe: int  # id
    given_pose: Pose  # T_world_camera, as it was added
    pose: Pose  # T_world_camera, corrected
    camera: Camera
    keypoints: Array  # (N, 3) homogeneous normalized image coordinates
    times: Array  # (N,) when their rows were exposed, see rolling_shutter
    descriptors: NDArray[np.float32]  # (N, 128)
    angular_velocity: Array  # (3,) rad/s of the camera, in its own frame
    extra_rotation: Array  # (3,) rad, during the readout, beyond that of the angular velocity

    def move(self, change: Array) -> None:
        """Move the pose by a motion (6,) in the frame of the camera; add to the rotation (3,)."""
        self.pose = epipolar.apply_motion(self.pose, change[:6])
        self.extra_rotation = self.extra_rotation + change[6:]

    def correction(self) -> Array:
        """Return the motion from the given pose and the extra rotation, (9,)."""
        return np.concatenate([
            epipolar.motion_of(np.linalg.inv(self.given_pose) @ self.pose), self.extra_rotation])


@dataclasses.dataclass(frozen=True)
class AlignmentReport:
    """What the alignment has corrected, of the latest images."""

    position: float  # metres, median of the corrections of positions
    rotation: float  # degrees, median of the corrections of rotations
    lens: LensEstimate  # of the latest camera


class Alignment:
    """Sliding-window bundle adjustment (Triggs et al. 2000) with priors at the given poses.

    The priors alone define the world frame. Where the given poses jump, as after a loop closure of
    SLAM, the window starts again: points of earlier images have other positions now.
    """

    def __init__(self, config: MotionConfig) -> None:
        self.sigmas = np.repeat([
            np.radians(config.rotation_error), config.position_error,
            rolling_shutter.ROTATION_ERROR], 3)
        self.images: list[AlignedImage] = []  # the latest last
        self.tracks = Tracks()  # of their features
        self.lenses: dict[Camera, Lens] = {}

    def restart(self) -> None:
        """Forget the images, but not what they said about the lenses."""
        self.images, self.tracks = [], Tracks()

    def add(
        self, gray: NDArray[np.uint8], camera: Camera, T_world_camera: Pose, keyframe: int,
        angular_velocity: ArrayLike | None = None,
    ) -> Poses:  # fmt: skip
        """Add an image (H, W) of a keyframe, by id, and return corrected T_world_camera by id.

        angular_velocity (3,) [rad/s]: of the camera, in its own frame; None: unknown.
        """
        keypoints, descriptors = epipolar.features(gray, camera)
        image = AlignedImage(
            keyframe, T_world_camera.copy(), T_world_camera.copy(), camera, keypoints,
            rolling_shutter.row_times(camera, keypoints), descriptors,
            np.zeros(3) if angular_velocity is None else np.array(angular_velocity), np.zeros(3))
        if camera not in self.lenses:
            self.lenses[camera] = Lens(camera)
        self._append(image)
        observations = self._observations()
        if observations.jumped(len(self.images) - 1, *self.sigmas[[0, 3]]):
            self.restart()
            self._append(image)
        else:
            self._optimize(observations)
        return {image.keyframe: image.pose for image in self.images[-FREE_POSES:]}

    def lens_of(self, camera: Camera) -> LensEstimate:
        """Return what is known about the lens of a camera whose images were added."""
        return self.lenses[camera].estimate() if camera in self.lenses else LensEstimate()

    def readout_rotation(self, keyframe: int) -> Array | None:
        """Return the rotation (3,) [rad] during the readout of an image, None if it has left."""
        return next((self._readout_rotation(image) for image in self.images
                     if image.keyframe == keyframe), None)

    def _readout_rotation(self, image: AlignedImage) -> Array:
        return self.lenses[image.camera].readout * image.angular_velocity + image.extra_rotation

    def report(self) -> AlignmentReport | None:
        """Return what was corrected; None without images."""
        if not self.images:
            return None
        motions = np.array([image.correction()[:6] for image in self.images])
        rotation, position = np.median(
            np.linalg.norm(motions.reshape(-1, 2, 3), axis=-1), axis=0).tolist()
        return AlignmentReport(
            position, float(np.degrees(rotation)), self.lens_of(self.images[-1].camera))

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
        focal = image.camera.fx
        own, matched = epipolar.match(image.descriptors, other.descriptors).T
        distances = epipolar.sampson_distance(
            T_other_camera, image.keypoints[own], other.keypoints[matched])
        near = abs(distances) * focal < MAX_EPIPOLAR_DISTANCE
        own, matched = own[near], matched[near]
        if len(own) < MIN_MATCHES:
            return
        rigid = epipolar.rigid_matches(
            image.keypoints[own], other.keypoints[matched], MAX_RIGID_DISTANCE / focal)
        if rigid.sum() >= MIN_MATCHES:
            self.tracks.merge(own[rigid], offset, matched[rigid])

    def _observations(self) -> Observations:
        """Return the observations of the longest tracks."""
        table = self.tracks.longest(MAX_TRACKS, FREE_POSES)
        tracks, images = np.nonzero(table >= 0)
        first = np.cumsum([0, *(len(image.keypoints) for image in self.images)])
        places = first[images] + table[tracks, images]
        keypoints, derivatives = (np.concatenate(parts)[places] for parts in zip(
            *(self._corrected(image) for image in self.images)))
        times = np.concatenate([image.times for image in self.images])[places]
        velocities = np.zeros((len(self.images), 3, len(self.lenses)))
        for velocity, image in zip(velocities, self.images):
            velocity[:, self._number(image)] = image.angular_velocity
        anchors = np.searchsorted(tracks, tracks)
        others = anchors < np.arange(len(tracks))
        anchors, cameras = anchors[others], images[others]

        poses = np.stack([image.pose for image in self.images])
        focal = np.array([image.camera.fx for image in self.images])
        return Observations(
            tracks[others], images[anchors], cameras,
            np.linalg.inv(poses)[cameras] @ poses[images[anchors]], focal[cameras, None],
            keypoints[anchors], keypoints[others], times[anchors], times[others],
            velocities[images[anchors]], velocities[cameras],
            derivatives[anchors], derivatives[others])

    def _corrected(self, image: AlignedImage) -> tuple[Array, Array]:
        """Return corrected keypoints (N, 3), and the derivatives (N, 2 L) of their logarithms."""
        lens, first = self.lenses[image.camera], 2 * self._number(image)
        x, y, one = image.keypoints.T
        keypoints = np.stack([
            *rolling_shutter.global_shutter(
                x, y, image.times, self._readout_rotation(image)), one], axis=-1)
        derivatives = np.zeros((len(keypoints), 2 * len(self.lenses)))
        derivatives[:, first : first + 2] = lens.log_derivatives(keypoints)
        return lens.correct(keypoints), derivatives

    def _number(self, image: AlignedImage) -> int:
        return list(self.lenses).index(image.camera)

    def _optimize(self, observations: Observations) -> None:
        """Take one Gauss-Newton step; the next image brings the next step."""
        free = self.images[-FREE_POSES:]
        hessian, gradient = observations.normal_equations(
            len(self.images), len(self.images) - len(free))
        precision = np.tile(self.sigmas**-2, len(free))
        count = len(precision)
        hessian[:count, :count] += np.diag(precision)
        gradient[:count] += precision * np.concatenate([image.correction() for image in free])
        lenses = len(self.lenses)
        places = [count + np.array([2 * k, 2 * k + 1, 2 * lenses + k]) for k in range(lenses)]
        for place, lens in zip(places, self.lenses.values()):
            hessian[np.ix_(place, place)] += lens.precision
            gradient[place] += lens.precision @ lens.values - lens.information
        covariance = np.asarray(np.linalg.inv(hessian), np.float64)
        changes = -covariance @ gradient
        for image, change in zip(free, changes[:count].reshape(len(free), -1)):
            image.move(change)
        for place, lens in zip(places, self.lenses.values()):
            lens.update(changes[place], covariance[np.ix_(place, place)], FREE_POSES)
