"""Gaussians: a scene for viewers of 3D Gaussian splatting (Kerbl et al. 2023)."""
from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.scenes.exports.rendered_views import rendered_views
from instant_nerf_ros.scenes.exports.surfels import MAX_SURFELS, Surfels, surfels

SH_C0 = 0.28209479177387814  # of the spherical harmonic of degree 0
WIDTH = 0.6  # standard deviation along the surface, per distance to the neighbors
FLATNESS = 0.1  # standard deviation along the normal, per that along the surface
OPACITY = 0.95


@dataclasses.dataclass(frozen=True)
class Gaussians:
    """Ellipsoids of constant color."""

    positions: NDArray[np.float64]  # (N, 3) world
    rotations: NDArray[np.float64]  # (N, 4) quaternions x, y, z, w; the third axis is the normal
    scales: NDArray[np.float64]  # (N, 3) standard deviations along the axes
    colors: NDArray[np.float64]  # (N, 3) RGB in [0, 1]
    opacities: NDArray[np.float64]  # (N,) in (0, 1)

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """Return the coefficients (N, 3) of the colors for spherical harmonics of degree 0."""
        return (self.colors - 0.5) / SH_C0

    def turned(self, rotation: NDArray[np.float64]) -> Gaussians:
        """Return them turned around the origin by a rotation (3, 3)."""
        turn = Rotation.from_matrix(rotation)
        return dataclasses.replace(
            self, positions=self.positions @ rotation.T,
            rotations=(turn * Rotation.from_quat(self.rotations)).as_quat())


def gaussians(mapper: Mapper, max_count: int = MAX_SURFELS) -> Gaussians:
    """Return at most max_count Gaussians on the surface of a mapper's scene.

    Each is flat along the surface and reaches its neighbors. Raises ValueError if no view shows a
    surface.
    """
    return from_surfels(surfels(rendered_views(mapper), max_count))


def from_surfels(disks: Surfels) -> Gaussians:
    """Return a Gaussian for each of N surfels."""
    axis = np.eye(3)[np.abs(disks.normals).argmin(axis=1)]
    first = np.cross(axis, disks.normals)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    frames = np.stack([first, np.cross(disks.normals, first), disks.normals], axis=-1)
    width = WIDTH * disks.spacings
    count = len(width)
    return Gaussians(
        disks.positions, Rotation.from_matrix(frames).as_quat().reshape(count, 4),
        np.column_stack([width, width, FLATNESS * width]), disks.colors / 255,
        np.full(count, OPACITY))
