"""Epipolar geometry: features of images, their matches, and the distances to epipolar lines.

Keypoints are homogeneous normalized image coordinates (x, y, 1): the ray of a feature at depth 1.
"""
import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.camera import Camera

MAX_FEATURES = 400  # of an image, those of the highest contrast
MIN_CONTRAST = 0.01  # a fourth of OpenCV's default: many walls and floors have little texture
MIN_COSINE = 0.1  # between the ray of a feature and the optical axis


def features(
    gray: NDArray[np.uint8], camera: Camera,
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:  # fmt: skip
    """Return keypoints (N, 3) and descriptors (N, 128) of unit length of SIFT features.

    gray: an image (H, W) of the camera.
    """
    sift = cv2.SIFT_create(  # type: ignore[attr-defined]  # OpenCV's stubs lack it
        MAX_FEATURES, contrastThreshold=MIN_CONTRAST)
    detected, found = sift.detectAndCompute(gray, None)
    if found is None:
        return np.empty((0, 3)), np.empty((0, 128), np.float32)
    column, row = np.array([keypoint.pt for keypoint in detected], np.float32).T
    directions = camera.directions().reshape(*gray.shape, 3)
    sampled = cv2.remap(directions, column[None], row[None], cv2.INTER_LINEAR)
    rays = np.asarray(sampled, dtype=np.float64)[0]
    has_rays = camera.has_rays().reshape(gray.shape).astype(np.float32)
    certain = np.asarray(cv2.remap(has_rays, column[None], row[None], cv2.INTER_LINEAR))[0]
    ahead = (rays[:, 2] > MIN_COSINE) & (certain > 0.99)
    descriptors = np.asarray(found, dtype=np.float32)[ahead]
    lengths = np.linalg.norm(descriptors, axis=-1, keepdims=True)
    return rays[ahead] / rays[ahead, 2:], descriptors / lengths


def match(
    descriptors: NDArray[np.float32], other_descriptors: NDArray[np.float32],
) -> NDArray[np.int64]:  # fmt: skip
    """Return the pairs of indices (M, 2) of descriptors that are mutual nearest neighbors.

    Descriptors are (N, 128) and (N', 128), of unit length.
    """
    if not (len(descriptors) and len(other_descriptors)):
        return np.empty((0, 2), int)
    cosines = descriptors @ other_descriptors.T
    nearest, back = cosines.argmax(1), cosines.argmax(0)
    own = np.flatnonzero(back[nearest] == np.arange(len(descriptors)))
    return np.stack([own, nearest[own]], axis=-1)


def sampson_distance(
    T_other_camera: Pose, keypoints: NDArray[np.float64], other_keypoints: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the signed Sampson distances (M,) of matched keypoints (M, 3) and (M, 3).

    The distance to the epipolar lines to first order, in units of the keypoints (Hartley and
    Zisserman 2004, eq. 11.9).
    """
    essential = cross(T_other_camera[None, :3, 3])[0] @ T_other_camera[:3, :3]
    lines, other_lines = other_keypoints @ essential, keypoints @ essential.T
    squares = (lines[:, :2] ** 2).sum(-1) + (other_lines[:, :2] ** 2).sum(-1)
    products = (other_keypoints * other_lines).sum(-1)
    return np.asarray(products / np.sqrt(squares.clip(min=1e-12)))


def rigid_matches(
    keypoints: NDArray[np.float64], other_keypoints: NDArray[np.float64], max_distance: float,
) -> NDArray[np.bool_]:  # fmt: skip
    """Return which of matched keypoints (M, 3) and (M, 3) one rigid motion of a camera explains.

    max_distance: from the epipolar lines, in units of the keypoints. The motion is the one that
    explains most matches, by USAC (Raguram et al. 2013); all matches if none is found, as between
    images that are the same.
    """
    _, explained = cv2.findEssentialMat(
        keypoints[:, :2], other_keypoints[:, :2], np.eye(3), method=cv2.USAC_ACCURATE, prob=0.99,
        threshold=max_distance)
    if explained is None or not np.any(explained):
        return np.ones(len(keypoints), bool)
    return np.asarray(explained).ravel().astype(bool)


def cross(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrices (N, 3, 3) of the cross products of vectors (N, 3) with other vectors."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)


def apply_motion(T: Pose, motion: NDArray[np.float64]) -> Pose:
    """Return a pose T (4, 4) after a motion (6,) in its own frame.

    The motion is a rotation vector [rad] and a translation [m].
    """
    T_old_new = np.eye(4)
    T_old_new[:3, :3] = cv2.Rodrigues(motion[:3])[0]
    T_old_new[:3, 3] = motion[3:]
    return np.asarray(T @ T_old_new)


def motion_of(T: Pose) -> NDArray[np.float64]:
    """Return the motion (6,) from the identity to a pose (4, 4), the inverse of apply_motion."""
    rotation, _ = cv2.Rodrigues(T[:3, :3])
    return np.concatenate([np.asarray(rotation, dtype=np.float64).ravel(), T[:3, 3]])
