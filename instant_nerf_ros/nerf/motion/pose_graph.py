"""Pose graph: poses that agree with registrations of pairs and with the given poses."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instant_nerf_ros.nerf.motion import epipolar
from instant_nerf_ros.nerf.motion.depth_registration import Registration
from instant_nerf_ros.nerf.motion.reprojection import Array

Edge = tuple[int, int, Registration]  # indices of target and source


def optimized(
    poses: Array, given: Array, sigmas: Array, drift: Array, edges: Sequence[Edge],
    first_free: int,
) -> Array:  # fmt: skip
    """Return poses (N, 4, 4) after a Gauss-Newton step; those before first_free stay.

    Poses are T_world_camera. Given poses (N, 4, 4) have standard deviations (6,) of rotation [rad]
    and translation [m] in the frame of the camera: sigmas of independent errors, and drift of what
    is added to the errors from an image to the next one.
    """
    count = len(poses)
    hessian, gradient = np.zeros((count, count, 6, 6)), np.zeros((count, 6))
    diagonal = np.arange(count)
    hessian[diagonal, diagonal] = np.diag(sigmas**-2)
    gradient += motions(np.linalg.inv(given) @ poses) / sigmas**2
    if edges:
        targets, sources = (np.array([edge[n] for edge in edges]) for n in (0, 1))
        T_target_source = np.linalg.inv(poses[targets]) @ poses[sources]
        T_before = np.stack([edge[2].T_target_source for edge in edges])
        H = np.stack([edge[2].hessian for edge in edges])
        g = np.stack([edge[2].gradient for edge in edges]) + np.einsum(
            'eij,ej->ei', H, motions(np.linalg.inv(T_before) @ T_target_source))
        # Where given poses drift, poses may differ from a registration: what it says is softer.
        variances = ((sources - targets)[:, None] * drift) ** 2
        softening = np.eye(6) + H * variances[:, None, :]  # (H^-1 + V)^-1 = (I + H V)^-1 H
        H = np.linalg.solve(softening, H)
        g = np.linalg.solve(softening, g[..., None])[..., 0]
        M = -adjoints(np.linalg.inv(T_target_source))  # motion of the source by one of the target
        HM = H @ M
        np.add.at(hessian, (sources, sources), H)
        np.add.at(hessian, (targets, targets), M.transpose(0, 2, 1) @ HM)
        np.add.at(hessian, (sources, targets), HM)
        np.add.at(hessian, (targets, sources), HM.transpose(0, 2, 1))
        np.add.at(gradient, sources, g)
        np.add.at(gradient, targets, np.einsum('eji,ej->ei', M, g))
    free = count - first_free
    matrix = hessian[first_free:, first_free:].transpose(0, 2, 1, 3).reshape(6 * free, 6 * free)
    steps = np.linalg.solve(matrix, -gradient[first_free:].ravel()).reshape(free, 6)
    result = poses.copy()
    for k, step in enumerate(steps, first_free):
        result[k] = epipolar.apply_motion(poses[k], step)
    return result


def motions(T: Array) -> Array:
    """Return the motions (N, 6) of poses (N, 4, 4) near the identity, see epipolar.apply_motion.

    The rotation vector is that of the antisymmetric part: its error is of third order.
    """
    R = T[:, :3, :3]
    rotations = np.stack([
        R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], axis=-1) / 2
    return np.concatenate([rotations, T[:, :3, 3]], axis=-1)


def adjoints(T: Array) -> Array:
    """Return the matrices (N, 6, 6) that map a motion m to that of T m T^-1; T (N, 4, 4)."""
    R = T[:, :3, :3]
    result = np.zeros((len(T), 6, 6))
    result[:, :3, :3] = result[:, 3:, 3:] = R
    result[:, 3:, :3] = epipolar.cross(T[:, :3, 3]) @ R
    return result
