"""Reprojection: residuals of points in inverse depth, their Jacobians, and the Schur complement.

A point lies on the ray of a keypoint in one image, its anchor, at an inverse depth: residuals are
nearly linear in it, and it may be zero (Civera et al. 2008, "Inverse depth parametrization for
monocular SLAM"). There are M observations of such points in other images:

- T_camera_anchor (M, 4, 4);
- anchor_keypoints (M, 3) in the anchor and keypoints (M, 3) in the camera, homogeneous normalized
  image coordinates, see epipolar;
- focal (M, 1), the focal length of the camera [pixels].
"""
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.motion.epipolar import cross

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

MIN_DEPTH = 0.1  # in the camera, in units of the depth in the anchor
EPSILON = 1e-12  # instead of zero, to divide by


def inverse_depths(
    T_camera_anchor: Array, anchor_keypoints: Array, focal: Array, keypoints: Array,
    tracks: Indices,
) -> tuple[Array, Array]:  # fmt: skip
    """Return the inverse depths (T,) [1/m] of points by linear least squares, and parallaxes (T,).

    The parallax of a point [pixels] is the root of the sum of its squared distances from the point
    at infinity, over all observations. tracks (M,) is the point of each observation. Linear
    triangulation, see Hartley and Zisserman 2004, 12.2.
    """
    at_infinity = _rotate(T_camera_anchor, anchor_keypoints)
    translation = T_camera_anchor[:, :3, 3]
    residuals = focal * (at_infinity[:, :2] - at_infinity[:, 2:] * keypoints[:, :2])
    J = focal * (translation[:, :2] - translation[:, 2:] * keypoints[:, :2])
    gradient = np.bincount(tracks, (residuals * J).sum(-1))
    hessian = np.bincount(tracks, (J**2).sum(-1)).clip(min=EPSILON)
    return -gradient / hessian, abs(gradient) / np.sqrt(hessian)


def residuals(
    T_camera_anchor: Array, anchor_keypoints: Array, focal: Array, inverse_depth: Array,
    keypoints: Array,
) -> Array:  # fmt: skip
    """Return the residuals (M, 2) [pixels] of points at inverse depths (M,) [1/m]."""
    points = _transform(T_camera_anchor, anchor_keypoints, inverse_depth)
    return focal * (points[:, :2] / points[:, 2:].clip(min=MIN_DEPTH) - keypoints[:, :2])


def jacobians(
    T_camera_anchor: Array, anchor_keypoints: Array, focal: Array, inverse_depth: Array,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """Return the Jacobians of the residuals.

    They are the derivatives with respect to a motion of the anchor (M, 2, 6), a motion of the
    camera (M, 2, 6), see epipolar.apply_motion, the inverse depth (M, 2), and the keypoint in the
    anchor (M, 2, 3).
    """
    points = _transform(T_camera_anchor, anchor_keypoints, inverse_depth)
    depth = points[:, 2:].clip(min=MIN_DEPTH)
    J_point = np.zeros((len(points), 2, 3))
    J_point[:, 0, 0] = J_point[:, 1, 1] = (focal / depth)[:, 0]
    J_point[:, :, 2] = -focal * points[:, :2] / depth**2
    J_anchor_point = J_point @ T_camera_anchor[:, :3, :3]
    scale = inverse_depth[:, None, None]
    J_anchor = np.concatenate(
        [-J_anchor_point @ cross(anchor_keypoints), scale * J_anchor_point], axis=-1)
    J_camera = np.concatenate([J_point @ cross(points), -scale * J_point], axis=-1)
    J_depth = (J_point @ T_camera_anchor[:, :3, 3:])[..., 0]
    return J_anchor, J_camera, J_depth, J_anchor_point


def schur_complement(
    J_anchor: Array, J_camera: Array, J_shared: Array, J_depth: Array, residuals: Array,
    anchors: Indices, cameras: Indices, tracks: Indices, poses: int, first_free: int,
) -> tuple[Array, Array]:  # fmt: skip
    """Return the normal equations of poses and shared parameters, reduced by the inverse depths.

    Returns the matrix (N, N) and the gradient (N,) of the F poses from first_free on, with P
    parameters each, and of the S shared ones: N = P F + S. J_anchor, J_camera (M, 2, P), J_shared
    (M, 2, S), J_depth (M, 2) and residuals (M, 2) are weighted; anchors and cameras (M,) are
    indices of poses; tracks (M,) is sorted, has one anchor for each track, and each camera at
    most once. The Schur complement of a diagonal matrix (Triggs et al. 2000, "Bundle adjustment -
    a modern synthesis", 6.1).
    """
    size = J_anchor.shape[-1]
    J = np.concatenate([J_anchor, J_camera, J_shared], axis=-1)
    hessian, gradient = _equations(J, residuals, anchors, cameras, poses, size)
    starts = np.flatnonzero(np.diff(tracks, prepend=-1))
    products = (J_depth[:, None] @ J)[:, 0]
    of_poses = np.zeros((len(starts), poses, size))
    of_poses[tracks, cameras] = products[:, size : 2 * size]
    of_poses[tracks[starts], anchors[starts]] = np.add.reduceat(products[:, :size], starts)
    coupling = np.concatenate([
        of_poses.reshape(len(starts), size * poses),
        np.add.reduceat(products[:, 2 * size :], starts)], axis=-1)
    depth_hessian = np.add.reduceat((J_depth**2).sum(-1), starts).clip(min=EPSILON)
    depth_gradient = np.add.reduceat((J_depth * residuals).sum(-1), starts)
    first = size * first_free
    rows = coupling[:, first:]
    scaled = rows / depth_hessian[:, None]
    return hessian[first:, first:] - rows.T @ scaled, gradient[first:] - depth_gradient @ scaled


def _equations(
    J: Array, residuals: Array, anchors: Indices, cameras: Indices, poses: int, size: int,
) -> tuple[Array, Array]:  # fmt: skip
    """Return the normal matrix (N, N) and the gradient (N,) of all poses and shared parameters.

    size: P, the parameters of a pose. J (M, 2, 2 P + S) is of anchor, camera and shared
    parameters. The products are summed by pairs of poses, as a matrix of all observations would
    be mostly zeros.
    """
    columns = J.shape[-1]
    products = np.zeros((poses, poses, columns, columns))
    gradients = np.zeros((poses, poses, columns))
    for group in _groups(anchors * poses + cameras):
        rows, pair = J[group].reshape(-1, columns), (anchors[group[0]], cameras[group[0]])
        products[pair], gradients[pair] = rows.T @ rows, residuals[group].ravel() @ rows
    own, other, shared = slice(size), slice(size, 2 * size), slice(2 * size, None)
    between = products[:, :, own, other].swapaxes(1, 2)
    between = between + between.transpose(2, 3, 0, 1)
    diagonal = np.arange(poses)
    between[diagonal, :, diagonal] += (
        products[:, :, own, own].sum(1) + products[:, :, other, other].sum(0))
    with_shared = (products[:, :, own, shared].sum(1) + products[:, :, other, shared].sum(0)
                   ).reshape(size * poses, columns - 2 * size)
    hessian = np.block([
        [between.reshape(size * poses, size * poses), with_shared],
        [with_shared.T, products[:, :, shared, shared].sum((0, 1))]])
    of_poses = gradients[:, :, own].sum(1) + gradients[:, :, other].sum(0)
    return hessian, np.concatenate([of_poses.ravel(), gradients[:, :, shared].sum((0, 1))])


def _groups(values: Indices) -> list[Indices]:
    """Return the indices (N,) of equal values among (M,), for each value."""
    order = np.argsort(values, kind='stable')
    return np.split(order, np.flatnonzero(np.diff(values[order])) + 1) if len(order) else []


def _rotate(T_camera_anchor: Array, anchor_keypoints: Array) -> Array:
    return np.asarray((T_camera_anchor[:, :3, :3] @ anchor_keypoints[..., None])[..., 0])


def _transform(T_camera_anchor: Array, anchor_keypoints: Array, inverse_depth: Array) -> Array:
    """Return points (M, 3) in the camera, in units of their depths in the anchor."""
    rotated = _rotate(T_camera_anchor, anchor_keypoints)
    return rotated + inverse_depth[:, None] * T_camera_anchor[:, :3, 3]
