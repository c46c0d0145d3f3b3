"""Epipolar geometry: what the same points in two images say of the poses of their cameras."""
import cv2
import numpy as np

FEATURES = 400  # of an image
AHEAD = 0.1  # least cosine between the ray of a feature and the optical axis


def features(gray, camera):
    """Return where the rays of SIFT features cross the plane z = 1, (N, 3), and descriptors.

    gray: (H, W) uint8. The descriptors are (N, 128) float32, of unit length.
    """
    keypoints, descriptors = cv2.SIFT_create(FEATURES).detectAndCompute(gray, None)
    if descriptors is None:
        return np.empty((0, 3)), np.empty((0, 128), np.float32)
    column, row = np.array([point.pt for point in keypoints], np.float32).T
    directions = camera.directions().reshape(*gray.shape, 3)
    rays = cv2.remap(directions, column[None], row[None], cv2.INTER_LINEAR)[0].astype(np.float64)
    ahead = rays[:, 2] > AHEAD
    descriptors = descriptors[ahead]
    return rays[ahead] / rays[ahead, 2:], descriptors / np.linalg.norm(
        descriptors, axis=-1, keepdims=True)


def matches(descriptors, others):
    """Return the pairs (M, 2) of rows of two, each of unit length, nearest to one another."""
    if not (len(descriptors) and len(others)):
        return np.empty((0, 2), int)
    cosines = descriptors @ others.T
    nearest, back = cosines.argmax(1), cosines.argmax(0)
    own = np.flatnonzero(back[nearest] == np.arange(len(descriptors)))
    return np.stack([own, nearest[own]], axis=-1)


def sampson_distance(T_other_camera, places, others):
    """Return the Sampson distances (M,) of matches to their epipolar lines.

    T_other_camera (4, 4); places and others (M, 3) on the planes z = 1, in whose units the
    distances are, to first order (Hartley and Zisserman 2004, eq. 11.9).
    """
    essential = cross(T_other_camera[None, :3, 3])[0] @ T_other_camera[:3, :3]
    lines, back = places @ essential.T, others @ essential
    squares = (lines[:, :2] ** 2).sum(-1) + (back[:, :2] ** 2).sum(-1)
    return (others * lines).sum(-1) / np.sqrt(squares.clip(min=1e-12))


def cross(vectors):
    """Return the matrices (N, 3, 3) that take the cross product of vectors (N, 3) with others."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)


def apply_motion(T, motion):
    """Return a pose (4, 4) after a motion (6,) in its own frame: rotation [rad], translation."""
    small = np.eye(4)
    small[:3, :3] = cv2.Rodrigues(motion[:3])[0]
    small[:3, 3] = motion[3:]
    return T @ small


def motion_of(T):
    """Return the motion (6,) that `moved` makes a pose (4, 4) of."""
    return np.concatenate([cv2.Rodrigues(T[:3, :3])[0].ravel(), T[:3, 3]])
