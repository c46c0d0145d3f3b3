"""Sparse points: what posed images see where, from features that neighboring images share."""
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Image, Pose
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.capture.selection import pose_distances
from instant_nerf_ros.nerf.motion import epipolar, reprojection
from instant_nerf_ros.nerf.motion.stereo_image import scaled
from instant_nerf_ros.nerf.motion.structure_from_motion import ALIGNMENT_WIDTH

MAX_IMAGES = 48  # that are matched, spread over all
PARTNERS = 1, 3, 6  # ranks of the neighbors that an image is matched with
MAX_ERROR = 1.5  # pixels, from the epipolar line and from the triangulated point
MIN_PARALLAX = 3.0  # pixels


def sparse_points(
    images: Sequence[Image], cameras: Sequence[Camera], poses: Sequence[Pose],
) -> NDArray[np.float64]:  # fmt: skip
    """Return points (N, 3) in the world that two of the images see; N may be 0.

    images: (H, W, 3) RGB; poses: T_world_camera (4, 4). The poses are taken as exact.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, MAX_IMAGES).astype(int))
    T_world_cameras = np.array([poses[k] for k in chosen]).reshape(-1, 4, 4)
    found, focals = [], []
    for k in chosen:
        gray = np.asarray(cv2.cvtColor(images[k], cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        small, camera = scaled(gray, cameras[k], ALIGNMENT_WIDTH)
        found.append(epipolar.features(small, camera))
        focals.append(camera.fx)
    points = [
        _triangulate(found[k], found[other], T_world_cameras[k], T_world_cameras[other], focals[k])
        for k in range(len(chosen)) for other in _partners(T_world_cameras, k)]
    return np.concatenate([np.empty((0, 3)), *points])


def _partners(T_world_cameras: NDArray[np.float64], k: int) -> list[int]:
    """Return the indices of the poses that pose k is matched with."""
    distances, angles = pose_distances(T_world_cameras, T_world_cameras[k])
    unlike = distances / max(float(np.median(distances)), 1e-12) + angles
    order = np.argsort(unlike)  # the first is pose k itself
    return [int(order[rank]) for rank in PARTNERS if rank < len(order)]


def _triangulate(
    features: tuple[NDArray[np.float64], NDArray[np.float32]],
    others: tuple[NDArray[np.float64], NDArray[np.float32]], T_world_camera: Pose,
    T_world_other: Pose, focal: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the points (N, 3) of the features that two images share."""
    own, other = epipolar.match(features[1], others[1]).T
    keypoints, other_keypoints = features[0][own], others[0][other]
    T_other_camera = np.linalg.inv(T_world_other) @ T_world_camera
    errors = epipolar.sampson_distance(T_other_camera, keypoints, other_keypoints)
    near = focal * np.abs(errors) < MAX_ERROR
    keypoints, other_keypoints = keypoints[near], other_keypoints[near]
    count = len(keypoints)
    if not count:
        return np.empty((0, 3))
    motions, focals = np.tile(T_other_camera, (count, 1, 1)), np.full((count, 1), focal)
    inverse_depth, parallax = reprojection.inverse_depths(
        motions, keypoints, focals, other_keypoints, np.arange(count))
    residuals = reprojection.residuals(
        motions, keypoints, focals, inverse_depth, other_keypoints)
    certain = (inverse_depth > 0) & (parallax > MIN_PARALLAX) & (
        np.linalg.norm(residuals, axis=-1) < MAX_ERROR)
    points = keypoints[certain] / inverse_depth[certain, None]
    return points @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]
