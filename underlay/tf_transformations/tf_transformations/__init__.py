"""Rotations as quaternions (x, y, z, w) and homogeneous matrices (4, 4), as in tf_transformations.

transforms3d, which does the work, orders quaternions w, x, y, z.
"""
import numpy as np
from transforms3d import quaternions


def quaternion_matrix(quaternion):
    """Return the (4, 4) matrix of a rotation given as a quaternion (x, y, z, w)."""
    x, y, z, w = quaternion
    matrix = np.identity(4)
    matrix[:3, :3] = quaternions.quat2mat((w, x, y, z))
    return matrix


def quaternion_from_matrix(matrix):
    """Return the quaternion (x, y, z, w) of the rotation in a (4, 4) matrix."""
    w, x, y, z = quaternions.mat2quat(np.asarray(matrix)[:3, :3])
    return np.array((x, y, z, w))
