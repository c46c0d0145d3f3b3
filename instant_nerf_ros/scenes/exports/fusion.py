"""Fusion: one mesh from the depth of many views, by a truncated signed distance function.

A mesh of the density itself needs voxels with votes, and one isovalue for fog and for walls.
Rendered depth is where a camera sees the surface, and views that disagree are averaged.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial import cKDTree

from instant_nerf_ros.nerf.products.mesh import Mesh
from instant_nerf_ros.scenes.exports.rendered_views import RenderedView
from instant_nerf_ros.scenes.exports.surfels import Surfels

VOXEL = 1.5  # edge of a voxel, per spacing of the surfels
MAX_VOXELS = 2e8  # of the box around them; larger voxels are used for larger scenes
TRUNCATION = 3  # voxels, of the distance to the surface
MIN_TRIANGLES = 200  # of a connected piece; smaller ones float
COLOR_NEIGHBORS = 3  # surfels whose mean color a vertex has


def fuse(views: Sequence[RenderedView], disks: Surfels) -> tuple[Mesh, NDArray[np.float64]]:
    """Return the Mesh of views around their surfels, and the origin (3,) of its positions.

    Distances are averaged over the views (Curless and Levoy 1996); marching cubes (Lorensen and
    Cline 1987) find where they are 0. Raises ValueError if there is no surface.
    """
    from skimage.measure import marching_cubes  # its import takes a second

    low, extent = disks.positions.min(axis=0), np.ptp(disks.positions, axis=0)
    size = VOXEL * float(np.median(disks.spacings))
    size = max(size, float((np.prod(np.maximum(extent, size)) / MAX_VOXELS) ** (1 / 3)))
    origin = low - (TRUNCATION + 1) * size
    shape = np.ceil(extent / size).astype(int) + 2 * TRUNCATION + 3
    near = _near(np.floor((disks.positions - origin) / size).astype(int), shape)
    index = np.argwhere(near)
    distances = _distances(views, origin + index * size, TRUNCATION * size)
    grid = np.full(near.shape, np.nan, np.float32)
    grid[tuple(index.T)] = distances
    known = np.isfinite(grid)
    if not (distances < 0).any() or not (distances > 0).any():
        raise ValueError('the views do not agree on a surface yet: train longer')
    vertices, faces, _, _ = marching_cubes(
        np.where(known, grid, 1), 0.0, mask=near, gradient_direction='descent')
    # A vertex lies on an edge of the lattice, of which both ends must be known.
    ends = np.floor(vertices).astype(int), np.ceil(vertices).astype(int)
    real = known[tuple(ends[0].T)] & known[tuple(ends[1].T)]
    faces = _pieces(faces[real[faces].all(axis=1)], len(vertices))
    used, faces = np.unique(faces, return_inverse=True)
    if not len(used):
        raise ValueError('the views do not agree on a surface yet: train longer')
    positions = (vertices[used] * size).astype(np.float32)
    _, nearest = cKDTree(disks.positions).query(positions + origin, COLOR_NEIGHBORS, workers=-1)
    colors = disks.colors[nearest].mean(axis=1)
    return Mesh(positions, (colors + 0.5).astype(np.uint8),
                faces.reshape(-1, 3).astype(np.int32)), origin


def _near(index: NDArray[np.int64], shape: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which voxels of a grid are within the truncation of voxels index (N, 3)."""
    near = np.zeros(tuple(shape), bool)
    near[tuple(index.T)] = True
    for axis in range(3):
        for _ in range(TRUNCATION):
            near |= np.roll(near, 1, axis) | np.roll(near, -1, axis)  # the border is empty
    return near


def _distances(
    views: Sequence[RenderedView], positions: NDArray[np.float64], truncation: float,
) -> NDArray[np.float32]:  # fmt: skip
    """Return signed distances (N,) of positions, in truncations, positive in front; NaN unseen."""
    sums, weights = np.zeros((2, len(positions)), np.float32)
    for view in views:
        seen, depth, pixel = view.look_up(positions)
        with np.errstate(invalid='ignore'):
            distance = (view.depth.ravel()[pixel] - depth) / truncation
            measured = distance >= -1  # farther behind, the view is of something else
        seen, distance, depth = seen[measured], distance[measured], depth[measured]
        weight = (1 / depth**2).astype(np.float32)  # as depth is less certain far away
        sums[seen] += weight * np.minimum(distance, 1).astype(np.float32)
        weights[seen] += weight
    with np.errstate(invalid='ignore'):
        return sums / weights


def _pieces(faces: NDArray[np.integer], count: int) -> NDArray[np.integer]:
    """Return the faces (M, 3) of pieces of at least MIN_TRIANGLES, or of the largest one."""
    if not len(faces):
        return faces
    ends = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = sparse.coo_matrix((np.ones(len(ends), bool), tuple(ends.T)), shape=(count, count))
    _, labels = csgraph.connected_components(graph, directed=False)
    sizes = np.bincount(labels[faces[:, 0]], minlength=labels.max() + 1)
    return faces[sizes[labels[faces[:, 0]]] >= min(MIN_TRIANGLES, sizes.max())]
