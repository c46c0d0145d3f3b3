"""Surfels: points of the surface with normal, color and spacing (Pfister et al. 2000).

They come from rendered views, so the surface is as fine as the images show it, also where no voxel
has the votes to be occupied.
"""
from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from instant_nerf_ros.scenes.exports.rendered_views import RenderedView
from instant_nerf_ros.scenes.rendering import normals

MAX_SURFELS = 500_000  # of a scene
MIN_OPACITY = 0.8  # of a pixel that shows a surface
MIN_COSINE = 0.1  # between ray and normal; below, a pixel lies on an edge between two surfaces
TOLERANCE = 0.02  # of the depth, by which two views of one surface may differ
NEIGHBORS = 12  # whose plane gives the normal
SPACING_NEIGHBORS = 3  # whose mean distance is the spacing (Kerbl et al. 2023)


@dataclasses.dataclass(frozen=True)
class Surfels:
    """Disks on the surface."""

    positions: NDArray[np.float64]  # (N, 3) world
    normals: NDArray[np.float64]  # (N, 3) unit vectors, toward the cameras
    colors: NDArray[np.uint8]  # (N, 3) RGB
    spacings: NDArray[np.float64]  # (N,) mean distance to the nearest others


def surfels(views: Sequence[RenderedView], max_count: int) -> Surfels:
    """Return at most max_count surfels of views.

    A surfel is the mean of the pixels in a cell of space, which is as large as a pixel, or larger
    for the sake of max_count. One that most views see through is left out: it floats in front of
    the surface. Its color is the mean of the views that see it: that of its own pixels may be
    mixed with what is before or behind it. Raises ValueError if the views show no surface.
    """
    points, toward, footprints = (
        np.concatenate(arrays) for arrays in zip(*map(_pixels, views)))
    if not len(points):
        raise ValueError('no view shows a surface yet: train longer')
    cell = float(np.median(footprints))
    while True:
        places = np.floor((points - points.min(axis=0)) / cell).astype(np.int64)
        _, index = np.unique(  # of numbers, as it takes far longer of rows
            np.ravel_multi_index(tuple(places.T), tuple(places.max(axis=0) + 1)),
            return_inverse=True)
        counts = np.bincount(index)
        if len(counts) <= max_count:
            break
        cell *= max(1.02, math.sqrt(len(counts) / max_count))
    positions, facing = (
        np.stack([np.bincount(index, column) for column in array.T], axis=-1) / counts[:, None]
        for array in (points, toward))
    solid, color = _seen(positions, views)
    positions, facing, color = positions[solid], facing[solid], color[solid]
    if len(positions) <= NEIGHBORS:
        raise ValueError('the views do not agree on a surface yet: train longer')
    positions, normal, spacings = _planes(positions, facing)
    return Surfels(positions, normal, np.clip(color + 0.5, 0, 255).astype(np.uint8), spacings)


def _pixels(view: RenderedView) -> tuple[NDArray[np.float64], ...]:
    """Return points, directions to the camera, and sizes of the pixels with a surface."""
    rays = view.camera.directions().astype(np.float64)
    normal = normals(view.depth, view.camera).reshape(-1, 3)
    with np.errstate(invalid='ignore'):
        kept = ((view.opacity.ravel() >= MIN_OPACITY)
                & (-(normal * rays).sum(-1) >= MIN_COSINE)
                & (rays[:, 2] >= MIN_COSINE))  # beside a fisheye, depth is not along the axis
    depth = view.depth.ravel()[kept].astype(np.float64)
    directions = rays[kept] @ view.T_world_camera[:3, :3].T
    points = view.T_world_camera[:3, 3] + (depth / rays[kept, 2])[:, None] * directions
    return points, -directions, depth / view.camera.fx


def _seen(
    positions: NDArray[np.float64], views: Sequence[RenderedView],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:  # fmt: skip
    """Return which positions (N, 3) more views see than see through, and mean colors (N, 3)."""
    votes, sums = np.zeros(len(positions), np.int32), np.zeros((len(positions), 4))
    for view in views:
        seen, depth, pixel = view.look_up(positions)
        behind, margin = view.depth.ravel()[pixel] - depth, TOLERANCE * depth
        votes[seen] -= behind > margin  # not where it is NaN, which is transparent
        agrees = np.abs(behind) <= margin
        seen, pixel = seen[agrees], pixel[agrees]
        votes[seen] += 1
        sums[seen, :3] += view.color.reshape(-1, 3)[pixel]
        sums[seen, 3] += view.opacity.ravel()[pixel]  # the colors are over black
    return np.asarray(votes > 0), sums[:, :3] / np.maximum(sums[:, 3:], 1e-6)


def _planes(
    positions: NDArray[np.float64], facing: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return positions (N, 3), moved to the planes through their neighbors, normals, spacings.

    The normal (N, 3) of a plane is the eigenvector of least variance (Hoppe et al. 1992), on the
    side of facing (N, 3). The move, as of moving least squares (Alexa et al. 2001), unites the
    layers of views that differ a little. Spacings (N,) are distances to neighbors.
    """
    distances, index = cKDTree(positions).query(positions, NEIGHBORS + 1, workers=-1)
    means = positions[index].mean(axis=1)
    offsets = positions[index] - means[:, None]
    _, vectors = np.linalg.eigh(np.einsum('nki,nkj->nij', offsets, offsets))
    normal = vectors[:, :, 0]
    away = (normal * facing).sum(-1, keepdims=True) < 0
    normal = np.where(away, -normal, normal)
    heights = ((positions - means) * normal).sum(-1, keepdims=True)
    return (positions - heights * normal, normal,
            distances[:, 1 : SPACING_NEIGHBORS + 1].mean(axis=1))
