"""Surfaces that the rays of a depth image meet, in plain NumPy.

A single depth is noisy, and so is the voxel in which it ends. The pixels around it tell whether it
lies on a smooth surface, and where that is, at an edge, on something thin, or nowhere.
"""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.constants import EDGE_WEIGHT, SURFACE_WEIGHT, THIN_WEIGHT

NOISE = 0.0017  # [1/m], times the distance squared: the standard deviation of depth cameras
# (Nguyen, Izadi and Lovell 2012, "Modeling Kinect sensor noise", eq. 3)
TOLERANCE = 3.0  # standard deviations by which neighbors on one surface may differ
MAX_SLOPE = 2.0  # tangent of the largest angle between a ray and the normal of a smooth surface
MIN_COSINE = 0.1  # of that angle, in divisions
MAX_THIN = 4  # similar neighbors of a pixel on something thin; a straight edge leaves five
SPARSE = 8  # every so many pixels are enough for the mean angle between rays
NEIGHBORS = [(v, u) for v in (-1, 0, 1) for u in (-1, 0, 1) if v or u]

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Weights = NDArray[np.uint8]


def find_surfaces(
    distances: Image, directions: Image, origin: NDArray[np.float64], voxel_size: float,
) -> tuple[Image, Image, Weights, Mask]:  # fmt: skip
    """Return where the rays of a depth image end, what they cleared, and which of them vote.

    distances (H, W) [m] that were measured along unit directions (H, W, 3), 0 where nothing was,
    from an origin (3,) in units of voxels; directions and origin are along the axes of the voxels,
    and relative to the corner of one of them.

    Returns (H, W) each: ends and clear distances [m], the weight of a vote where a ray ends, and
    whether it votes.

    - A surface is smooth where all neighbors have similar distances, something thin where at most
      MAX_THIN have, and else it has an edge there: these are the three weights.
    - The inverse distance to a plane is affine in the direction of the ray, and so nearly in the
      pixel: the mean of 3 x 3 inverse distances is that in the middle, with a third of its noise.
      It counts as far as the noise of a single one exceeds half a voxel, as a mean smooths what is
      really there, too.
    - A ray is clear up to where a voxel that it crosses may reach into the surface: those within
      the height h = voxel_size |n|_1 above the tangent plane with the normal n, so up to
      h / cos(angle) before its end. Without a normal, a whole voxel.
    - A pixel whose distance none of its neighbors has is one that mixes two surfaces, or an error:
      it does not vote. Nor does one that ends in the voxel of the pixel before it in its row or
      column, on a surface of the same kind: a keyframe has one vote on a voxel.
    """
    measured = distances > 0
    deviation = np.float32(NOISE) * distances**2
    tolerance = TOLERANCE * deviation + np.float32(MAX_SLOPE * pitch(directions)) * distances
    around = [_shifted(distances, *step) for step in NEIGHBORS]
    similar = [(near > 0) & (np.abs(near - distances) <= tolerance) for near in around]
    smooth = measured & np.all(similar, axis=0)
    smooth[[0, -1]] = smooth[:, [0, -1]] = False
    thin = np.sum(similar, axis=0) <= MAX_THIN
    weights = np.where(smooth, SURFACE_WEIGHT, np.where(thin, THIN_WEIGHT, EDGE_WEIGHT))
    weights = np.where(measured, weights, 0).astype(np.uint8)
    with np.errstate(divide='ignore'):
        inverse = np.where(measured, 1 / distances, np.float32(0))
    mean = sum((_shifted(inverse, *step) for step in NEIGHBORS), inverse) / np.float32(9)
    share = deviation**2 / (deviation**2 + np.float32(voxel_size / 2) ** 2)
    fitted = np.where(smooth, inverse + share * (mean - inverse), inverse)
    with np.errstate(divide='ignore'):
        ends = np.where(measured, 1 / fitted, np.float32(0))
    margin = np.where(smooth, _margins(inverse, directions), 1).astype(np.float32) * voxel_size
    votes = measured & np.any(similar, axis=0)
    clear = np.where(votes, ends - margin - deviation, 0).clip(min=0).astype(np.float32)
    cells = np.floor(origin + directions * ends[..., None] / voxel_size).astype(np.int64)
    for step in ((0, -1), (-1, 0)):
        same = (_shifted(cells, *step) == cells).all(-1) & (_shifted(weights, *step) == weights)
        votes &= ~(same & _shifted(measured & np.any(similar, axis=0), *step))
    return ends, clear, weights, votes


def pitch(directions: Image) -> float:
    """Return the mean angle [rad] between the rays of neighboring pixels, directions (H, W, 3)."""
    if min(directions.shape[:2]) < 2:
        return 0.0
    diagonals = np.linalg.norm(
        directions[1::SPARSE, 1::SPARSE] - directions[:-1:SPARSE, :-1:SPARSE], axis=-1)
    return float(diagonals.mean() / np.sqrt(2))


def _margins(inverse: Image, directions: Image) -> Image:
    """Return |n|_1 / cos(angle) for each pixel inside, from the positions of its neighbors.

    Those beside it are the means of three, one above the other, and so are those above and below.
    """
    tall = (_shifted(inverse, -1, 0) + inverse + _shifted(inverse, 1, 0)) / np.float32(3)
    wide = (_shifted(inverse, 0, -1) + inverse + _shifted(inverse, 0, 1)) / np.float32(3)
    with np.errstate(divide='ignore', invalid='ignore'):
        across, down = directions / tall[..., None], directions / wide[..., None]
        across = _shifted(across, 0, 1) - _shifted(across, 0, -1)
        down = _shifted(down, 1, 0) - _shifted(down, -1, 0)
        normals = np.cross(across, down)
        lengths = np.linalg.norm(normals, axis=-1)
        cosines = np.abs((normals * directions).sum(-1)) / lengths
        margins = np.abs(normals).sum(-1) / lengths / np.maximum(cosines, MIN_COSINE)
    return np.nan_to_num(margins, nan=1.0)


def _shifted(image: NDArray, down: int, right: int) -> NDArray:
    """Return the image of what is `down` and `right` of each pixel, 0 outside."""
    height, width = image.shape[:2]
    result = np.zeros_like(image)
    to = (slice(max(-down, 0), height - max(down, 0)),
          slice(max(-right, 0), width - max(right, 0)))
    of = (slice(max(down, 0), height + min(down, 0)),
          slice(max(right, 0), width + min(right, 0)))
    result[to] = image[of]
    return result
