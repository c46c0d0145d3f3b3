"""Depth surface: points, normals and gray levels of an image with depth, on a coarse grid."""
from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Image
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.constants import MIN_COSINE

COLUMNS = 80  # of the grid, at most
SOURCES = 700  # points of a surface, at most, that are registered with others
MAX_SPREAD = 0.02  # relative standard deviation of the depths in a cell; beyond, it has an edge
MAX_BEND = 0.02  # of the depth: how far a point may lie off the mean of its neighbors
MIN_SLANT = 0.15  # cosine between normal and ray, below which depth is unreliable
GRAY_SCALE, GRAY_OFFSET = 60.0, 8.0  # of the logarithm, in which exposure is an offset
BLUR = 0.7  # cells, standard deviation: gray levels have to vary smoothly

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class DepthSurface:
    """N cells of an image with depth, row-major, in the frame of the camera."""

    camera: Camera  # of the grid
    points: Array  # (N, 3) m
    normals: Array  # (N, 3) unit
    gray: Array  # (N,) logarithmic levels
    gradients: Array  # (N, 3) of gray along the surface, per metre
    known: NDArray[np.bool_]  # (N,) whether a cell has a normal
    sources: NDArray[np.int64]  # (M,) some of these cells, which are registered with others

    @classmethod
    def of(cls, image: Image, depth: NDArray[np.floating], camera: Camera) -> DepthSurface:
        """Return the surface of an image (H, W, 3) with depth (H, W) [m], 0 where unknown."""
        grid, step, plane = _grid(camera)
        size = grid.width, grid.height
        part = np.s_[: grid.height * step, : grid.width * step]
        depth = np.asarray(depth[part], np.float32)
        inverse = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)
        measured, mean, square = (
            cv2.resize(values, size, interpolation=cv2.INTER_AREA)
            for values in ((depth > 0).astype(np.float32), inverse, inverse * inverse))
        even = square - mean * mean <= (MAX_SPREAD * mean) ** 2 + 1e-7 * square
        valid = (measured > 0.999) & even & np.isfinite(plane).all(-1)
        z = (1 / np.where(valid, mean, 1)).astype(np.float64)
        points = np.concatenate([np.nan_to_num(plane) * z[..., None], z[..., None]], axis=-1)
        gray = _gray(image[part], size)
        normals, gradients, known = _derivatives(points, gray, valid)
        places = np.flatnonzero(known)
        return cls(
            grid, points.reshape(-1, 3), normals.reshape(-1, 3), gray.ravel(),
            gradients.reshape(-1, 3), known.ravel(), places[:: -(-len(places) // SOURCES) or 1])


@functools.lru_cache(maxsize=8)
def _grid(camera: Camera) -> tuple[Camera, int, Array]:
    """Return the camera of the grid, the pixels along a cell, and (h, w, 2) x/z and y/z."""
    step = -(-camera.width // COLUMNS)
    width, height = camera.width // step, max(camera.height // step, 1)
    part = dataclasses.replace(camera, width=width * step, height=height * step)
    directions = camera.directions().reshape(camera.height, camera.width, 3)
    directions = directions[: part.height, : part.width].astype(np.float64)
    with np.errstate(divide='ignore', invalid='ignore'):
        plane = np.where(
            directions[..., 2:] > MIN_COSINE, directions[..., :2] / directions[..., 2:], np.nan)
    cells = plane.reshape(height, step, width, step, 2).mean((1, 3))
    return part.scaled(width, height), step, cells


def _gray(image: Image, size: tuple[int, int]) -> Array:
    """Return logarithmic gray levels (h, w) of an image, for a grid of a size (w, h)."""
    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    return np.asarray(cv2.GaussianBlur(GRAY_SCALE * np.log(gray + GRAY_OFFSET), (0, 0), BLUR))


def _derivatives(
    points: Array, gray: Array, valid: NDArray[np.bool_],
) -> tuple[Array, Array, NDArray[np.bool_]]:  # fmt: skip
    """Return normals and gradients (h, w, 3) of a grid, and where they are known (h, w).

    They are those of central differences. The gradient is the vector in the tangent plane whose
    products with both differences are those of the gray levels (Park, Zhou and Koltun 2017,
    "Colored point cloud registration revisited").
    """
    normals, gradients, known = np.zeros_like(points), np.zeros_like(points), np.zeros_like(valid)
    inner = np.s_[1:-1, 1:-1]
    if min(valid.shape) < 3:
        return normals, gradients, known
    across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    normal = np.cross(across, down)
    length = np.linalg.norm(normal, axis=-1)
    normal /= length.clip(min=1e-12)[..., None]
    z, center = points[..., 2], points[inner]
    bend = MAX_BEND * center[..., 2]
    slant = abs((normal * center).sum(-1)) / np.linalg.norm(center, axis=-1).clip(min=1e-12)
    known[inner] = (
        valid[inner] & valid[1:-1, 2:] & valid[1:-1, :-2] & valid[2:, 1:-1] & valid[:-2, 1:-1]
        & (abs(z[1:-1, 2:] + z[1:-1, :-2] - 2 * z[inner]) < bend)
        & (abs(z[2:, 1:-1] + z[:-2, 1:-1] - 2 * z[inner]) < bend)
        & (length > 0) & (slant > MIN_SLANT))
    dx, dy = gray[1:-1, 2:] - gray[1:-1, :-2], gray[2:, 1:-1] - gray[:-2, 1:-1]
    xx, xy, yy = (across**2).sum(-1), (across * down).sum(-1), (down**2).sum(-1)
    determinant = (xx * yy - xy**2).clip(min=1e-18)
    along_x, along_y = (yy * dx - xy * dy) / determinant, (xx * dy - xy * dx) / determinant
    normals[inner] = normal
    gradients[inner] = along_x[..., None] * across + along_y[..., None] * down
    return normals, gradients, known
