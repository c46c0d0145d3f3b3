"""Plane sweep: multi-view stereo from the images of one moving camera.

A plane is swept through space (Collins 1996, "A space-sweep approach to true multi-image
matching"). At the right distance, other images that are projected onto it look like the image
itself. The images need no common rows, so the camera may move forward as well as sideways.
Semi-global matching (Hirschmueller 2008) smooths the result where images have little texture.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Pose
from instant_nerf_ros.nerf.motion.stereo_image import UPSAMPLING, PosedView, UndistortedImage

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.backends.protocol import Backend

MIN_DEPTH, MAX_DEPTH = 0.5, 6.0  # metres, of the planes
PLANES = 64  # evenly spaced in inverse depth
STEP, JUMP, EDGE = 8.0, 100.0, 10.0  # penalties, see backends.reference.stereo.smooth_costs
MIN_PARALLAX = 6.0  # pixels, between a point and infinity; an error of 0.3 pixels is then 5 %
MIN_MARGIN = 0.2  # share by which the cost of any other plane must be larger
SMOOTHING = 5  # pixels, of the enlarged depth
BASELINES = 0.1, 0.2, 0.3, 0.4  # metres, of the partners on each side
SWEPT = 3  # of them in the plane sweep, which needs no more
MIN_BASELINE, MAX_BASELINE = 0.04, 1.5  # metres
MAX_ANGLE = 50.0  # degrees between two views


View = TypeVar('View')


def stereo_partners(
    T_world_camera: Pose, others: Sequence[tuple[View, Pose]],
) -> list[tuple[View, Pose]]:  # fmt: skip
    """Return up to four of other views that show the same scene from a suitable distance."""
    if not others:
        return []
    T_world_others = np.stack([pose for _, pose in others])
    T_camera_others = np.linalg.inv(T_world_camera) @ T_world_others
    baselines = np.linalg.norm(T_camera_others[:, :3, 3], axis=-1)
    cosines = (np.trace(T_camera_others[:, :3, :3], axis1=1, axis2=2) - 1) / 2
    suitable = ((baselines >= MIN_BASELINE) & (baselines <= MAX_BASELINE)
                & (cosines > np.cos(np.radians(MAX_ANGLE))))
    chosen: list[int] = []
    for baseline in BASELINES:
        if suitable.any():
            chosen.append(int(np.where(suitable, abs(baselines - baseline), np.inf).argmin()))
            suitable[chosen[-1]] = False
    return [others[k] for k in chosen]


def depth(
    image: UndistortedImage, T_world_camera: Pose, earlier: Sequence[PosedView],
    later: Sequence[PosedView], backend: Backend,
) -> NDArray[np.float32]:  # fmt: skip
    """Return the depth (H, W) of an image, metres along the optical axis, NaN where uncertain.

    earlier, later: the stereo partners from before and after the image, on its two sides.
    """
    earlier, later = earlier[:SWEPT], later[:SWEPT]
    others = [*earlier, *later]
    if not others:
        return np.full(image.gray.shape, np.nan, np.float32)
    affine, shift = projections(image, T_world_camera, others, UPSAMPLING)
    inverse_depths = np.linspace(1 / MAX_DEPTH, 1 / MIN_DEPTH, PLANES, dtype=np.float32)
    costs = backend.plane_costs(
        image.normalized, np.stack([other.upsampled for other, _ in others]), affine, shift,
        inverse_depths, len(earlier))
    plane, margin = backend.best_planes(
        backend.smooth_costs(costs, image.gray, STEP, JUMP, EDGE))
    inverse_depth = inverse_depths[0] + plane * (inverse_depths[1] - inverse_depths[0])
    parallax = _parallax(image.pixels(), inverse_depth, affine, shift)
    certain = (margin > MIN_MARGIN) & (parallax > MIN_PARALLAX * UPSAMPLING)
    return np.where(certain, 1 / inverse_depth, np.nan).astype(np.float32)


def projections(
    image: UndistortedImage, T_world_camera: Pose, others: Sequence[PosedView], factor: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Return affine (P, 3, 3) and shift (P, 3) to the images of P other views.

    These are upsampled by a factor. They project homogeneous pixels at inverse depths; see
    backends.reference.stereo.plane_costs.
    """
    upsampling = np.diag([factor, factor, 1.0])
    upsampling[:2, 2] = (factor - 1) / 2  # the corner of the image is fixed
    affine, shift = [], []
    for other, T_world_other in others:
        T_other_camera = np.linalg.inv(T_world_other) @ T_world_camera
        matrix = upsampling @ other.matrix
        affine.append(matrix @ T_other_camera[:3, :3] @ np.linalg.inv(image.matrix))
        shift.append(matrix @ T_other_camera[:3, 3])
    return np.array(affine, np.float32), np.array(shift, np.float32)


def _parallax(
    pixels: NDArray[np.int64], inverse_depth: NDArray[np.float32], affine: NDArray[np.float32],
    shift: NDArray[np.float32],
) -> NDArray[np.float32]:  # fmt: skip
    """Return the distance (H, W) between a point at inverse depth and the point at infinity.

    The largest of those in the other images, in their pixels; see _projections.
    """
    largest = np.zeros(inverse_depth.shape, np.float32)
    for A, a in zip(affine, shift):
        at_infinity = pixels.astype(np.float32) @ A.T
        point = at_infinity + inverse_depth[..., None] * a
        with np.errstate(divide='ignore', invalid='ignore'):
            offset = point[..., :2] / point[..., 2:]
            offset = offset - at_infinity[..., :2] / at_infinity[..., 2:]
        largest = np.fmax(largest, np.hypot(offset[..., 0], offset[..., 1]))
    return largest


def enlarged(depth: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return smooth inverse depth (height, width) [1/m] of depth (H, W) [m], NaN where unknown."""
    known = np.isfinite(depth)
    inverse = np.where(known, 1 / np.where(known, depth, 1), 0).astype(np.float32)
    weights, sums = (
        cv2.blur(cv2.resize(part, (width, height)), (SMOOTHING, SMOOTHING))
        for part in (known.astype(np.float32), inverse))
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(weights > 0.5, sums / weights, np.nan).astype(np.float32)


def box_sums(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return the sums of values (H, W) in windows of a size around each pixel."""
    return np.asarray(cv2.boxFilter(values, -1, (size, size), normalize=False), np.float32)
