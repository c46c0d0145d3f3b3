"""Structure from motion: poses and distances from the images of a moving camera without depth."""
from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from instant_nerf_ros.nerf.arrays import Poses
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.alpha import blank, keyframe_alpha
from instant_nerf_ros.nerf.capture.keyframes import Keyframes
from instant_nerf_ros.nerf.capture.ranges import Ranges, point_rays
from instant_nerf_ros.nerf.capture.selection import is_far
from instant_nerf_ros.nerf.config import KeyframeConfig, MotionConfig
from instant_nerf_ros.nerf.motion import plane_sweep, refinement
from instant_nerf_ros.nerf.motion.alignment import WINDOW, Alignment
from instant_nerf_ros.nerf.motion.depth_estimate import DepthEstimate
from instant_nerf_ros.nerf.motion.depth_fusion import fused
from instant_nerf_ros.nerf.motion.lens import LensEstimate
from instant_nerf_ros.nerf.motion.stereo_image import (
    NO_ROTATION,
    StereoImage,
    scaled,
    scaled_camera,
    stereo_image,
)

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

ALIGNMENT_WIDTH = 320  # pixels, to which images are scaled
# From the latest image with depth: neighbors that are nearer show much the same.
APART = KeyframeConfig(min_translation=0.08, min_rotation=6.0)
DELAY = 8  # later images before an image gets depth, so that it has partners on both sides
MAX_POINTS = 3000  # of an image, that train the field
THINNING = 2  # one of so many columns and rows of depth is kept
# Changes of a lens [share of the focal length, k1] that are too small to be worth new tables.
LENS_TOLERANCE = 0.001, 0.003
ROTATION_TOLERANCE = 0.5  # pixels, from the first row to the last


class StructureFromMotion:
    """Corrects the poses of the latest keyframes without depth, and estimates their depth."""

    def __init__(self, config: MotionConfig, backend: Backend) -> None:
        self.config, self.backend = config, backend
        self.alignment = Alignment(config)
        self.images: list[StereoImage] = []  # the latest last
        self.estimates: dict[int, DepthEstimate] = {}  # by keyframe id
        self.pseudo_depth = Ranges()  # trains the field, but never votes
        self._unit = 1.0  # metres
        self._lenses: dict[Camera, LensEstimate] = {}  # in use

    def add_keyframe(
        self, keyframes: Keyframes, generator: np.random.Generator, stereo: bool = True,
        angular_velocity: ArrayLike | None = None,
    ) -> DepthEstimate | None:  # fmt: skip
        """Process the latest keyframe, if it has no depth: correct poses, and estimate depth.

        stereo: whether there is time to estimate one. Returns the depth of an earlier keyframe if
        it became known, else None.
        """
        if not (self.config.align or self.config.stereo):
            return None
        camera, image, depth = keyframes.image(-1)
        if depth.any():
            return None
        image = blank(image, keyframe_alpha(keyframes, -1))
        pose, keyframe = keyframes.T_world_camera[-1].copy(), int(keyframes.ids[-1])
        gray, camera = scaled(
            np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8), camera,
            ALIGNMENT_WIDTH)
        if self.config.align:
            keyframes.set_poses(self.alignment.add(
                gray, camera, pose, keyframe, angular_velocity))
        if not self.config.stereo:
            return None
        self.images = [*self.images, self._stereo_image(gray, camera, keyframe)][-WINDOW:]
        if not stereo or len(self.images) <= DELAY:
            return None
        return self._estimate(keyframes, self.images[-1 - DELAY], generator)

    def set_unit(self, unit: float) -> None:
        """Match images in a unit of length [m] in which the scene is as large as a room."""
        if unit != self._unit:
            self._unit, self.estimates = unit, {}
            self.pseudo_depth.clear()

    def corrected_camera(self, camera: Camera) -> Camera:
        """Return a camera of keyframes, in the size that is matched, with its estimated lens."""
        camera = scaled_camera(camera, ALIGNMENT_WIDTH)
        return self._lenses.get(camera, LensEstimate()).camera(camera)

    def set_estimate(self, estimate: DepthEstimate) -> None:
        """Replace the depth of a keyframe by one that others have improved."""
        self.estimates[estimate.keyframe] = estimate

    def confirmed(self, keyframe: int, poses: Poses) -> DepthEstimate:
        """Return the depth of a keyframe, by id, where that of earlier ones agrees with it.

        poses: T_world_camera by keyframe id.
        """
        earlier = [estimate for key, estimate in self.estimates.items() if key < keyframe]
        return fused(self.estimates[keyframe], earlier, poses)

    def correct_poses(self, corrections: Poses) -> None:
        """Move the pseudo depth of keyframes by {id: T_new_old (4, 4)}."""
        self.pseudo_depth.correct_poses(corrections)
        self.alignment.restart()  # without the poses before the correction

    def restart(self) -> None:
        """Forget all images; what is known of lenses, and the pseudo depth, stay."""
        self.images, self.estimates = [], {}
        self.alignment.restart()

    def _stereo_image(
        self, gray: NDArray[np.uint8], camera: Camera, keyframe: int,
    ) -> StereoImage:  # fmt: skip
        used = self._lenses.get(camera, LensEstimate())
        lens = self.alignment.lens_of(camera)
        if (abs(lens.focal - used.focal) > LENS_TOLERANCE[0]
                or abs(lens.radial - used.radial) > LENS_TOLERANCE[1]):
            used = self._lenses[camera] = lens
        rotation = self.alignment.readout_rotation(keyframe)
        return stereo_image(
            keyframe, gray, used.camera(camera), NO_ROTATION if rotation is None else rotation)

    def _updated(self, image: StereoImage) -> StereoImage:
        """Return an image with its latest rotation, which becomes better with each later image."""
        rotation = self.alignment.readout_rotation(image.keyframe)
        if rotation is None or (
                np.linalg.norm(rotation - image.rotation) * image.camera.fx <= ROTATION_TOLERANCE):
            return image
        place = self.images.index(image)
        self.images[place] = stereo_image(image.keyframe, image.gray, image.camera, rotation)
        return self.images[place]

    def _estimate(
        self, keyframes: Keyframes, image: StereoImage, generator: np.random.Generator,
    ) -> DepthEstimate | None:  # fmt: skip
        """Estimate the depth of an image, and keep it."""
        T_world_cameras = keyframes.T_world_camera.copy()
        T_world_cameras[:, :3, 3] /= self._unit
        poses = dict(zip(keyframes.ids.tolist(), T_world_cameras))
        self.estimates = {key: kept for key, kept in self.estimates.items() if key in poses}
        if image.keyframe not in poses:
            return None
        pose = poses[image.keyframe]
        if self.estimates and not is_far(pose, poses[max(self.estimates)][None], APART):
            return None
        views = [
            (other, poses[other.keyframe]) for other in self.images
            if other is not image and other.keyframe in poses
            and other.refined.gray.shape == image.refined.gray.shape]
        earlier, later = (
            [(self._updated(other), T_other) for other, T_other in plane_sweep.stereo_partners(
                pose, [view for view in views if (view[0].keyframe > image.keyframe) == is_later])]
            for is_later in (False, True))
        image = self._updated(image)
        swept = plane_sweep.depth(
            image.swept, pose, [(other.swept, T_other) for other, T_other in earlier],
            [(other.swept, T_other) for other, T_other in later], self.backend)
        depth, sigma = refinement.refine(
            image.refined, pose,
            [(other.refined, T_other) for other, T_other in [*earlier, *later]],
            plane_sweep.enlarged(swept, *image.refined.gray.shape), self.backend)
        estimate = DepthEstimate(
            image.keyframe, image.refined.matrix, depth * np.float32(self._unit),
            sigma * np.float32(self._unit)).every(THINNING)
        if not np.isfinite(estimate.depth).any():
            return None
        self.estimates[image.keyframe] = estimate
        pose[:3, 3] *= self._unit
        origins, directions, distances, _ = estimate.rays(pose)
        some = np.s_[:: -(-len(distances) // MAX_POINTS)]
        points = origins[some] + distances[some, None] * directions[some]
        self.pseudo_depth.add(
            point_rays(origins[some], points, generator), image.keyframe, generator)
        return estimate
