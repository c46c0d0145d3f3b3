"""Rigid transforms: composition, inverse, interpolation."""
import dataclasses

import numpy as np


def _multiply(a, b):
    """Return the product of two quaternions (x, y, z, w)."""
    vector = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return np.append(vector, a[3] * b[3] - a[:3] @ b[:3])


def _conjugate(quaternion):
    return quaternion * (-1.0, -1.0, -1.0, 1.0)


def _rotate(quaternion, vector):
    twice_cross = 2.0 * np.cross(quaternion[:3], vector)
    return vector + quaternion[3] * twice_cross + np.cross(quaternion[:3], twice_cross)


def _slerp(a, b, ratio):
    """Interpolate between two unit quaternions along the shorter great arc (Shoemake 1985)."""
    cosine = a @ b
    if cosine < 0.0:  # b and -b are the same rotation: take the nearer one
        cosine, b = -cosine, -b
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:  # sin(angle) vanishes, and the arc is as good as straight
        mixed = (1.0 - ratio) * a + ratio * b
    else:
        mixed = (np.sin((1.0 - ratio) * angle) * a + np.sin(ratio * angle) * b) / np.sin(angle)
    return mixed / np.linalg.norm(mixed)


@dataclasses.dataclass(frozen=True)
class Transform:
    """Maps points of a child frame to its parent: translation [m], quaternion x, y, z, w."""

    translation: np.ndarray
    rotation: np.ndarray

    @staticmethod
    def identity():
        """Return the transform that changes nothing."""
        return Transform(np.zeros(3), np.array((0.0, 0.0, 0.0, 1.0)))

    def __matmul__(self, other):
        """Return the transform that applies `other` first, then this one."""
        return Transform(
            self.translation + _rotate(self.rotation, other.translation),
            _multiply(self.rotation, other.rotation),
        )

    def inverse(self):
        """Return the transform from the parent to the child."""
        rotation = _conjugate(self.rotation)
        return Transform(-_rotate(rotation, self.translation), rotation)

    def interpolate(self, other, ratio):
        """Return the transform at `ratio` (0 to 1) of the way to `other`."""
        return Transform(
            (1.0 - ratio) * self.translation + ratio * other.translation,
            _slerp(self.rotation, other.rotation, ratio),
        )
