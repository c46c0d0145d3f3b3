"""Alignment: bundle adjustment of the poses of the latest images, and of their lenses."""
import dataclasses

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose, Poses
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.config import MotionConfig
from instant_nerf_ros.nerf.motion import epipolar
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
    descriptors: NDArray[np.float32]  # (N, 128)

    def move(self, motion: Array) -> None:
        """Apply a motion (6,) in the frame of the camera to the pose."""
        self.pose = epipolar.apply_motion(self.pose, motion)

    def correction(self) -> Array:
        """Return the motion (6,) from the given pose."""
        return epipolar.motion_of(np.linalg.inv(self.given_pose) @ self.pose)


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
        self.sigmas = np.repeat([np.radians(config.rotation_error), config.position_error], 3)
        self.images: list[AlignedImage] = []  # the latest last
        self.tracks = Tracks()  # of their features
        self.lenses: dict[Camera, Lens] = {}

    def restart(self) -> None:
        """Forget the images, but not what they said about the lenses."""
        self.images, self.tracks = [], Tracks()

    def add(
        self, gray: NDArray[np.uint8], camera: Camera, T_world_camera: Pose, keyframe: int,
    ) -> Poses:  # fmt: skip
        """Add an image (H, W) of a keyframe, by id, and return corrected T_world_camera by id."""
        image = AlignedImage(keyframe, T_world_camera.copy(), T_world_camera.copy(), camera,
                             *epipolar.features(gray, camera))
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

    def report(self) -> AlignmentReport | None:
        """Return what was corrected; None without images."""
        if not self.images:
            return None
        motions = np.array([image.correction() for image in self.images])
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
        anchors = np.searchsorted(tracks, tracks)
        others = anchors < np.arange(len(tracks))
        anchors, cameras = anchors[others], images[others]

        poses = np.stack([image.pose for image in self.images])
        focal = np.array([image.camera.fx for image in self.images])
        return Observations(
            tracks[others], images[anchors], cameras,
            np.linalg.inv(poses)[cameras] @ poses[images[anchors]], focal[cameras, None],
            keypoints[anchors], keypoints[others], derivatives[anchors], derivatives[others])

    def _corrected(self, image: AlignedImage) -> tuple[Array, Array]:
        """Return corrected keypoints (N, 3), and the derivatives (N, 2 L) of their logarithms."""
        lens, first = self.lenses[image.camera], 2 * list(self.lenses).index(image.camera)
        derivatives = np.zeros((len(image.keypoints), 2 * len(self.lenses)))
        derivatives[:, first : first + 2] = lens.log_derivatives(image.keypoints)
        return lens.correct(image.keypoints), derivatives

    def _optimize(self, observations: Observations) -> None:
        """Take one Gauss-Newton step; the next image brings the next step."""
        free = self.images[-FREE_POSES:]
        hessian, gradient = observations.normal_equations(
            len(self.images), len(self.images) - len(free))
        precision = np.tile(self.sigmas**-2, len(free))
        count = len(precision)
        hessian[:count, :count] += np.diag(precision)
        gradient[:count] += precision * np.concatenate([image.correction() for image in free])
        places = [slice(first, first + 2) for first in range(count, len(gradient), 2)]
        for place, lens in zip(places, self.lenses.values()):
            hessian[place, place] += lens.precision
            gradient[place] += lens.precision @ lens.values - lens.information
        covariance = np.asarray(np.linalg.inv(hessian), np.float64)
        changes = -covariance @ gradient
        for image, motion in zip(free, changes[:count].reshape(-1, 6)):
            image.move(motion)
        for place, lens in zip(places, self.lenses.values()):
            lens.update(changes[place], covariance[place, place], FREE_POSES)
